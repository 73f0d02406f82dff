//! A sequence's slot in a step: its tokens, its keys and values, its logits.

use alloc::vec::Vec;

use embodios_gguf::memory::{OutOfMemory, filled, reserved};
use embodios_kernels::online_softmax::SOFTMAX_STATE;

use super::kv_attention;
use crate::cache::Sequence;
use crate::model::{Config, Model};

/// A sequence's slot.
#[derive(Debug)]
pub struct Slot {
    /// Its keys and values so far.
    pub sequence: Sequence,
    /// Tokens to take next; none in a step that it sits out. A step empties them.
    pub tokens: Vec<u32>,
    /// Whether the step shall compute logits after the last of the tokens.
    pub wants_logits: bool,
    /// Logits of the last step that computed them, one for each token of the vocabulary.
    pub logits: Vec<f32>,
    /// Scratch of its only row between two products: queries, keys, values, partials, scores and sums.
    pub(super) work: Vec<f32>,
}

impl Slot {
    /// A slot with room for `tokens` tokens a step.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(model: &Model<'_>, sequence: Sequence, tokens: usize) -> Result<Self, OutOfMemory> {
        let Config { heads, kv_heads, head_length, vocabulary, .. } = model.config;
        let work = (2 * heads + 2 * kv_heads) * head_length
            + heads * SOFTMAX_STATE
            + kv_attention::scratch_length(head_length);
        Ok(Self {
            sequence,
            tokens: reserved(tokens, "tokens")?,
            wants_logits: true,
            logits: reserved(vocabulary, "logits")?,
            work: filled(work, 0.0, "activations")?,
        })
    }

    /// Fills the memory that steps of the next `positions` positions write; a step does it where it was not done.
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

impl AsRef<Self> for Slot {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsMut<Self> for Slot {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}
