//! Requests drawn at random, and other choices.

use alloc::vec::Vec;

use embodios_engine::batch::Request;
use embodios_text::sample::{BAN, Sampling};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// The largest that is drawn, where nothing else is said.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Requests of a batch.
    pub requests: usize,
    /// Tokens of a prompt.
    pub prompt: usize,
    /// Tokens made of it.
    pub tokens: usize,
    /// The smallest limit of them.
    pub limit: usize,
    /// One in so many requests ends at a token, and about as many at a text.
    pub ends: usize,
}

impl Sizes {
    /// Sizes that an emulated core computes in seconds.
    pub const SMALL: Self = Self { requests: 5, prompt: 30, tokens: 5, limit: 1, ends: 2 };
    /// Sizes that users send, with prompts of several blocks.
    pub const FULL: Self = Self { requests: 32, prompt: 120, tokens: 24, limit: 1, ends: 2 };
    /// Sizes of requests that grow by several blocks, so that some are preempted.
    pub const LONG: Self = Self { requests: 8, prompt: 90, tokens: 110, limit: 70, ends: 8 };
}

/// Draws the same whenever it begins with the same seed.
#[derive(Clone, Debug)]
pub struct Random(Xoshiro256PlusPlus);

impl Random {
    /// Begins anew.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.0.next_u64() % bound as u64) as usize
    }

    /// Whether something happens that happens once in so many `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// A request out of what users mix: many begin alike, some sample, some stop at a text. All want probabilities.
    pub fn request(&mut self, sizes: Sizes, vocabulary: usize) -> Request {
        let third = sizes.prompt / 3;
        let length = match self.below(4) {
            0 => third + self.below(sizes.prompt - third + 1),
            _ => 1 + self.below(sizes.prompt / 10),
        };
        let others = self.one_in(3);
        let prompt = (0..length).map(|position| match position {
            position if position < third && !others => (position * 37 % vocabulary) as u32,
            _ => self.below(vocabulary) as u32,
        });
        let prompt: Vec<u32> = prompt.collect();
        let mut bias = Vec::new();
        let sampling = match self.below(3) {
            0 => Sampling::GREEDY,
            1 => Sampling { temperature: 0.8, top_k: 40, seed: self.0.next_u64(), ..Sampling::GREEDY },
            _ => {
                bias.extend(prompt.first().map(|&token| (token, BAN)));
                Sampling {
                    temperature: 1.2,
                    top_p: 0.9,
                    min_p: 0.02,
                    repetition: 1.2,
                    presence: 0.1,
                    frequency: 0.2,
                    seed: self.0.next_u64(),
                    ..Sampling::GREEDY
                }
            }
        };
        Request {
            prompt,
            limit: sizes.limit + self.below(sizes.tokens - sizes.limit + 1),
            end: if self.one_in(sizes.ends) { [0, 277].into() } else { Vec::new() },
            sampling,
            bias,
            stops: if self.one_in(1 + sizes.ends) { [" the".into(), ".".into()].into() } else { Vec::new() },
            log_probabilities: Some(self.below(4)),
        }
    }
}
