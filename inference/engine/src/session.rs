//! One conversation with a model: its position, its keys and values, and the forward pass on all cores.

use core::fmt;

use embodios_gguf::memory::OutOfMemory;
use embodios_kernels::Kernels;
use embodios_pool::Pool;

use crate::cache::{CacheError, Limits, Pages};
use crate::forward::{Forward, Part};
use crate::model::Model;

/// Most tokens at once. More would make better use of unpacked weights, fewer leave more of the cache to weights.
pub(crate) const CHUNK: usize = 64;

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
    /// [`Pool::interrupted`].
    Interrupted,
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
            Self::Interrupted => write!(f, "interrupted"),
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
    part: Part,
    forward: Forward<'m>,
    cache_bytes: usize,
}

impl<'m> Session<'m> {
    /// A session with room for `limits`.
    ///
    /// # Errors
    /// When the cache does not fit the limits, or the memory does not suffice.
    pub fn new(model: &'m Model<'m>, kernels: Kernels, limits: Limits) -> Result<Self, SessionError> {
        let mut pages = Pages::new(model, limits.budget)?;
        let context = pages.context(limits)?;
        let sequence = pages.begin(context, None)?;
        let chunk = CHUNK.min(context);
        let forward = Forward::new(model, kernels, chunk, 1, context)?;
        let mut part = Part::new(model, sequence, chunk)?;
        part.fill(model, context);
        Ok(Self { part, forward, cache_bytes: pages.bytes() })
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &'m Model<'m> {
        self.forward.model()
    }

    /// Tokens taken so far.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.part.sequence.position()
    }

    /// Tokens there is room for.
    #[must_use]
    pub const fn context(&self) -> usize {
        self.part.sequence.context()
    }

    /// Bytes of the cache.
    #[must_use]
    pub const fn cache_bytes(&self) -> usize {
        self.cache_bytes
    }

    /// What the last [`Self::feed`] returned.
    #[must_use]
    pub fn logits(&self) -> &[f32] {
        &self.part.logits
    }

    /// Forgets all tokens but the first `position`.
    pub fn rewind(&mut self, position: usize) {
        self.part.sequence.rewind(position);
    }

    /// Takes `tokens` and returns a logit for each token of the vocabulary to come next.
    ///
    /// # Errors
    /// When there are none, one does not exist or the context has no room for them; nothing is taken then. When it is
    /// interrupted, some may have been taken.
    pub fn feed(&mut self, pool: &mut Pool, tokens: &[u32]) -> Result<&[f32], SessionError> {
        let vocabulary = self.model().config.vocabulary;
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            return Err(SessionError::NoSuchToken { token, vocabulary });
        }
        let (used, context) = (self.position(), self.context());
        if tokens.len() > context - used {
            return Err(SessionError::ContextFull { used, added: tokens.len(), context });
        }
        if tokens.is_empty() {
            return Err(SessionError::Empty);
        }
        let Self { part, forward, .. } = self;
        forward.prepare(pool.workers())?;
        let mut chunks = tokens.chunks(forward.capacity()).peekable();
        while let Some(chunk) = chunks.next() {
            if pool.interrupted() {
                return Err(SessionError::Interrupted);
            }
            part.tokens.extend_from_slice(chunk);
            part.wants_logits = chunks.peek().is_none();
            forward.step(pool, core::slice::from_mut(part));
        }
        Ok(&self.part.logits)
    }
}
