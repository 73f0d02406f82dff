//! `bench jitter`: the model's step for one token, the same every time, in deterministic mode; the variation of its
//! time and of each core's share of it, and the disturbances of the cores meanwhile.
//!
//! There are two runs, which must compute the same bits. Nothing is allocated while one is under way. Each step but the
//! untimed ones stands between two marks, for a counter of instructions; `spin=0` keeps polls of the workers out of its
//! counts.

mod shown;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_engine::cache::{self, Limits};
use embodios_engine::evaluate::{EvaluateError, Evaluator};
use embodios_engine::logits_hash::LogitsHash;
use embodios_pool::platform::{CoreCounters, Mark};
use embodios_pool::{Deterministic, Pool};

use crate::{BenchError, Subject};

/// Steps of a run when nothing else is said.
pub const STEPS: usize = 200;
/// Steps ahead of a run, which are not timed.
const WARM_UP: usize = 10;
/// Position of the step's token.
const POSITION: usize = 64;
const RUNS: usize = 2;
/// Budget of a job, in nanoseconds: the mode's default.
const BUDGET_NS: u64 = 500_000;

/// Figures of both runs.
pub struct Figures {
    model: String,
    /// Position of the step's token.
    position: usize,
    /// The workers' cores.
    cores: Vec<usize>,
    /// Names of the counters that are not counted.
    uncounted: &'static [&'static str],
    /// Nanoseconds of each step.
    steps: Vec<u64>,
    /// Nanoseconds that each worker worked in each step, the workers of a step side by side.
    shares: Vec<u64>,
    /// Each worker's core, as it was before the steps of a run and after.
    counters: Vec<[CoreCounters; 2]>,
    /// Jobs that took longer than the budget.
    misses: u64,
    /// Of each run's logits.
    hashes: Vec<u64>,
}

/// Runs `steps` steps, twice.
///
/// # Errors
/// When there is no memory for it, the workers cannot be left alone, or the runs' bits differ.
pub fn measure(subject: Subject<'_>, pool: &mut Pool, steps: usize) -> Result<Figures, BenchError> {
    let Subject { name, model, kernels, .. } = subject;
    let position = POSITION.min(model.config.context - 1);
    let limits = Limits { context: Some(position + 1), budget: cache::budget(&pool.platform().memory()) };
    let mut evaluator = Evaluator::new(model, kernels, limits)?;
    let tokens: Vec<u32> =
        (0..=position as u32).map(|index| (index * 7919 + 13) % model.config.vocabulary as u32).collect();
    let (prompt, token) = tokens.split_at(position);
    if !prompt.is_empty() {
        evaluator.feed(pool, prompt)?;
    }
    let mut figures = Figures::new(name, position, pool, steps);
    for _ in 0..RUNS {
        figures.run(&mut evaluator, pool, token, steps)?;
    }
    if let [first, second] = figures.hashes[..]
        && first != second
    {
        let hashes = [second, first].map(|hash| format!("{hash:016x}"));
        return Err(BenchError::OtherBits { what: "the second run's steps".into(), hashes });
    }
    Ok(figures)
}

impl Figures {
    /// None yet, with room for those of all runs.
    fn new(model: &str, position: usize, pool: &Pool, steps: usize) -> Self {
        let workers = pool.workers();
        Self {
            model: model.into(),
            position,
            cores: pool.cores().to_vec(),
            uncounted: pool.platform().uncounted(),
            steps: Vec::with_capacity(RUNS * steps),
            shares: Vec::with_capacity(RUNS * steps * workers),
            counters: Vec::with_capacity(RUNS * workers),
            misses: 0,
            hashes: Vec::with_capacity(RUNS),
        }
    }

    /// Adds a run of the step for `token` behind the `position` tokens that the evaluator holds.
    fn run(
        &mut self,
        evaluator: &mut Evaluator<'_>,
        pool: &mut Pool,
        token: &[u32],
        steps: usize,
    ) -> Result<(), BenchError> {
        let (platform, monitor) = (pool.platform(), pool.monitor());
        // No worker sleeps, unless none is to poll.
        let mode = Deterministic { budget_ns: BUDGET_NS, spin: pool.spins() };
        let Self { position, cores, .. } = self;
        let step = |pool: &mut Pool, evaluator: &mut Evaluator<'_>| -> Result<(), EvaluateError> {
            evaluator.rewind(*position);
            evaluator.feed(pool, token).map(|_| ())
        };
        let mut before = Vec::from_iter((0..cores.len()).map(|_| 0));
        pool.deterministic(mode, |pool| -> Result<(), EvaluateError> {
            let mut hash = LogitsHash::new();
            for _ in 0..WARM_UP {
                step(pool, evaluator)?;
            }
            let missed = monitor.worker(0).budget_misses;
            let first = self.counters.len();
            self.counters.extend(cores.iter().map(|&core| [platform.core_counters(core); 2]));
            for _ in 0..steps {
                for (worker, before) in before.iter_mut().enumerate() {
                    *before = monitor.worker(worker).working_ns;
                }
                platform.mark(Mark::Begin);
                let begun = platform.now_ns();
                step(pool, evaluator)?;
                self.steps.push(platform.now_ns() - begun);
                platform.mark(Mark::End);
                let shares = before.iter().enumerate();
                self.shares.extend(shares.map(|(worker, before)| monitor.worker(worker).working_ns - before));
                hash.update(evaluator.logits());
            }
            for ([_, after], &core) in self.counters[first..].iter_mut().zip(&*cores) {
                *after = platform.core_counters(core);
            }
            self.misses += monitor.worker(0).budget_misses - missed;
            self.hashes.push(hash.value());
            Ok(())
        })??;
        Ok(())
    }
}
