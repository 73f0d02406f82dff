//! Prompts that a model can take: tokens of its vocabulary, no more than its context has room for.

use core::fmt;

/// Reason that a model does not take tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptError {
    /// No tokens at all.
    Empty,
    /// A token that the model does not have.
    NoSuchToken {
        /// Its number.
        token: u32,
        /// Number of tokens.
        vocabulary: usize,
    },
    /// More tokens than the context has room for.
    ContextFull {
        /// Positions in use.
        used: usize,
        /// Tokens to be added.
        added: usize,
        /// Positions there are.
        context: usize,
    },
}

impl fmt::Display for PromptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "no tokens to go on from"),
            Self::NoSuchToken { token, vocabulary } => {
                write!(f, "token {token} is not one of the model's {vocabulary}")
            }
            Self::ContextFull { used, added, context } => {
                write!(f, "the context of {context} tokens is full: {used} used, {added} more wanted")
            }
        }
    }
}

impl core::error::Error for PromptError {}

/// Checks `tokens`, to be taken by a model of so many tokens behind `used` of `context` positions.
///
/// # Errors
/// [`PromptError`].
pub fn check(tokens: &[u32], vocabulary: usize, used: usize, context: usize) -> Result<(), PromptError> {
    if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
        return Err(PromptError::NoSuchToken { token, vocabulary });
    }
    if tokens.len() > context - used {
        return Err(PromptError::ContextFull { used, added: tokens.len(), context });
    }
    if tokens.is_empty() { Err(PromptError::Empty) } else { Ok(()) }
}
