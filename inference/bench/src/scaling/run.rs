//! One run of `bench scaling`: a batch on all workers of a pool, or a copy of it on each of them.
//!
//! It stands between two marks, for a counter of instructions; its time is from the first submission to the last token.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

use embodios_engine::batch::{Batch, Outcome, Request, Settings};
use embodios_engine::cache::{self, CacheError};
use embodios_engine::logits_hash::LogitsHash;
use embodios_pool::platform::Mark;
use embodios_pool::{Pool, PoolError};

use crate::error::check_finished;
use crate::{BenchError, Subject};

/// Figures of a run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub prompts: usize,
    pub workers: usize,
    /// Batches at once: 1, or one for each worker.
    pub batches: usize,
    /// Tokens that passed through the model, of all batches.
    pub tokens: usize,
    pub seconds: f64,
    /// Plan of the last step.
    pub plan: String,
    /// For each batch, of all its requests' logits.
    pub hashes: Vec<String>,
}

/// A batch with its requests and their outcomes.
struct Task<'m> {
    batch: Batch<'m>,
    prepared: Result<(), CacheError>,
    requests: Vec<Request>,
    outcomes: Vec<Outcome>,
}

impl Task<'_> {
    fn prepare(&mut self, pool: &mut Pool) {
        self.prepared = self.batch.prepare(pool).map_err(CacheError::OutOfMemory);
    }

    fn run(&mut self, pool: &mut Pool) {
        self.outcomes = self.batch.run(pool, self.requests.drain(..));
    }

    /// Tokens that passed through the model, and the hash of all logits.
    fn result(&self) -> Result<(usize, LogitsHash), BenchError> {
        let (mut tokens, mut hash) = (0, LogitsHash::new());
        check_finished(&self.outcomes)?;
        for outcome in &self.outcomes {
            hash.combine(outcome.logits_hash);
            // The last token made is not taken any more.
            tokens += outcome.prompt_tokens - outcome.shared_tokens + outcome.tokens.len() - 1;
        }
        Ok((tokens, hash))
    }
}

/// Runs a batch of `requests` on all workers, or as many `batches` of them at once as there are workers, on one each.
///
/// # Errors
/// When there is no memory for it, or a request does not reach its limit of tokens.
pub(super) fn run(
    subject: Subject<'_>,
    pool: &mut Pool,
    requests: &[Request],
    batches: usize,
) -> Result<Run, BenchError> {
    let Subject { model, tokenizer, kernels, .. } = subject;
    let platform = pool.platform();
    let settings = Settings::new(cache::budget(&platform.memory()) / batches);
    let task = |_| {
        let batch = Batch::new(model, tokenizer, kernels, settings)?;
        Ok(Task { batch, prepared: Ok(()), requests: requests.to_vec(), outcomes: Vec::new() })
    };
    let mut tasks = (0..batches).map(task).collect::<Result<Vec<_>, BenchError>>()?;
    each(&mut tasks, pool, Task::prepare)?;
    tasks.iter().try_for_each(|task| task.prepared)?;
    // Workers that have just been started come to their first job late.
    pool.run(&|_| ());
    let begun = platform.now_ns();
    platform.mark(Mark::Begin);
    each(&mut tasks, pool, Task::run)?;
    platform.mark(Mark::End);
    let nanoseconds = platform.now_ns() - begun;
    let (mut tokens, mut hashes) = (0, Vec::new());
    for task in &tasks {
        let (passed, hash) = task.result()?;
        tokens += passed;
        hashes.push(format!("{:016x}", hash.value()));
    }
    let plan = match &*tasks {
        [only] => only.batch.plan().map(|plan| format!("{}", plan.strategy)).unwrap_or_default(),
        _ => format!("{batches} batches, each on a worker of its own"),
    };
    Ok(Run {
        prompts: requests.len(),
        workers: pool.workers(),
        batches,
        tokens,
        seconds: nanoseconds as f64 / 1e9,
        plan,
        hashes,
    })
}

/// Does a job of a single task on all workers, or of one for each worker on that alone.
fn each<'m>(
    tasks: &mut [Task<'m>],
    pool: &mut Pool,
    job: fn(&mut Task<'m>, &mut Pool),
) -> Result<(), PoolError> {
    if let [only] = tasks {
        job(only, pool);
        return Ok(());
    }
    let (sizes, bounds) = (vec![1; tasks.len()], vec![0; tasks.len() + 1]);
    pool.groups_at(&sizes, tasks, (&mut [(); 0], &bounds), |task, _, pool| job(task, pool))
}
