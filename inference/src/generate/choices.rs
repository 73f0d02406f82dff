//! The tokens that one text is continued with, chosen one after the other from logits.

use super::{GenerateError, Request, Stop};
use crate::memory::OutOfMemory;
use crate::sample::Sampler;

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

/// FNV's prime of 64 bits.
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a of 64 bits over the bits of logits, taken as 32-bit words instead of bytes: equal where all
/// bits are equal, on every platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogitsHash(u64);

impl LogitsHash {
    /// The hash of nothing (FNV's offset basis).
    #[must_use]
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds `logits`. Result: whether all of them are finite.
    pub fn update(&mut self, logits: &[f32]) -> bool {
        for logit in logits {
            self.0 = (self.0 ^ u64::from(logit.to_bits())).wrapping_mul(PRIME);
        }
        logits.iter().all(|logit| logit.is_finite())
    }

    /// Adds another hash.
    pub const fn combine(&mut self, other: u64) {
        self.0 = (self.0 ^ other).wrapping_mul(PRIME);
    }

    /// The hash.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl Default for LogitsHash {
    fn default() -> Self {
        Self::new()
    }
}
