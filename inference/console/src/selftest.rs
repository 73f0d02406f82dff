//! The command `test`: the platform's tests, then the engine's own, on the machine as it runs. Owns the list of them
//! and their report; the checks are [`embodios_checks`]'s.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZero;

use embodios_checks::batch_invariance::{RandomBatches, Sizes};
use embodios_checks::model::{SameBits, cut_short, round_trip};
use embodios_checks::pool;
use embodios_kernels::Kernels;
use embodios_pool::Pool;
use embodios_pool::platform::CoreSet;

use super::Console;
use super::answer::finished;
use super::error::CommandError;
use super::loaded::Loaded;
use super::output::Output;

/// Small batches, when no other number is asked for.
const BATCHES: u32 = 3;

/// Counts and reports.
struct Tests {
    output: Output,
    passed: u32,
    failed: u32,
}

impl Tests {
    fn report(&mut self, name: &str, result: Result<(), String>) {
        let line = match result {
            Ok(()) => {
                self.passed += 1;
                format!("test {name} ... ok\n")
            }
            Err(reason) => {
                self.failed += 1;
                format!("test {name} ... FAILED\n  {reason}\n")
            }
        };
        self.output.say(&line);
    }
}

impl Console<'_> {
    /// Runs all tests, with so many wakes of threads by each other, and so many batches instead of a few small ones.
    /// Fails when one does.
    pub(super) fn test(&mut self, wakes: u32, batches: Option<NonZero<u32>>) -> Result<(), CommandError> {
        let (passed, failed) = self.platform.self_test(wakes);
        let mut tests = Tests { output: self.output, passed, failed };
        self.test_workers(&mut tests)?;
        self.test_model(&mut tests, batches)?;
        self.say(format_args!("{} passed, {} failed\n", tests.passed, tests.failed));
        if tests.failed > 0 { Err(CommandError::Tests(tests.failed)) } else { Ok(()) }
    }

    /// Tests of threads, cores and the pool.
    fn test_workers(&mut self, tests: &mut Tests) -> Result<(), CommandError> {
        let available = self.workers.cores().len();
        tests.report("more threads than cores", pool::many_threads(self.platform));
        {
            let workers = self.workers.pool(None)?;
            tests.report(&format!("jobs to {available} workers"), pool::jobs(workers, pool::JOBS));
            type PoolTest = fn(&mut Pool) -> Result<(), String>;
            let cases: [(&str, PoolTest); 7] = [
                ("each worker on its core", pool::on_their_cores),
                ("a worker moves while it works", pool::moves_while_it_works),
                ("a core that is not online is refused", pool::refuses_offline_cores),
                ("every index of a loop exactly once", pool::every_index_once),
                ("groups of workers", pool::groups),
                ("deterministic mode is not disturbed", pool::deterministic),
                ("pools of every size", pool::resizes),
            ];
            for (name, case) in cases {
                tests.report(name, case(workers));
            }
        }
        let two: CoreSet = self.workers.cores().iter().take(2).collect();
        tests.report(
            &format!("workers on cores {two} only"),
            pool::on_their_cores(self.workers.pool_on(&two)?),
        );
        tests.report(&format!("jobs to {available} workers that sleep between"), {
            let mut workers = self.workers.sleeping_pool()?;
            pool::jobs(&mut workers, pool::SLEEPING_JOBS)
        });
        Ok(())
    }

    /// Tests of the model, where one is loaded.
    fn test_model(&mut self, tests: &mut Tests, batches: Option<NonZero<u32>>) -> Result<(), CommandError> {
        let Ok(loaded) = &self.loaded else { return Ok(()) };
        let Loaded { name, bytes, model, tokenizer, kernels, .. } = loaded;
        tests.report("a model file cut short is refused", cut_short(name, bytes));
        tests.report("text survives the tokenizer", round_trip(tokenizer));
        let mut bits = SameBits::new(tokenizer);
        let mut same_bits = |pool: &mut Pool, kernels| {
            bits.check(|request| {
                let outcome = loaded.run(kernels, None, pool, request, &mut |_| {})?;
                finished(outcome.finish).map(|()| outcome)
            })
        };
        let available = self.workers.cores().len();
        let mut counts = Vec::from([1, available.div_ceil(2), available]);
        counts.dedup();
        for count in counts {
            let result = same_bits(self.workers.pool(Some(count))?, *kernels);
            tests.report(&format!("same tokens and logits on {count} of {available} cores"), result);
        }
        let pool = self.workers.pool(None)?;
        let (count, sizes) = match batches {
            None => (BATCHES, Sizes::SMALL),
            Some(count) => (count.get(), Sizes::FULL),
        };
        // Other requests on each number of workers.
        let mut random = RandomBatches::new(model, tokenizer, *kernels, sizes, pool.workers() as u64);
        let result = random.batches(pool, count);
        let result = result.map(|()| tests.output.note(format_args!("{}\n", random.tally())));
        tests.report("batch invariance", result);
        for kernels in Kernels::available() {
            let result = same_bits(pool, kernels);
            tests.report(&format!("same tokens and logits with {kernels} kernels"), result);
        }
        Ok(())
    }
}
