//! The `test` command: the platform's tests, then the engine's own, on the machine as it runs.

mod pool;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZero;

use embodios_checks::batch_invariance::{RandomBatches, Sizes, Tally};
use embodios_gguf::Gguf;
use embodios_kernels::Kernels;
use embodios_pool::Pool;
use embodios_pool::platform::CoreSet;
use embodios_text::tokenizer::ParseSpecial;

use super::Console;
use super::error::CommandError;
use super::loaded::Loaded;
use super::options::Options;
use super::output::Output;

/// Tokens generated each time that bits are compared.
const TOKENS: usize = 8;
/// Small batches, when no other number is asked for.
const BATCHES: u32 = 3;
const PROMPT: &str = "Once upon a time";
/// Letters of several scripts, digits, white space, a character of several code points.
const TEXT: &str = "The café costs €3.50,\n\tnicht 42! 你好 привет 👩‍👧 <|endoftext|>";

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
            let (count, sizes) = match batches {
                None => (BATCHES, Sizes::SMALL),
                Some(count) => (count.get(), Sizes::FULL),
            };
            let result = batch_invariance(loaded, pool, count, sizes);
            let result = result.map(|tally| tests.output.note(format_args!("{tally}\n")));
            tests.report("batch invariance", result);
            for kernels in Kernels::available() {
                let result = same_bits(loaded, pool, kernels, &mut first);
                tests.report(&format!("same tokens and logits with {kernels} kernels"), result);
            }
        }
        self.say(format_args!("{} passed, {} failed\n", tests.passed, tests.failed));
        if tests.failed > 0 { Err(CommandError::Tests(tests.failed)) } else { Ok(()) }
    }
}

/// Compares requests of so many random batches, other ones on each number of workers, with solo runs.
fn batch_invariance(loaded: &Loaded, pool: &mut Pool, batches: u32, sizes: Sizes) -> Result<Tally, String> {
    let Loaded { model, tokenizer, kernels, .. } = loaded;
    let mut random = RandomBatches::new(model, tokenizer, *kernels, sizes, pool.workers() as u64);
    random.draw(pool, sizes.requests + 4 * batches as usize)?;
    (0..batches).try_for_each(|_| random.batch(pool))?;
    Ok(random.tally())
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
    let request = options.request(prompt, Vec::new());
    let outcome = loaded.run(kernels, &options, pool, request, &mut |_| {});
    let outcome = outcome.map_err(|error| format!("{error}"))?;
    let found = (outcome.tokens, outcome.logits_hash);
    let expected = first.get_or_insert_with(|| found.clone());
    if found == *expected { Ok(()) } else { Err(format!("{found:x?}, before {expected:x?}")) }
}
