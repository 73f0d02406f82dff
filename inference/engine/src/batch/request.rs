//! Requests, and their outcomes and events.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use embodios_gguf::memory::OutOfMemory;
use embodios_text::sample::Sampling;

use crate::cache::CacheError;
use crate::logits_hash::LogitsHash;
use crate::model::Model;
use crate::prompt::PromptError;

/// Most likeliest tokens beside each one made.
pub const MOST_LIKELIEST: usize = 100;

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
    /// Sampling parameters.
    pub sampling: Sampling,
    /// Added to the logits of tokens before anything is chosen: [`embodios_text::sample::Sampler::with_bias`].
    pub bias: Vec<(u32, f32)>,
    /// Texts that the continuation ends before.
    pub stops: Vec<String>,
    /// Report each token's log-probability, and those of the so many likeliest, at most [`MOST_LIKELIEST`], beside it.
    pub log_probabilities: Option<usize>,
}

impl Request {
    /// A prompt continued by the likeliest token each time, which nothing but the limit and the context ends.
    #[must_use]
    pub fn greedy(prompt: Vec<u32>, limit: usize) -> Self {
        let (end, bias, stops) = (Vec::new(), Vec::new(), Vec::new());
        Self { prompt, limit, end, sampling: Sampling::GREEDY, bias, stops, log_probabilities: None }
    }

    /// Tokens whose log-probabilities are reported beside each one made.
    pub(super) fn likeliest(&self, model: &Model<'_>) -> usize {
        self.log_probabilities.map_or(0, |count| count.min(model.config.vocabulary))
    }
}

/// Reason for refusing a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its tokens are none, or more than its context; or they, or those of its bias, are not the model's.
    Prompt(PromptError),
    /// It wants more log-probabilities than [`MOST_LIKELIEST`].
    Likeliest {
        /// The number asked for.
        wanted: usize,
    },
    /// It would need more than the whole budget of keys and values.
    Budget(CacheError),
    /// As many requests wait as may.
    QueueFull {
        /// Requests that wait.
        waiting: usize,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prompt(error) => error.fmt(f),
            Self::Likeliest { wanted } => {
                write!(f, "log-probabilities of the {wanted} likeliest tokens are more than {MOST_LIKELIEST}")
            }
            Self::Budget(error) => error.fmt(f),
            Self::QueueFull { waiting } => write!(f, "the queue is full: {waiting} requests wait"),
        }
    }
}

impl core::error::Error for Refusal {}

/// The state of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It waits for a place, for KV blocks, or for the prefix that another request computes, or was preempted.
    Queued,
    /// Its prompt passes through the model, or its text again.
    Prefill,
    /// Tokens are made.
    Decode,
    /// It is over.
    Finished(Finish),
}

/// Reason for a request's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended its text, with this token.
    End(u32),
    /// The limit of tokens.
    Limit,
    /// The context is full.
    ContextFull,
    /// A stop text came up.
    StopText,
    /// [`super::Batch::cancel`].
    Cancelled,
    /// It was not taken.
    Refused(Refusal),
    /// It could not begin or go on.
    Failed(Failure),
}

/// Reason that a request which was taken did not begin or go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A logit is infinite or not a number: the model's weights are damaged.
    NotFinite {
        /// Tokens taken when it came up.
        position: usize,
    },
    /// The platform has no memory for it.
    OutOfMemory(OutOfMemory),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite { position } => write!(
                f,
                "the model gives numbers that are not finite after {position} tokens: damaged weights"
            ),
            Self::OutOfMemory(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Failure {}

impl Finish {
    /// Whether it ended for no reason of its own or its owner's.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Failed(_))
    }

    /// The word for it in answers that programs read.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::End(_) => "end",
            Self::Limit => "limit",
            Self::ContextFull => "context",
            Self::StopText => "stop",
            Self::Cancelled => "cancelled",
            Self::Refused(_) | Self::Failed(_) => "failed",
        }
    }
}

impl fmt::Display for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End(_) => write!(f, "end of text"),
            Self::Limit => write!(f, "limit reached"),
            Self::ContextFull => write!(f, "context full"),
            Self::StopText => write!(f, "stop text"),
            Self::Cancelled => write!(f, "cancelled"),
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::Failed(failure) => write!(f, "failed: {failure}"),
        }
    }
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The reason for its end.
    pub finish: Finish,
    /// Tokens made.
    pub tokens: Vec<u32>,
    /// The logarithm of each one's probability, where asked for.
    pub log_probabilities: Vec<f32>,
    /// For each token as many likeliest ones as asked for, in order, with the logarithms of their probabilities.
    pub likeliest: Vec<(u32, f32)>,
    /// Their text, up to a stop text.
    pub text: String,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the prompt whose keys and values were there when it joined, from another request or an earlier one.
    pub shared_tokens: usize,
    /// [`LogitsHash`] of all logits that tokens were chosen from.
    pub logits_hash: u64,
    /// Times of its stages.
    pub times: Times,
}

/// The part of token `index` in a list with equally many entries for each of `tokens` tokens.
pub(super) fn of_token<T>(list: &[T], tokens: usize, index: usize) -> &[T] {
    let each = list.len() / tokens;
    &list[index * each..][..each]
}

impl Outcome {
    /// The likeliest tokens beside token `index`, with the logarithms of their probabilities.
    #[must_use]
    pub fn likeliest_beside(&self, index: usize) -> &[(u32, f32)] {
        of_token(&self.likeliest, self.tokens.len(), index)
    }

    /// The outcome of a request that never was active.
    pub(super) fn nothing(finish: Finish, prompt_tokens: usize, submitted: u64, finished: u64) -> Self {
        Self {
            finish,
            tokens: Vec::new(),
            log_probabilities: Vec::new(),
            likeliest: Vec::new(),
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
    /// Its prompt had passed: there were logits to choose the first token from.
    pub prefilled: u64,
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

    /// From there to the first logits.
    #[must_use]
    pub const fn prefill(&self) -> u64 {
        self.prefilled.saturating_sub(self.started)
    }

    /// Between one token and the next.
    pub fn gaps(&self) -> impl Iterator<Item = u64> {
        self.tokens.array_windows().map(|[before, after]| after - before)
    }

    /// From the first logits to the last token.
    #[must_use]
    pub fn decode(&self) -> u64 {
        self.tokens.last().map_or(0, |last| last.saturating_sub(self.prefilled))
    }
}

/// Events of a batch, in order, handed on after each [`super::Batch::step`].
#[derive(Debug)]
pub enum Event<'a> {
    /// A token was made.
    Token {
        /// The request.
        id: RequestId,
        /// The token.
        token: u32,
        /// The logarithm of its probability, where asked for.
        log_probability: Option<f32>,
        /// The likeliest tokens and theirs, as many as asked for.
        likeliest: &'a [(u32, f32)],
        /// The text that is certain with it.
        text: &'a str,
    },
    /// A request is over.
    Finished {
        /// The request.
        id: RequestId,
        /// Its outcome.
        outcome: Outcome,
    },
}
