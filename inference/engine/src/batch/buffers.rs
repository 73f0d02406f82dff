//! The buffers of a request in the batch, so that none of its steps allocates.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use embodios_gguf::memory::{OutOfMemory, reserved};

use super::burst::MOST_STEPS;
use super::choices::Choices;
use super::request::Request;
use crate::cache::Sequence;
use crate::forward::Slot;
use crate::model::Model;

/// Bytes of text a token, more than languages take.
const TEXT_BYTES: usize = 8;

/// The buffers of an active request: lists with room for all tokens, text for what they are likely to take.
pub(super) struct Buffers {
    pub slot: Slot,
    pub choices: Choices,
    pub tokens: Vec<u32>,
    pub log_probabilities: Vec<f32>,
    pub likeliest: Vec<(u32, f32)>,
    pub text: String,
    pub unreported: Vec<Range<usize>>,
    pub times: Vec<u64>,
}

impl Buffers {
    /// The buffers of `request`, for steps of up to `rows` rows.
    pub(super) fn new(
        model: &Model<'_>,
        request: &Request,
        empty: Sequence,
        rows: usize,
    ) -> Result<Self, OutOfMemory> {
        let longest = request.limit.min(model.config.context - request.prompt.len() + 1);
        let wanted = if request.log_probabilities.is_some() { longest } else { 0 };
        let likeliest = wanted.saturating_mul(request.likeliest(model));
        let mut text = String::new();
        let bytes = longest * TEXT_BYTES;
        text.try_reserve(bytes).map_err(|_| OutOfMemory { what: "text", bytes })?;
        Ok(Self {
            slot: Slot::new(model, empty, rows)?,
            choices: Choices::new(request, model.config.vocabulary)?,
            tokens: reserved(longest, "tokens")?,
            log_probabilities: reserved(wanted, "log-probabilities")?,
            likeliest: reserved(likeliest, "log-probabilities")?,
            text,
            unreported: reserved(longest.min(MOST_STEPS), "tokens")?,
            times: reserved(longest, "times of tokens")?,
        })
    }
}
