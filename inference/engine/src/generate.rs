//! From a prompt's tokens to the model's, each handed on as soon as it is made.

mod choices;
mod hash;

use core::fmt;
use core::ops::ControlFlow;

use embodios_pool::Pool;
use embodios_text::sample::{LogProbabilities, Sampling};

use crate::session::{Session, SessionError};
pub use choices::{Choice, Choices};
pub use hash::LogitsHash;

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Tokens to go on from, after what the session already holds.
    pub prompt: &'a [u32],
    /// Most tokens to make.
    pub limit: usize,
    /// Tokens that end the text; they are not handed on.
    pub end: &'a [u32],
    /// How tokens are chosen.
    pub sampling: Sampling,
}

/// A token just made.
#[derive(Clone, Copy, Debug)]
pub struct Made<'l> {
    /// The token.
    pub token: u32,
    /// The logits that it was chosen from, as the model gave them.
    pub logits: &'l [f32],
}

impl<'l> Made<'l> {
    /// What the model thought of this and all other tokens.
    #[must_use]
    pub fn log_probabilities(&self) -> LogProbabilities<'l> {
        LogProbabilities::new(self.logits)
    }
}

/// Why it stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The model ended its text, with this token.
    End(u32),
    /// The limit of tokens.
    Limit,
    /// The context is full.
    ContextFull,
    /// The receiver of tokens asked to.
    Asked,
}

/// What was done, and in what time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Why it stopped.
    pub stop: Stop,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Time until the logits after the prompt, in nanoseconds.
    pub prompt_ns: u64,
    /// Tokens handed on.
    pub tokens: usize,
    /// Tokens passed through the model after the prompt.
    pub steps: usize,
    /// Time since the logits after the prompt, in nanoseconds.
    pub generation_ns: u64,
    /// [`LogitsHash`] of all logits that tokens were chosen from.
    pub logits_hash: u64,
}

impl Report {
    /// Tokens a second through the model while generating.
    #[must_use]
    pub fn generation_rate(&self) -> f64 {
        rate(self.steps, self.generation_ns)
    }

    /// Tokens a second through the model for the prompt.
    #[must_use]
    pub fn prompt_rate(&self) -> f64 {
        rate(self.prompt_tokens, self.prompt_ns)
    }
}

fn rate(count: usize, nanoseconds: u64) -> f64 {
    count as f64 * 1e9 / nanoseconds.max(1) as f64
}

/// Why there is no (further) token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerateError {
    /// The session refused the tokens.
    Session(SessionError),
    /// A logit is infinite or not a number: the model's weights are damaged.
    NotFinite {
        /// Tokens taken when it came up.
        position: usize,
    },
}

impl fmt::Display for GenerateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(error) => error.fmt(f),
            Self::NotFinite { position } => {
                write!(
                    f,
                    "the model gives numbers that are not finite after {position} tokens: damaged weights"
                )
            }
        }
    }
}

impl core::error::Error for GenerateError {}

impl From<SessionError> for GenerateError {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

/// Generates. `receive` gets every token as it is made, and may ask to stop.
///
/// # Errors
/// [`GenerateError`]; tokens made before have been handed on.
pub fn generate(
    session: &mut Session<'_>,
    pool: &mut Pool,
    request: &Request<'_>,
    receive: &mut dyn FnMut(Made<'_>) -> ControlFlow<()>,
) -> Result<Report, GenerateError> {
    let platform = pool.platform();
    let vocabulary = session.model().config.vocabulary;
    let mut choices = Choices::new(request, vocabulary).map_err(SessionError::from)?;
    let mut steps = 0;

    let start = platform.now_ns();
    session.feed(pool, request.prompt)?;
    let prompted = platform.now_ns();
    let stop = loop {
        let token = match choices.choose(request.end, session.logits(), session.position())? {
            Choice::Token(token) => token,
            Choice::Stop(stop) => break stop,
        };
        if receive(Made { token, logits: session.logits() }).is_break() {
            break Stop::Asked;
        }
        if choices.made() == request.limit {
            break Stop::Limit;
        }
        if session.position() == session.context() {
            break Stop::ContextFull;
        }
        session.feed(pool, &[token])?;
        steps += 1;
    };
    Ok(Report {
        stop,
        prompt_tokens: request.prompt.len(),
        prompt_ns: prompted - start,
        tokens: choices.made(),
        steps,
        generation_ns: platform.now_ns() - prompted,
        logits_hash: choices.hash(),
    })
}
