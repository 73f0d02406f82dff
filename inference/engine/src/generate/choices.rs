//! The tokens that one text is continued with, chosen one after the other from logits.

use embodios_gguf::memory::OutOfMemory;
use embodios_text::sample::Sampler;

use super::{GenerateError, LogitsHash, Request, Stop};

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This token.
    Token(u32),
    /// Nothing: [`Stop::End`] or [`Stop::Limit`].
    Stop(Stop),
}

/// The choices of one text.
#[derive(Debug)]
pub struct Choices {
    sampler: Sampler,
    hash: LogitsHash,
    limit: usize,
    made: usize,
}

impl Choices {
    /// Choices that follow the request's prompt, from logits for `vocabulary` tokens.
    ///
    /// # Errors
    /// When there is no memory for the sampler's list.
    pub fn new(request: &Request<'_>, vocabulary: usize) -> Result<Self, OutOfMemory> {
        let mut sampler = Sampler::new(request.sampling, vocabulary)?;
        sampler.accept(request.prompt);
        Ok(Self { sampler, hash: LogitsHash::new(), limit: request.limit, made: 0 })
    }

    /// Chooses from `logits` after `position` tokens; a token of `end` ends the text.
    ///
    /// # Errors
    /// [`GenerateError::NotFinite`].
    pub fn choose(&mut self, end: &[u32], logits: &[f32], position: usize) -> Result<Choice, GenerateError> {
        if self.made == self.limit {
            return Ok(Choice::Stop(Stop::Limit));
        }
        if !self.hash.update(logits) {
            return Err(GenerateError::NotFinite { position });
        }
        let token = self.sampler.choose(logits);
        if end.contains(&token) {
            return Ok(Choice::Stop(Stop::End(token)));
        }
        self.made += 1;
        self.sampler.accept(&[token]);
        Ok(Choice::Token(token))
    }

    /// Tokens chosen so far.
    #[must_use]
    pub const fn made(&self) -> usize {
        self.made
    }

    /// [`LogitsHash`] of all logits chosen from.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash.value()
    }
}
