//! `bench jitter`: the model's step for one token, the same every time, in deterministic mode; how much its time and
//! each core's share of it vary, and what disturbed the cores meanwhile.
//!
//! There are two runs, which must compute the same bits. Nothing is allocated while one is under way. Each step but the
//! untimed ones stands between two marks, for who counts instructions; `spin=0` keeps their workers from counting
//! looks.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_engine::cache::{self, Limits};
use embodios_engine::evaluate::{EvaluateError, Evaluator};
use embodios_engine::logits_hash::LogitsHash;
use embodios_pool::platform::{CoreCounters, Mark};
use embodios_pool::{Deterministic, Pool};
use serde_json::{Map, Value, json};

use super::spread::{HEADING, Spread};
use crate::Console;
use crate::command::ParseError;
use crate::error::CommandError;

/// Steps of a run when nothing else is said.
const STEPS: usize = 200;
/// Steps ahead of a run, which are not timed.
const WARM_UP: usize = 10;
/// Position of the step's token.
const POSITION: usize = 64;
const RUNS: usize = 2;
/// What a job may take, in nanoseconds: the mode's default.
const BUDGET_NS: u64 = 500_000;
/// What may disturb a core.
const DISTURBANCES: [&str; 7] = [
    "ticks",
    "timer_interrupts",
    "ipi_interrupts",
    "device_interrupts",
    "switches",
    "migrations",
    "refused_allocations",
];

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jitter {
    json: bool,
    /// Steps of a run.
    steps: usize,
    /// Number of workers; `None` for all.
    workers: Option<usize>,
}

impl Jitter {
    /// Understands `[--json] [-n STEPS] [-c WORKERS]`.
    pub fn parse(rest: &str) -> Result<Self, ParseError> {
        let (mut steps, mut workers) = (None, None);
        let json = super::flags("bench jitter", rest, &mut [('n', &mut steps), ('c', &mut workers)])?;
        Ok(Self { json, steps: steps.unwrap_or(STEPS), workers })
    }
}

/// What was seen in both runs.
struct Figures {
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

impl Console<'_> {
    /// Runs it and prints the figures.
    pub(super) fn jitter(&mut self, jitter: &Jitter) -> Result<(), CommandError> {
        let (loaded, pool) = self.loaded_and_pool(jitter.workers)?;
        let (model, name) = (&loaded.model, loaded.name);
        let position = POSITION.min(model.config.context - 1);
        let limits = Limits { context: Some(position + 1), budget: cache::budget(&pool.platform().memory()) };
        let mut evaluator = Evaluator::new(model, loaded.kernels, limits)?;
        let tokens: Vec<u32> =
            (0..=position as u32).map(|index| (index * 7919 + 13) % model.config.vocabulary as u32).collect();
        let (prompt, token) = tokens.split_at(position);
        if !prompt.is_empty() {
            evaluator.feed(pool, prompt)?;
        }
        let figures = measure(&mut evaluator, pool, token, jitter.steps)?;
        let cores = pool.cores().to_vec();
        if let [first, second] = figures.hashes[..]
            && first != second
        {
            let hashes = [second, first].map(|hash| format!("{hash:016x}"));
            return Err(CommandError::OtherBits { what: "the second run's steps".into(), hashes });
        }
        let uncounted = self.platform.uncounted();
        let text = if jitter.json {
            format!("{}\n", figures.json(name, position, &cores, uncounted))
        } else {
            figures.text(name, position, &cores, uncounted)
        };
        self.say(format_args!("{text}"));
        Ok(())
    }
}

