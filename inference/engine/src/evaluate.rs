//! Logits of given tokens: nothing is sampled, so that the caller says each token and reads each row of logits. For
//! perplexity, comparisons and measurements; text is continued by a [`crate::batch::Batch`].

use core::fmt;

use embodios_gguf::memory::OutOfMemory;
use embodios_kernels::Kernels;
use embodios_pool::Pool;

use crate::cache::{BlockPool, CacheError, Limits};
use crate::forward::{CHUNK, Forward, Slot};
use crate::model::Model;
use crate::prompt::{self, PromptError};

/// Reason that there are no logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvaluateError {
    /// No cache.
    Cache(CacheError),
    /// No memory for the buffers.
    OutOfMemory(OutOfMemory),
    /// The model does not take the tokens.
    Prompt(PromptError),
    /// [`Pool::interrupted`].
    Interrupted,
}

impl fmt::Display for EvaluateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cache(error) => error.fmt(f),
            Self::OutOfMemory(error) => error.fmt(f),
            Self::Prompt(error) => error.fmt(f),
            Self::Interrupted => write!(f, "interrupted"),
        }
    }
}

impl core::error::Error for EvaluateError {}

impl From<OutOfMemory> for EvaluateError {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(error)
    }
}

impl From<CacheError> for EvaluateError {
    fn from(error: CacheError) -> Self {
        Self::Cache(error)
    }
}

impl From<PromptError> for EvaluateError {
    fn from(error: PromptError) -> Self {
        Self::Prompt(error)
    }
}

/// A sequence that takes the tokens it is given. Begins at position 0.
#[derive(Debug)]
pub struct Evaluator<'m> {
    slot: Slot,
    forward: Forward<'m>,
}

impl<'m> Evaluator<'m> {
    /// An evaluator with room for `limits`.
    ///
    /// # Errors
    /// When the cache does not fit the limits, or the memory does not suffice.
    pub fn new(model: &'m Model<'m>, kernels: Kernels, limits: Limits) -> Result<Self, EvaluateError> {
        let mut blocks = BlockPool::new(model, limits.budget)?;
        let context = blocks.context(limits)?;
        let sequence = blocks.begin(context, context, [])?;
        let chunk = CHUNK.min(context);
        let forward = Forward::new(model, kernels, chunk, 1, context)?;
        let mut slot = Slot::new(model, sequence, chunk)?;
        slot.fill(model, context);
        Ok(Self { slot, forward })
    }

    /// Tokens taken so far.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.slot.sequence.position()
    }

    /// Tokens there is room for.
    #[must_use]
    pub const fn context(&self) -> usize {
        self.slot.sequence.context()
    }

    /// The logits that the last [`Self::feed`] returned.
    #[must_use]
    pub fn logits(&self) -> &[f32] {
        &self.slot.logits
    }

    /// Forgets all tokens but the first `position`.
    pub fn rewind(&mut self, position: usize) {
        self.slot.sequence.rewind(position);
    }

    /// Takes `tokens` and returns a logit for each token of the vocabulary to come next.
    ///
    /// # Errors
    /// When there are none, one does not exist or the context has no room for them; nothing is taken then. When it is
    /// interrupted, some may have been taken.
    pub fn feed(&mut self, pool: &mut Pool, tokens: &[u32]) -> Result<&[f32], EvaluateError> {
        let vocabulary = self.forward.model().config.vocabulary;
        prompt::check(tokens, vocabulary, self.position(), self.context())?;
        let Self { slot, forward } = self;
        forward.prepare(pool.workers())?;
        let mut chunks = tokens.chunks(forward.capacity()).peekable();
        while let Some(chunk) = chunks.next() {
            if pool.interrupted() {
                return Err(EvaluateError::Interrupted);
            }
            slot.tokens.extend_from_slice(chunk);
            slot.wants_logits = chunks.peek().is_none();
            forward.step(pool, core::slice::from_mut(slot));
        }
        Ok(&self.slot.logits)
    }
}
