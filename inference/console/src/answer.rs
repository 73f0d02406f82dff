//! The commands that run the model: `generate`, `hash`, `ids`; and what `chat` shows.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use embodios_engine::batch::{Batch, Event, Finish, Outcome, Request, Settings};
use embodios_engine::cache;
use embodios_engine::json::Tally;
use embodios_kernels::Kernels;
use embodios_pool::Pool;
use embodios_pool::platform::is_after;
use embodios_text::tokenizer::{Encoding, ParseSpecial, Tokenizer};
use serde_json::json;

use super::Console;
use super::error::CommandError;
use super::loaded::Loaded;
use super::options::Options;
use super::output::Output;

/// Totals of generation since the start.
#[derive(Default)]
pub struct Totals {
    /// Tokens of prompts.
    pub prompt_tokens: usize,
    /// Time for prompts, in nanoseconds.
    pub prompt_ns: u64,
    /// Tokens made.
    pub tokens: usize,
    /// Time for making them, in nanoseconds.
    pub generation_ns: u64,
    /// Batches, which are counted apart: their prompts and tokens have no times of their own.
    pub batches: Batches,
}

/// Batches since the start.
#[derive(Default, Clone, Copy)]
pub struct Batches {
    /// Number of batches.
    pub count: usize,
    /// All of them.
    pub all: Tally,
}

impl Totals {
    fn add(&mut self, outcome: &Outcome) {
        self.prompt_tokens += outcome.prompt_tokens;
        self.prompt_ns += outcome.times.prefill();
        self.tokens += outcome.tokens.len();
        self.generation_ns += outcome.times.decode();
    }

    /// Counts a batch, if it had requests.
    pub fn add_batch(&mut self, tally: &Tally) {
        if tally.requests > 0 {
            self.batches.count += 1;
            self.batches.all.add(tally);
        }
    }
}

impl Console<'_> {
    /// Continues `text`, showing what comes as it comes.
    pub(super) fn generate(&mut self, options: &Options, text: &str) -> Result<(), CommandError> {
        let prompt = self.loaded.as_ref()?.tokenizer.prompt(text, ParseSpecial::No);
        finished(self.show_continuation(options, prompt)?.finish)
    }

    /// Prints the ids and the hash of a greedy continuation that does not stop at the end of the text:
    /// the same line wherever the arithmetic is the same. As JSON, also the kernels that computed.
    pub(super) fn hash(&mut self, json: bool, options: &Options, text: &str) -> Result<(), CommandError> {
        let prompt = self.loaded.as_ref()?.tokenizer.prompt(text, ParseSpecial::No);
        note_left_out(self.output, &prompt);
        let (loaded, pool) = self.loaded_and_pool(options.cores)?;
        let kernels = options.kernels.unwrap_or(loaded.kernels);
        let request = options.request(prompt.ids, Vec::new());
        let outcome = loaded.run(kernels, options.piece, pool, request, &mut |_| {})?;
        finished(outcome.finish)?;
        self.totals.add(&outcome);
        let Outcome { tokens, logits_hash, .. } = outcome;
        let hash = format!("{logits_hash:016x}");
        if json {
            let line = json!({ "ids": tokens, "kernels": kernels.to_string(), "logits_hash": hash });
            self.say(format_args!("{line}\n"));
        } else {
            self.say(format_args!("ids {}; logits hash {hash}\n", Ids(&tokens)));
        }
        Ok(())
    }

    /// Prints the ids of `text` as a prompt.
    pub(super) fn ids(&self, text: &str) -> Result<(), CommandError> {
        let prompt = self.loaded.as_ref()?.tokenizer.prompt(text, ParseSpecial::No);
        note_left_out(self.output, &prompt);
        self.say(format_args!("ids {}\n", Ids(&prompt.ids)));
        Ok(())
    }

    /// Continues `prompt`, showing what comes as it comes. Result: its outcome, which may be a failure or the person's
    /// wish that it stops.
    pub(super) fn show_continuation(
        &mut self,
        options: &Options,
        prompt: Encoding,
    ) -> Result<Outcome, CommandError> {
        note_left_out(self.output, &prompt);
        let (output, platform, acknowledged) = (self.output, self.platform, self.input.acknowledged());
        let Self { loaded, workers, service, .. } = self;
        let (loaded, pool) = (*loaded.as_ref()?, workers.pool(options.cores)?);
        let tokenizer = &loaded.tokenizer;
        let request = options.request(prompt.ids, tokenizer.ends().into());
        let mut shown = 0;
        let mut on_event = |event: Event<'_>| {
            let Event::Token { token, log_probability, likeliest, text, .. } = event else { return };
            shown += text.len();
            if let Some(own) = log_probability {
                output.say(&describe((token, own), likeliest, tokenizer));
            } else if !text.is_empty() {
                output.say(text);
            }
        };
        let outcome = match service {
            // Beside requests that came by the network, on the workers that serve them.
            Some(service) if options.cores.is_none() => {
                let stop = || is_after(platform.interrupts(), acknowledged);
                service.run_one(pool, request, &stop, &mut on_event)?
            }
            _ => loaded.run(loaded.kernels, None, pool, request, &mut on_event)?,
        };
        // Text held back for a stop text or a character is certain now, also where the request was interrupted.
        let rest = if options.probabilities.is_some() { "" } else { &outcome.text[shown..] };
        self.say(format_args!("{rest}\n"));
        if finished(outcome.finish).is_err() {
            return Ok(outcome);
        }
        self.totals.add(&outcome);
        let Outcome { finish, times, prompt_tokens, logits_hash, .. } = &outcome;
        self.output.note(format_args!(
            "[{} tokens, {:.2} s, {:.1} tokens/s; prompt {prompt_tokens} tokens, {:.2} s, {:.1} tokens/s; \
             logits hash {logits_hash:016x}{}]\n",
            outcome.tokens.len(),
            times.decode() as f64 / 1e9,
            rate(times.gaps().count(), times.decode()),
            times.prefill() as f64 / 1e9,
            rate(*prompt_tokens, times.prefill()),
            if *finish == Finish::ContextFull { "; the context is full" } else { "" },
        ));
        Ok(outcome)
    }
}

