//! A conversation with a model: its position, its cache, and the forward pass on all cores.
//!
//! Every matrix product is split by rows, attention by heads. What a row or a head computes does not
//! depend on who computes it, so that the number of workers and the division of a prompt into calls
//! leave no trace in the bits.

mod chunk;

use alloc::vec::Vec;
use core::fmt;

use crate::cache::{Cache, CacheError, Limits};
use crate::kernels::Kernels;
use crate::memory::{OutOfMemory, filled};
use crate::model::Model;
use crate::pool::Pool;
use chunk::Chunk;

/// Why a session does not begin or does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionError {
    /// No cache.
    Cache(CacheError),
    /// No memory for the buffers.
    OutOfMemory(OutOfMemory),
    /// More tokens than the context has room for.
    ContextFull {
        /// Positions in use.
        used: usize,
        /// Tokens to be added.
        added: usize,
        /// Positions there are.
        context: usize,
    },
    /// A token that the model does not have.
    NoSuchToken {
        /// Its number.
        token: u32,
        /// Number of tokens.
        vocabulary: usize,
    },
    /// No tokens at all.
    Empty,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cache(error) => error.fmt(f),
            Self::OutOfMemory(error) => error.fmt(f),
            Self::ContextFull { used, added, context } => {
                write!(f, "the context of {context} tokens is full: {used} used, {added} more wanted")
            }
            Self::NoSuchToken { token, vocabulary } => {
                write!(f, "token {token} is not one of the model's {vocabulary}")
            }
            Self::Empty => write!(f, "no tokens to go on from"),
        }
    }
}

impl core::error::Error for SessionError {}

impl From<OutOfMemory> for SessionError {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(error)
    }
}

impl From<CacheError> for SessionError {
    fn from(error: CacheError) -> Self {
        Self::Cache(error)
    }
}

/// A session. Begins at position 0.
#[derive(Debug)]
pub struct Session<'m> {
    model: &'m Model<'m>,
    kernels: Kernels,
    cache: Cache,
    position: usize,
    chunk: Chunk,
    logits: Vec<f32>,
}

impl<'m> Session<'m> {
    /// A session with room for `limits`.
    ///
    /// # Errors
    /// When the cache does not fit the limits, or the memory does not suffice.
    pub fn new(model: &'m Model<'m>, kernels: Kernels, limits: Limits) -> Result<Self, SessionError> {
        let cache = Cache::new(model, limits)?;
        let chunk = Chunk::new(model, cache.context())?;
        let logits = filled(model.config.vocabulary, 0.0, "logits")?;
        Ok(Self { model, kernels, cache, position: 0, chunk, logits })
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &'m Model<'m> {
        self.model
    }

    /// Tokens taken so far.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Tokens there is room for.
    #[must_use]
    pub const fn context(&self) -> usize {
        self.cache.context()
    }

    /// Bytes of the cache.
    #[must_use]
    pub const fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// What the last [`Self::feed`] returned.
    #[must_use]
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Forgets everything.
    pub const fn reset(&mut self) {
        self.position = 0;
    }

    /// Takes `tokens` and returns a logit for each token of the vocabulary to come next.
    ///
    /// # Errors
    /// When there are none, one does not exist or the context has no room for them; nothing is taken then.
    pub fn feed(&mut self, pool: &mut Pool, tokens: &[u32]) -> Result<&[f32], SessionError> {
        let vocabulary = self.model.config.vocabulary;
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            return Err(SessionError::NoSuchToken { token, vocabulary });
        }
        let (used, context) = (self.position, self.context());
        if tokens.len() > context - used {
            return Err(SessionError::ContextFull { used, added: tokens.len(), context });
        }
        if tokens.is_empty() {
            return Err(SessionError::Empty);
        }
        let Self { model, kernels, cache, position, chunk, logits } = self;
        for tokens in tokens.chunks(chunk.capacity()) {
            chunk.begin(model, pool, tokens, *position);
            for (index, layer) in model.layers.iter().enumerate() {
                chunk.attention(*kernels, pool, cache, index, layer);
                chunk.feed_forward(*kernels, pool, layer);
            }
            *position += tokens.len();
        }
        chunk.logits(*kernels, pool, model, logits);
        Ok(&self.logits)
    }
}