/// Runs the step for `token` at the evaluator's position, in both runs.
fn measure(
    evaluator: &mut Evaluator<'_>,
    pool: &mut Pool,
    token: &[u32],
    steps: usize,
) -> Result<Figures, CommandError> {
    let (workers, platform, monitor) = (pool.workers(), pool.platform(), pool.monitor());
    let cores = pool.cores().to_vec();
    let position = evaluator.position();
    // Nobody sleeps, unless nobody is to look.
    let mode = Deterministic { budget_ns: BUDGET_NS, spin: pool.spins() };
    let step = |pool: &mut Pool, evaluator: &mut Evaluator<'_>| -> Result<(), EvaluateError> {
        evaluator.rewind(position);
        evaluator.feed(pool, token).map(|_| ())
    };
    let mut figures = Figures {
        steps: Vec::with_capacity(RUNS * steps),
        shares: Vec::with_capacity(RUNS * steps * workers),
        counters: Vec::with_capacity(RUNS * workers),
        misses: 0,
        hashes: Vec::with_capacity(RUNS),
    };
    let mut before = Vec::from_iter((0..workers).map(|_| 0));
    for _ in 0..RUNS {
        pool.deterministic(mode, |pool| -> Result<(), EvaluateError> {
            let mut hash = LogitsHash::new();
            for _ in 0..WARM_UP {
                step(pool, evaluator)?;
            }
            let missed = monitor.worker(0).budget_misses;
            let first = figures.counters.len();
            figures.counters.extend(cores.iter().map(|&core| [platform.core_counters(core); 2]));
            for _ in 0..steps {
                for (worker, before) in before.iter_mut().enumerate() {
                    *before = monitor.worker(worker).working_ns;
                }
                platform.mark(Mark::Begin);
                let begun = platform.now_ns();
                step(pool, evaluator)?;
                figures.steps.push(platform.now_ns() - begun);
                platform.mark(Mark::End);
                let shares = before.iter().enumerate();
                figures
                    .shares
                    .extend(shares.map(|(worker, before)| monitor.worker(worker).working_ns - before));
                hash.update(evaluator.logits());
            }
            for ([_, after], &core) in figures.counters[first..].iter_mut().zip(&cores) {
                *after = platform.core_counters(core);
            }
            figures.misses += monitor.worker(0).budget_misses - missed;
            figures.hashes.push(hash.value());
            Ok(())
        })??;
    }
    Ok(figures)
}

impl Figures {
    fn step(&self) -> Spread {
        Spread::of(self.steps.iter().copied())
    }

    /// The shares of worker `index` of `workers`.
    fn share(&self, index: usize, workers: usize) -> Spread {
        Spread::of(self.shares.iter().copied().skip(index).step_by(workers))
    }

    /// What disturbed the core of worker `index` of `workers`, and how often in both runs; `None` where nobody counts.
    fn disturbances(
        &self,
        index: usize,
        workers: usize,
        uncounted: &[&str],
    ) -> [(&'static str, Option<u64>); DISTURBANCES.len()] {
        DISTURBANCES.map(|wanted| {
            let figure = |counters: &CoreCounters| {
                let found = counters.named().into_iter().find(|(name, _)| *name == wanted);
                found.map_or(0, |(_, value)| value)
            };
            let runs = self.counters.iter().skip(index).step_by(workers);
            let total = runs.map(|[before, after]| figure(after).saturating_sub(figure(before))).sum();
            (wanted, (!uncounted.contains(&wanted)).then_some(total))
        })
    }

    fn json(&self, model: &str, position: usize, cores: &[usize], uncounted: &[&str]) -> Value {
        let shown = cores.iter().enumerate().map(|(index, core)| {
            let disturbances = self.disturbances(index, cores.len(), uncounted);
            let counters: Map<String, Value> =
                disturbances.into_iter().map(|(name, value)| (name.into(), json!(value))).collect();
            json!({ "core": core, "share": self.share(index, cores.len()).json(), "counters": counters })
        });
        json!({
            "model": model,
            "position": position,
            "steps": self.steps.len(),
            "step": self.step().json(),
            "cores": shown.collect::<Vec<_>>(),
            "budget_ns": BUDGET_NS,
            "budget_misses": self.misses,
            "hashes": self.hashes.iter().map(|hash| format!("{hash:016x}")).collect::<Vec<_>>(),
        })
    }

    fn text(&self, model: &str, position: usize, cores: &[usize], uncounted: &[&str]) -> String {
        let count = self.steps.len() / RUNS;
        let mut text = format!("{model}, a token at position {position}, {RUNS} runs of {count} steps\n");
        text += &format!("{:<8}{HEADING}\n{:<8}{}\n", "", "step", self.step());
        for (index, core) in cores.iter().enumerate() {
            text += &format!("{:<8}{}\n", format!("core {core}"), self.share(index, cores.len()));
        }
        for (index, core) in cores.iter().enumerate() {
            text += &format!("core {core}:");
            for (name, value) in self.disturbances(index, cores.len(), uncounted) {
                let value = value.map_or("-".into(), |value| format!("{value}"));
                text += &format!(" {name} {value}");
            }
            text.push('\n');
        }
        let budget = BUDGET_NS / 1_000;
        text += &format!("jobs over {budget} us: {}\nsame bits: logits hash", self.misses);
        self.hashes.iter().for_each(|hash| text += &format!(" {hash:016x}"));
        text.push('\n');
        text
    }
}