/// Says how much of a text has no token.
pub fn note_left_out(output: Output, prompt: &Encoding) {
    if prompt.left_out > 0 {
        output.note(format_args!(
            "note: {} bytes of the text have no token in this model's vocabulary and are left out\n",
            prompt.left_out
        ));
    }
}

impl Loaded {
    /// Runs a request to its end, however that comes, as a batch of one with a cache no larger than it needs; `chunk`
    /// bounds the tokens of a step. Kernels that want the weights in another layout than those in use get a copy.
    ///
    /// # Errors
    /// When the prompt does not fit the model's context, or the memory does not suffice to begin.
    pub fn run(
        &self,
        kernels: Kernels,
        chunk: Option<usize>,
        pool: &mut Pool,
        request: Request,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Outcome, CommandError> {
        let (mut copy, other);
        let model = if kernels.layout() == self.kernels.layout() {
            &self.model
        } else {
            copy = Vec::new();
            other =
                self.in_layout(kernels.layout(), &mut copy).map_err(|error| CommandError::from(&error))?;
            &other
        };
        let mut settings = Settings::single(model, cache::budget(&pool.platform().memory()), &request);
        settings.chunk = chunk.unwrap_or(settings.chunk);
        let mut batch = Batch::new(model, &self.tokenizer, kernels, settings)?;
        Ok(batch.run_one(pool, request, on_event)?)
    }
}

/// Turns an end that is a failure into the command's.
///
/// # Errors
/// When the request was interrupted or failed.
pub fn finished(finish: Finish) -> Result<(), CommandError> {
    match finish {
        Finish::Cancelled => Err(CommandError::Interrupted),
        Finish::Failed(failure) => Err(failure.into()),
        _ => Ok(()),
    }
}

fn rate(count: usize, nanoseconds: u64) -> f64 {
    count as f64 * 1e9 / nanoseconds.max(1) as f64
}

/// A line about a token: id, text, logarithm of its probability, then the same of the likeliest ones.
fn describe(own: (u32, f32), likeliest: &[(u32, f32)], tokenizer: &Tokenizer<'_>) -> String {
    let mut line = String::new();
    for (index, &(token, value)) in core::iter::once(&own).chain(likeliest).enumerate() {
        let mut bytes = Vec::new();
        tokenizer.decode(token, &mut bytes);
        let separator = ["", ": ", ", "][index.min(2)];
        line += &format!("{separator}{token} {:?} {value:.4}", String::from_utf8_lossy(&bytes));
    }
    line.push('\n');
    line
}

/// Token ids, separated by spaces.
struct Ids<'i>(&'i [u32]);

impl fmt::Display for Ids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, id) in self.0.iter().enumerate() {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}{id}")?;
        }
        Ok(())
    }
}
