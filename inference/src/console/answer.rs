//! The commands that run the model: `generate`, `chat`, `hash`, `ids`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::ControlFlow;

use super::Console;
use super::command::Options;
use super::error::CommandError;
use super::loaded::Loaded;
use crate::cache::Limits;
use crate::chat::{Message, Role};
use crate::generate::{Report, Request, Stop, generate};
use crate::kernels::Kernels;
use crate::pool::Pool;
use crate::sample::Sampling;
use crate::session::Session;
use crate::tokenizer::{Encoding, ParseSpecial, TextStream, Tokenizer};

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
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.prompt_tokens += report.prompt_tokens;
        self.prompt_ns += report.prompt_ns;
        self.tokens += report.tokens;
        self.generation_ns += report.generation_ns;
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
        let prompt = template.prompt(tokenizer, &[Message { role: Role::User, content: text }], true);
        self.show_continuation(options, &prompt)
    }

    /// Prints the ids and the hash of a greedy continuation that does not stop at the end of the text:
    /// the same line wherever the arithmetic is the same.
    pub(super) fn hash(&mut self, options: &Options, text: &str) -> Result<(), CommandError> {
        let prompt = self.loaded.as_ref()?.tokenizer.prompt(text, ParseSpecial::No);
        self.note_left_out(&prompt);
        let mut made = Vec::new();
        let (loaded, pool) = self.loaded_and_pool(options.cores)?;
        let run = Run { loaded, kernels: loaded.kernels, prompt: &prompt.ids, end: &[], options };
        let report = run.on(pool, &mut |token| made.push(token))?;
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
        let platform = self.platform;
        let (loaded, pool) = self.loaded_and_pool(options.cores)?;
        let mut decoder = Decoder::new(&loaded.tokenizer);
        let end = loaded.tokenizer.ends();
        let run = Run { loaded, kernels: loaded.kernels, prompt: &prompt.ids, end, options };
        let result = run.on(pool, &mut |token| {
            let text = decoder.text(token);
            if !text.is_empty() {
                platform.write(text.as_bytes());
            }
        });
        let rest = decoder.finish();
        let report = match result {
            Ok(report) => report,
            Err(error) => {
                self.say(format_args!("{rest}\n"));
                return Err(error);
            }
        };
        self.totals.add(&report);
        self.say(format_args!(
            "{rest}\n[{} tokens, {:.2} s, {:.1} tokens/s; prompt {} tokens, {:.2} s, {:.1} tokens/s; logits hash {:016x}{}]\n",
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
            self.say(format_args!(
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
    pub fn on(&self, pool: &mut Pool, receive: &mut dyn FnMut(u32)) -> Result<Report, CommandError> {
        let Self { loaded, kernels, prompt, end, options } = *self;
        let trained = loaded.model.config.context;
        let memory = pool.platform().memory();
        let limits = Limits {
            context: Some(prompt.len().saturating_add(options.tokens).min(trained)),
            budget: usize::try_from(memory.free.saturating_add(memory.engine)).unwrap_or(usize::MAX),
        };
        let mut session = Session::new(&loaded.model, kernels, limits)?;
        let sampling = Sampling {
            temperature: options.temperature,
            top_k: options.top_k,
            top_p: options.top_p,
            seed: options.seed,
        };
        let request = Request { prompt, limit: options.tokens, end, sampling };
        Ok(generate(&mut session, pool, &request, &mut |token| {
            receive(token);
            ControlFlow::Continue(())
        })?)
    }
}

/// Tokens to text that can be shown at once.
struct Decoder<'d> {
    tokenizer: &'d Tokenizer<'static>,
    stream: TextStream,
    bytes: Vec<u8>,
    text: String,
}

impl<'d> Decoder<'d> {
    const fn new(tokenizer: &'d Tokenizer<'static>) -> Self {
        let stream = TextStream::new();
        Self { tokenizer, stream, bytes: Vec::new(), text: String::new() }
    }

    /// What `token` adds.
    fn text(&mut self, token: u32) -> &str {
        self.bytes.clear();
        self.text.clear();
        self.tokenizer.decode(token, &mut self.bytes);
        self.stream.push(&self.bytes, &mut self.text);
        &self.text
    }

    /// What the end adds.
    fn finish(mut self) -> String {
        self.text.clear();
        self.stream.finish(&mut self.text);
        self.text
    }
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
