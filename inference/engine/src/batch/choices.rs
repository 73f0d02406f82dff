//! The tokens that one text is continued with, chosen one after the other from logits.

use embodios_gguf::memory::OutOfMemory;
use embodios_text::sample::Sampler;

use super::request::{Failure, Finish, Request};
use crate::logits_hash::LogitsHash;

/// The choices of one text.
#[derive(Debug)]
pub(super) struct Choices {
    sampler: Sampler,
    hash: LogitsHash,
}

impl Choices {
    /// Choices that follow the request's prompt, from logits for `vocabulary` tokens.
    ///
    /// # Errors
    /// When there is no memory for the sampler's lists.
    pub(super) fn new(request: &Request, vocabulary: usize) -> Result<Self, OutOfMemory> {
        let mut sampler = Sampler::with_bias(request.sampling, &request.bias, vocabulary)?;
        sampler.accept(&request.prompt);
        Ok(Self { sampler, hash: LogitsHash::new() })
    }

    /// Chooses from `logits` after `position` tokens; a token of `end` ends the text.
    ///
    /// # Errors
    /// The request's end when there is no token: [`Finish::End`], or [`Failure::NotFinite`].
    pub(super) fn choose(&mut self, end: &[u32], logits: &[f32], position: usize) -> Result<u32, Finish> {
        if !self.hash.update(logits) {
            return Err(Finish::Failed(Failure::NotFinite { position }));
        }
        let token = self.sampler.choose(logits);
        if end.contains(&token) {
            return Err(Finish::End(token));
        }
        self.sampler.chosen(token);
        Ok(token)
    }

    /// [`LogitsHash`] of all logits chosen from.
    pub(super) const fn hash(&self) -> u64 {
        self.hash.value()
    }
}
