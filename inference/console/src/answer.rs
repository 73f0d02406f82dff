//! The commands that run the model: `generate`, `chat`, `hash`, `ids`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::ControlFlow;

use embodios_engine::cache::{self, Limits};
use embodios_engine::generate::{Made, Report, Request, Stop, generate};
use embodios_engine::json::Tally;
use embodios_engine::model::Model;
use embodios_engine::session::Session;
use embodios_kernels::Kernels;
use embodios_pool::Pool;
use embodios_text::chat::{ChatError, Message, Role};
use embodios_text::tokenizer::{Encoding, ParseSpecial, TokenReader, Tokenizer};

use super::Console;
use super::error::CommandError;
use super::loaded::Loaded;
use super::options::Options;

/// What has been generated since the start.
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
    /// How many.
    pub count: usize,
    /// All of them.
    pub all: Tally,
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.prompt_tokens += report.prompt_tokens;
        self.prompt_ns += report.prompt_ns;
        self.tokens += report.tokens;
        self.generation_ns += report.generation_ns;
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
        self.show_continuation(options, &prompt)
    }

    /// Answers `text`, showing what comes as it comes.
    pub(super) fn chat(&mut self, options: &Options, text: &str) -> Result<(), CommandError> {
        let Loaded { chat, tokenizer, .. } = self.loaded.as_ref()?;
        let template = chat.as_ref().map_err(Clone::clone)?;
        let messages = [Message { role: Role::User, content: text }];
        let prompt = template.prompt(tokenizer, &messages, true).map_err(ChatError::Template)?;
        self.show_continuation(options, &prompt)
    }

    /// Prints the ids and the hash of a greedy continuation that does not stop at the end of the text:
    /// the same line wherever the arithmetic is the same.
    pub(super) fn hash(&mut self, options: &Options, text: &str) -> Result<(), CommandError> {
        let prompt = self.loaded.as_ref()?.tokenizer.prompt(text, ParseSpecial::No);
        self.note_left_out(&prompt);
        let mut made = Vec::new();
        let (loaded, pool) = self.loaded_and_pool(options.cores)?;
        let kernels = options.kernels.unwrap_or(loaded.kernels);
        let run = Run { loaded, kernels, prompt: &prompt.ids, end: &[], options };
        let report = run.on(pool, &mut |next| {
            made.push(next.token);
            ControlFlow::Continue(())
        })?;
        self.totals.add(&report);
        self.say(format_args!("ids {}; logits hash {:016x}\n", Ids(&made), report.logits_hash));
        Ok(())
    }

    /// Prints the ids of `text` as a prompt.
    pub(super) fn ids(&self, text: &str) -> Result<(), CommandError> {
        let prompt = self.loaded.as_ref()?.tokenizer.prompt(text, ParseSpecial::No);
        self.note_left_out(&prompt);
        self.say(format_args!("ids {}\n", Ids(&prompt.ids)));
        Ok(())
    }

    fn show_continuation(&mut self, options: &Options, prompt: &Encoding) -> Result<(), CommandError> {
        self.note_left_out(prompt);
        let output = self.output;
        let (loaded, pool) = self.loaded_and_pool(options.cores)?;
        let tokenizer = &loaded.tokenizer;
        let mut reader = TokenReader::new(tokenizer, &options.stops);
        let run =
            Run { loaded, kernels: loaded.kernels, prompt: &prompt.ids, end: tokenizer.ends(), options };
        let result = run.on(pool, &mut |made| {
            let text = reader.push(made.token);
            if let Some(count) = options.probabilities {
                output.say(&describe(made, count, tokenizer));
            } else if !text.is_empty() {
                output.say(text);
            }
            if reader.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let rest = reader.finish();
        let rest = if options.probabilities.is_some() { "" } else { rest.as_str() };
        let report = match result {
            Ok(report) => report,
            Err(error) => {
                self.say(format_args!("{rest}\n"));
                return Err(error);
            }
        };
        self.totals.add(&report);
        self.say(format_args!("{rest}\n"));
        self.output.note(format_args!(
            "[{} tokens, {:.2} s, {:.1} tokens/s; prompt {} tokens, {:.2} s, {:.1} tokens/s; logits hash {:016x}{}]\n",
            report.tokens,
            report.generation_ns as f64 / 1e9,
            report.generation_rate(),
            report.prompt_tokens,
            report.prompt_ns as f64 / 1e9,
            report.prompt_rate(),
            report.logits_hash,
            if report.stop == Stop::ContextFull { "; the context is full" } else { "" },
        ));
        Ok(())
    }

    fn note_left_out(&self, prompt: &Encoding) {
        if prompt.left_out > 0 {
            self.output.note(format_args!(
                "note: {} bytes of the text have no token in this model's vocabulary and are left out\n",
                prompt.left_out
            ));
        }
    }
}

/// One run of the model, in a session of its own.
pub struct Run<'r> {
    /// The model.
    pub loaded: &'r Loaded,
    /// What computes.
    pub kernels: Kernels,
    /// Tokens to go on from.
    pub prompt: &'r [u32],
    /// Tokens to stop at.
    pub end: &'r [u32],
    /// How many tokens, chosen how.
    pub options: &'r Options,
}

impl Run<'_> {
    /// Runs it on all workers of `pool`, with a cache no larger than it needs.
    ///
    /// # Errors
    /// When the prompt does not fit the model's context, or the cache the memory.
    pub fn on(
        &self,
        pool: &mut Pool,
        receive: &mut dyn FnMut(Made<'_>) -> ControlFlow<()>,
    ) -> Result<Report, CommandError> {
        let run = |model: &Model<'_>| self.with(model, pool, receive);
        self.loaded.with_model_for(self.kernels, run).map_err(|error| CommandError::from(&error))?
    }

    fn with(
        &self,
        model: &Model<'_>,
        pool: &mut Pool,
        receive: &mut dyn FnMut(Made<'_>) -> ControlFlow<()>,
    ) -> Result<Report, CommandError> {
        let Self { kernels, prompt, end, options, .. } = *self;
        let trained = model.config.context;
        let limits = Limits {
            context: Some(prompt.len().saturating_add(options.tokens).min(trained)),
            budget: cache::budget(&pool.platform().memory()),
        };
        let mut session = Session::new(model, kernels, limits)?;
        let mut prompt = prompt;
        while let Some((piece, rest)) = options.piece.and_then(|piece| prompt.split_at_checked(piece))
            && !rest.is_empty()
        {
            session.feed(pool, piece)?;
            prompt = rest;
        }
        let request = Request { prompt, limit: options.tokens, end, sampling: options.sampling };
        Ok(generate(&mut session, pool, &request, receive)?)
    }
}

/// A line about a token: id, text, logarithm of its probability, then the same of the `count` likeliest ones.
fn describe(made: Made<'_>, count: usize, tokenizer: &Tokenizer<'_>) -> String {
    let probabilities = made.log_probabilities();
    let mut line = String::new();
    let own = (made.token, probabilities.of(made.token));
    for (index, (token, value)) in core::iter::once(own).chain(probabilities.likeliest(count)).enumerate() {
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
