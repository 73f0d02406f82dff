//! What a batch is asked for and what becomes of it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use embodios_gguf::memory::OutOfMemory;
use embodios_text::sample::Sampling;

use crate::cache::CacheError;
use crate::generate::{GenerateError, LogitsHash, Stop};
use crate::session::SessionError;

/// A request's number within its batch, in the order of submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A text to go on from, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Tokens to go on from.
    pub prompt: Vec<u32>,
    /// Most tokens to make.
    pub limit: usize,
    /// Tokens that end the text; they are not handed on.
    pub end: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Texts that the continuation ends before.
    pub stops: Vec<String>,
    /// Whether each token's log-probability is computed.
    pub log_probabilities: bool,
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its tokens are none, or not the model's, or more than its context.
    Tokens(SessionError),
    /// It would need more than the whole budget of keys and values.
    Budget(CacheError),
    /// As many requests wait as may.
    QueueFull {
        /// How many that is.
        waiting: usize,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tokens(error) => error.fmt(f),
            Self::Budget(error) => error.fmt(f),
            Self::QueueFull { waiting } => write!(f, "the queue is full: {waiting} requests wait"),
        }
    }
}

impl core::error::Error for Refusal {}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It waits for a place, for pages, or for another request's prompt that begins like its own.
    Queued,
    /// Its prompt passes through the model.
    Prefill,
    /// Tokens are made.
    Generating,
    /// It is over.
    Finished(Finish),
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// For a reason of its own: [`Stop::Asked`] when a stop text came up.
    Done(Stop),
    /// [`super::Batch::cancel`].
    Cancelled,
    /// It was not taken.
    Refused(Refusal),
    /// It could not begin or go on.
    Failed(Failure),
}

/// Why a request that was taken did not begin or go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The model's numbers are not finite.
    Generate(GenerateError),
    /// The platform has no memory for it.
    OutOfMemory(OutOfMemory),
}

impl Finish {
    /// Whether it ended for no reason of its own or its owner's.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Failed(_))
    }
}

impl fmt::Display for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(Stop::End(_)) => write!(f, "end of text"),
            Self::Done(Stop::Limit) => write!(f, "limit reached"),
            Self::Done(Stop::ContextFull) => write!(f, "context full"),
            Self::Done(Stop::Asked) => write!(f, "stop text"),
            Self::Cancelled => write!(f, "cancelled"),
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::Failed(Failure::Generate(error)) => write!(f, "failed: {error}"),
            Self::Failed(Failure::OutOfMemory(error)) => write!(f, "failed: {error}"),
        }
    }
}

/// What a request came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub finish: Finish,
    /// Tokens made.
    pub tokens: Vec<u32>,
    /// The logarithm of each one's probability, where asked for.
    pub log_probabilities: Vec<f32>,
    /// Their text, up to a stop text.
    pub text: String,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the prompt that another request had passed through the model already.
    pub shared_tokens: usize,
    /// [`crate::generate::LogitsHash`] of all logits that tokens were chosen from.
    pub logits_hash: u64,
    /// When what happened.
    pub times: Times,
}

impl Outcome {
    /// Of a request that never took part.
    pub(super) fn nothing(finish: Finish, prompt_tokens: usize, submitted: u64, finished: u64) -> Self {
        Self {
            finish,
            tokens: Vec::new(),
            log_probabilities: Vec::new(),
            text: String::new(),
            prompt_tokens,
            shared_tokens: 0,
            logits_hash: LogitsHash::new().value(),
            times: Times { submitted, finished, ..Times::default() },
        }
    }
}

/// Times in the platform's nanoseconds; 0 for what never happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// It was submitted.
    pub submitted: u64,
    /// Its prompt began to pass through the model.
    pub started: u64,
    /// It ended.
    pub finished: u64,
    /// Each token was made.
    pub tokens: Vec<u64>,
}

impl Times {
    /// From submission to the beginning of the prompt.
    #[must_use]
    pub const fn queued(&self) -> u64 {
        self.started.saturating_sub(self.submitted)
    }

    /// From there to the first token.
    #[must_use]
    pub fn prefill(&self) -> u64 {
        self.tokens.first().map_or(0, |first| first.saturating_sub(self.started))
    }

    /// Between one token and the next.
    pub fn gaps(&self) -> impl Iterator<Item = u64> {
        self.tokens.array_windows().map(|[before, after]| after - before)
    }
}

/// What happens in a batch, in order; told after each [`super::Batch::step`].
#[derive(Debug)]
pub enum Event<'a> {
    /// A token was made.
    Token {
        /// Whose.
        id: RequestId,
        /// The token.
        token: u32,
        /// The logarithm of its probability, where asked for.
        log_probability: Option<f32>,
        /// The text that is certain with it.
        text: &'a str,
    },
    /// A request is over.
    Finished {
        /// Which.
        id: RequestId,
        /// What it came to.
        outcome: Outcome,
    },
}
