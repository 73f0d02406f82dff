//! The command `batch`: many requests at once, each shown when it is over.

pub mod groups;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_engine::batch::{Batch, Event, Outcome, Request, Settings};
use embodios_engine::cache::{self, CacheError};
use embodios_engine::json::{JsonBatch, Responder, Tally, Task};
use embodios_text::tokenizer::ParseSpecial;

use super::error::CommandError;
use super::loaded::Loaded;
use super::module::{self, Module};
use super::options::Options;
use super::{Console, answer};
use groups::Group;

/// Source of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchSource<'l> {
    /// The same prompt so many times, with one seed after the other.
    Prompt {
        /// Number of requests.
        count: usize,
        /// Options of its continuation.
        options: Options,
        /// The prompt.
        text: &'l str,
    },
    /// JSON lines of a module.
    Module(&'l str),
    /// The same of several, each on cores of its own.
    Groups(Vec<Group<'l>>),
    /// JSON lines that are typed.
    Typed,
}

impl Console<'_> {
    /// Runs a batch, with `json` each result as a line of JSON.
    ///
    /// # Errors
    /// When there is no model, no such module, or no memory.
    pub(super) fn batch(&mut self, json: bool, source: &BatchSource<'_>) -> Result<(), CommandError> {
        let (platform, modules, output) = (self.platform, self.start.modules, self.output);
        let settings = Settings::new(cache::budget(&platform.memory()));
        let (count, options, text) = match source {
            BatchSource::Prompt { count, options, text } => (count, options, text),
            BatchSource::Typed => {
                let tally = self.json(Task::Batch)?;
                self.totals.add_batch(&tally);
                return all_well(tally.failed);
            }
            BatchSource::Groups(groups) => return self.batch_groups(groups),
            BatchSource::Module(name) => {
                let now = self.unix_time();
                let (loaded, pool) = self.loaded_and_pool(None)?;
                let requests = loaded.requests(now);
                let mut answer = |bytes: &[u8]| output.answer(bytes);
                let (lines, bad) = lines_of(modules, name, &requests, &mut answer)?;
                let tally = lines.answer(&requests, pool, settings, &mut answer)?;
                self.totals.add_batch(&tally);
                return all_well(bad + tally.failed);
            }
        };
        let (loaded, pool) = self.loaded_and_pool(options.cores)?;
        let Loaded { model, tokenizer, kernels, .. } = loaded;
        let encoding = tokenizer.prompt(text, ParseSpecial::No);
        answer::note_left_out(output, &encoding);
        let prompt = encoding.ids;
        let requests = (0..*count as u64).map(|index| {
            let mut sampling = options.sampling;
            sampling.seed = sampling.seed.wrapping_add(index);
            Request { sampling, ..options.request(prompt.clone(), tokenizer.ends().into()) }
        });
        if json {
            let lines = JsonBatch::of(requests.collect());
            let mut answer = |bytes: &[u8]| output.answer(bytes);
            let tally = lines.answer(&loaded.requests(None), pool, settings, &mut answer)?;
            self.totals.add_batch(&tally);
            return all_well(tally.failed);
        }
        let mut batch = Batch::new(model, tokenizer, *kernels, settings)?;
        batch.prepare(pool).map_err(CacheError::OutOfMemory)?;
        let start = platform.now_ns();
        let (mut tally, mut plans) = (Tally::default(), Vec::new());
        for request in requests {
            batch.submit(pool, request)?;
        }
        loop {
            let more = batch.long_step(pool, &mut |event| {
                if let Event::Finished { id, outcome } = event {
                    tally.count(&outcome);
                    output.say(&shown(id.0 + 1, &outcome));
                }
            });
            if let Some(plan) =
                batch.plan().filter(|plan| plans.iter().all(|(strategy, _)| *strategy != plan.strategy))
            {
                plans.push((plan.strategy, plan));
            }
            if !more {
                break;
            }
        }
        tally.nanoseconds = platform.now_ns() - start;
        let (tokens, seconds) = (tally.tokens, tally.nanoseconds as f64 / 1e9);
        let (steps, blocks) = (batch.steps(), batch.blocks().bytes());
        self.output.note(format_args!(
            "[{count} requests, {tokens} tokens, {seconds:.2} s, {:.1} tokens/s; {steps} steps, {blocks} bytes of keys \
             and values]\n",
            tokens as f64 / seconds,
        ));
        for (_, plan) in plans {
            self.output.note(format_args!("[{plan}]\n"));
        }
        if *count > 1 && options.sampling.temperature == 0.0 {
            self.output.note(format_args!("[without -t all {count} are the same text]\n"));
        }
        self.totals.add_batch(&tally);
        all_well(tally.failed)
    }
}

/// No failure, unless requests failed.
///
/// # Errors
/// When `failed` is not 0.
pub fn all_well(failed: usize) -> Result<(), CommandError> {
    if failed > 0 { Err(CommandError::Requests(failed)) } else { Ok(()) }
}

/// The requests that the lines of a module are; `answer` gets the answers to lines that are none, whose number comes
/// second.
///
/// # Errors
/// When there is no such module, or it is something else.
fn lines_of(
    modules: &[Module],
    name: &str,
    requests: &Responder<'_>,
    answer: &mut dyn FnMut(&[u8]),
) -> Result<(JsonBatch, usize), CommandError> {
    let bytes = module::text(modules, name, "JSON lines")?;
    let (mut lines, mut bad) = (JsonBatch::default(), 0);
    for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        if let Some(error) = lines.take(requests, number, line) {
            answer(&error);
            bad += 1;
        }
    }
    Ok((lines, bad))
}

/// A result: how it went, then its text.
fn shown(number: u64, outcome: &Outcome) -> String {
    let Outcome { finish, tokens, times, text, .. } = outcome;
    let gaps = times.gaps().count().max(1) as f64;
    let milliseconds = |nanoseconds: u64| nanoseconds as f64 / 1e6;
    format!(
        "#{number}: {} tokens, {finish}; waited {:.1} ms, prompt {:.1} ms, then {:.2} ms a token\n{text}\n",
        tokens.len(),
        milliseconds(times.queued()),
        milliseconds(times.prefill()),
        milliseconds(times.decode()) / gaps,
    )
}
