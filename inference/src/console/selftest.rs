//! The `test` command: the platform's tests, then the engine's own, on the machine as it runs.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU32, Ordering};

use super::Console;
use super::answer::Run;
use super::error::CommandError;
use super::loaded::Loaded;
use super::options::Options;
use crate::gguf::Gguf;
use crate::kernels::Kernels;
use crate::platform::Platform;
use crate::pool::Pool;
use crate::tokenizer::ParseSpecial;

/// Jobs given to a pool that spins, and to one that sleeps at once.
const JOBS: u32 = 200;
const SLEEPING_JOBS: u32 = 50;
/// Tokens generated each time that bits are compared.
const TOKENS: usize = 8;
const PROMPT: &str = "Once upon a time";
/// Letters of several scripts, digits, white space, a character of several code points.
const TEXT: &str = "The café costs €3.50,\n\tnicht 42! 你好 привет 👩‍👧 <|endoftext|>";

/// Counts and reports.
struct Tests {
    platform: &'static dyn Platform,
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
        self.platform.write(line.as_bytes());
    }
}

impl Console<'_> {
    /// Runs all tests. Fails when one does.
    pub(super) fn test(&mut self) -> Result<(), CommandError> {
        let (passed, failed) = self.platform.self_test();
        let mut tests = Tests { platform: self.platform, passed, failed };
        let available = self.workers.available();
        tests.report(&format!("jobs to {available} workers"), {
            let pool = self.workers.pool(None)?;
            jobs(pool, JOBS)
        });
        tests.report(&format!("jobs to {available} workers that sleep between"), {
            let mut pool = self.workers.sleeping_pool(available)?;
            jobs(&mut pool, SLEEPING_JOBS)
        });
        if let Ok(loaded) = &self.loaded {
            tests.report("a model file cut short is refused", cut_short(loaded));
            tests.report("text survives the tokenizer", round_trip(loaded));
            let mut first = None;
            let mut counts = Vec::from([1, available.div_ceil(2), available]);
            counts.dedup();
            for count in counts {
                let pool = self.workers.pool(Some(count))?;
                let result = same_bits(loaded, pool, loaded.kernels, &mut first);
                tests.report(&format!("same tokens and logits on {count} of {available} cores"), result);
            }
            let pool = self.workers.pool(None)?;
            for kernels in Kernels::available() {
                let result = same_bits(loaded, pool, kernels, &mut first);
                tests.report(&format!("same tokens and logits with {kernels} kernels"), result);
            }
        }
        self.say(format_args!("{} passed, {} failed\n", tests.passed, tests.failed));
        if tests.failed > 0 { Err(CommandError::Tests(tests.failed)) } else { Ok(()) }
    }
}

/// Every job reaches every worker once, and every element of a split slice one worker, once a job.
fn jobs(pool: &mut Pool, count: u32) -> Result<(), String> {
    let calls: Vec<AtomicU32> = (0..pool.workers()).map(|_| AtomicU32::new(0)).collect();
    let mut sums = Vec::from([0u32; 1000]);
    for _ in 0..count {
        pool.run(&|worker| {
            calls[worker].fetch_add(1, Ordering::Relaxed);
        });
        pool.split(&mut sums, 3, |first, run| {
            for (index, sum) in (first as u32..).zip(run) {
                *sum += index;
            }
        });
    }
    for (worker, calls) in calls.iter().enumerate() {
        let calls = calls.load(Ordering::Relaxed);
        if calls != count {
            return Err(format!("worker {worker} had {calls} of {count} jobs"));
        }
    }
    match (0..).zip(&sums).find(|&(index, &sum)| sum != index * count) {
        Some((index, sum)) => Err(format!("element {index} is {sum}, not {}", index * count)),
        None => Ok(()),
    }
}

fn cut_short(loaded: &Loaded) -> Result<(), String> {
    match Gguf::parse(&loaded.bytes[..loaded.bytes.len() / 2]) {
        Ok(_) => Err(format!("half of {} was accepted", loaded.name)),
        Err(_) => Ok(()),
    }
}

fn round_trip(loaded: &Loaded) -> Result<(), String> {
    let prompt = loaded.tokenizer.prompt(TEXT, ParseSpecial::No);
    let text = loaded.tokenizer.text(&prompt.ids);
    if text == TEXT { Ok(()) } else { Err(format!("became {text:?}")) }
}

/// Generates greedily; tokens and the hash of all logits must be those of `first`, which the first
/// call sets.
fn same_bits(
    loaded: &Loaded,
    pool: &mut Pool,
    kernels: Kernels,
    first: &mut Option<(Vec<u32>, u64)>,
) -> Result<(), String> {
    let prompt = loaded.tokenizer.prompt(PROMPT, ParseSpecial::No).ids;
    let options = Options::new(TOKENS);
    let mut tokens = Vec::new();
    let run = Run { loaded, kernels, prompt: &prompt, end: &[], options: &options };
    let report = run
        .on(pool, &mut |made| {
            tokens.push(made.token);
            ControlFlow::Continue(())
        })
        .map_err(|error| format!("{error}"))?;
    let found = (tokens, report.logits_hash);
    let expected = first.get_or_insert_with(|| found.clone());
    if found == *expected { Ok(()) } else { Err(format!("{found:x?}, before {expected:x?}")) }
}
