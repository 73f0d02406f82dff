//! What a sequence takes to a step and back: its tokens, its keys and values, its logits.

use alloc::vec::Vec;

use embodios_gguf::memory::{OutOfMemory, filled, reserved};
use embodios_kernels::found::BESIDE;

use super::look;
use crate::cache::Sequence;
use crate::model::{Config, Model};

/// What a sequence takes part with in a step.
#[derive(Debug)]
pub struct Part {
    /// Its keys and values so far.
    pub sequence: Sequence,
    /// Tokens to take next; none in a step that it sits out. A step empties them.
    pub tokens: Vec<u32>,
    /// Whether the step shall compute logits after the last of the tokens.
    pub wants_logits: bool,
    /// What the last step that should gave: one for each token of the vocabulary.
    pub logits: Vec<f32>,
    /// What its only row needs between two products: queries, keys, values, what is found, and what looking takes.
    pub(super) work: Vec<f32>,
}

impl Part {
    /// A part with room for `tokens` tokens a step.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(model: &Model<'_>, sequence: Sequence, tokens: usize) -> Result<Self, OutOfMemory> {
        let Config { heads, kv_heads, head_length, vocabulary, .. } = model.config;
        let work =
            (2 * heads + 2 * kv_heads) * head_length + heads * BESIDE + look::scratch_length(head_length);
        Ok(Self {
            sequence,
            tokens: reserved(tokens, "tokens")?,
            wants_logits: true,
            logits: reserved(vocabulary, "logits")?,
            work: filled(work, 0.0, "activations")?,
        })
    }

    /// Fills the memory that steps of its next `positions` positions write. They do it themselves where it was not
    /// done.
    pub fn fill(&mut self, model: &Model<'_>, positions: usize) {
        self.sequence.fill(positions);
        self.logits.resize(model.config.vocabulary, 0.0);
    }

    /// Whether it has the memory that the next step writes.
    pub(super) fn is_filled(&self) -> bool {
        let count = self.tokens.len();
        count == 0 || (!self.logits.is_empty() && self.sequence.is_filled(count))
    }
}

impl AsRef<Self> for Part {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsMut<Self> for Part {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}
