//! The choice of the next token.

mod adjust;
mod probability;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cmp::Ordering;

use embodios_gguf::memory::{OutOfMemory, filled};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

pub use adjust::BAN;
pub use probability::LogProbabilities;

/// Sampling parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 (or less) takes the most likely token always.
    pub temperature: f32,
    /// Only this many most likely tokens take part; 0 for all.
    pub top_k: usize,
    /// Of those, only the most likely ones that together reach this probability; 1 for all.
    pub top_p: f32,
    /// Of those, only the ones at least this often as likely as the likeliest; 0 for all.
    pub min_p: f32,
    /// Logits of recent tokens are divided by it where they are positive, else multiplied (Keskar et al.,
    /// "CTRL", 2019); 1 for not at all.
    pub repetition: f32,
    /// Tokens that count as recent.
    pub window: usize,
    /// Taken from the logits of tokens that were chosen before; 0 for not at all.
    pub presence: f32,
    /// Taken from the logits of tokens for each time that they were chosen before; 0 for not at all.
    pub frequency: f32,
    /// Start of the random sequence (xoshiro256++, seeded by SplitMix64).
    pub seed: u64,
}

impl Sampling {
    /// The most likely token always.
    pub const GREEDY: Self = Self {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        repetition: 1.0,
        window: 64,
        presence: 0.0,
        frequency: 0.0,
        seed: 0,
    };

    /// Whether the largest logit decides alone.
    fn is_greedy(&self) -> bool {
        self.temperature <= 0.0 || self.temperature.is_nan()
    }

    fn penalises(&self) -> bool {
        self.repetition != 1.0 && self.window > 0
    }

    fn counts(&self) -> bool {
        self.presence != 0.0 || self.frequency != 0.0
    }
}

/// A sequence of choices: the same on every platform for the same logits.
#[derive(Debug)]
pub struct Sampler {
    sampling: Sampling,
    random: Xoshiro256PlusPlus,
    candidates: Vec<Candidate>,
    /// The latest tokens, as far as they are penalised.
    recent: VecDeque<u32>,
    /// What is added to the logits of tokens, in their order.
    bias: Vec<(u32, f32)>,
    /// Times that each token was chosen, where that counts.
    counts: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    token: u32,
    /// The logit, and for those that take part then a multiple of the probability.
    weight: f32,
}

impl Candidate {
    /// More likely first, lower token first among equals.
    fn rank(&self, other: &Self) -> Ordering {
        other.weight.total_cmp(&self.weight).then(self.token.cmp(&other.token))
    }
}

impl Sampler {
    /// A sampler for `vocabulary` tokens.
    ///
    /// # Errors
    /// When there is no memory for its list.
    pub fn new(sampling: Sampling, vocabulary: usize) -> Result<Self, OutOfMemory> {
        Self::with_bias(sampling, &[], vocabulary)
    }

    /// A sampler for `vocabulary` tokens that adds to the logits of some: finite numbers. A token with [`BAN`] or less
    /// is never chosen, unless all others are banned too.
    ///
    /// # Errors
    /// When there is no memory for its lists.
    pub fn with_bias(
        sampling: Sampling,
        bias: &[(u32, f32)],
        vocabulary: usize,
    ) -> Result<Self, OutOfMemory> {
        let likeliest =
            sampling.is_greedy() && !sampling.penalises() && !sampling.counts() && bias.is_empty();
        let length = if likeliest { 0 } else { vocabulary };
        Ok(Self {
            sampling,
            random: Xoshiro256PlusPlus::seed_from_u64(sampling.seed),
            candidates: filled(length, Candidate { token: 0, weight: 0.0 }, "list of candidates")?,
            recent: VecDeque::with_capacity(if sampling.penalises() {
                sampling.window.min(vocabulary)
            } else {
                0
            }),
            bias: adjust::sorted(bias, vocabulary)?,
            counts: filled(if sampling.counts() { vocabulary } else { 0 }, 0, "counts of tokens")?,
        })
    }

    /// Takes note of tokens of the text so far.
    pub fn accept(&mut self, tokens: &[u32]) {
        if self.sampling.penalises() {
            let left = self.recent.len().saturating_add(tokens.len()).saturating_sub(self.sampling.window);
            self.recent.drain(..left.min(self.recent.len()));
            self.recent.extend(&tokens[tokens.len().saturating_sub(self.sampling.window)..]);
        }
    }

    /// Takes note of a token that was chosen.
    pub fn chosen(&mut self, token: u32) {
        self.accept(&[token]);
        if let Some(count) = self.counts.get_mut(token as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Chooses a token; `logits` are as many as the vocabulary, finite.
    pub fn choose(&mut self, logits: &[f32]) -> u32 {
        if self.candidates.is_empty() {
            return most_likely(logits);
        }
        for (token, (candidate, logit)) in self.candidates.iter_mut().zip(logits).enumerate() {
            *candidate = Candidate { token: token as u32, weight: *logit };
        }
        let left = self.adjust(logits);
        let candidates = &mut self.candidates[..left];
        if self.sampling.is_greedy() {
            return candidates.iter().min_by(|a, b| a.rank(b)).map_or(0, |best| best.token);
        }
        let count = match self.sampling.top_k {
            0 => left,
            k => k.min(left),
        };
        if count < left {
            candidates.select_nth_unstable_by(count - 1, Candidate::rank);
        }
        let Sampling { temperature, top_p, min_p, .. } = self.sampling;
        let (head, tail) = head_and_tail(&mut candidates[..count], temperature);
        let largest = head[0].weight;
        let weight = |logit: f32| libm::expf((logit - largest) / temperature);
        head.iter_mut().for_each(|candidate| candidate.weight = weight(candidate.weight));
        let nucleus = position_of(head, top_p * total(head));
        let chosen = &head[..nucleus.map_or(head.len(), |last| last + 1)];
        // The likeliest weighs 1.
        let likely = chosen.partition_point(|candidate| candidate.weight >= min_p).max(1);
        let tail = if nucleus.is_none() && likely == head.len() { tail } else { &[] };
        let chosen = &chosen[..likely];
        // 24 random bits: every value is exact in f32 and below 1.
        let uniform = (self.random.next_u64() >> 40) as f32 / (1u32 << 24) as f32;
        if let Some(place) = position_of(chosen, uniform * total(chosen)) {
            return chosen[place].token;
        }
        // The product was rounded up to the total: the last of all that take part.
        let last = tail.iter().filter(|candidate| weight(candidate.weight) >= min_p).max_by(|a, b| a.rank(b));
        last.unwrap_or(&chosen[likely - 1]).token
    }
}

/// Exponents below this belong to weights less than 2^-24, half of the last place of a sum that is at least 1: added to
/// it one by one they leave it as it is.
const NEGLIGIBLE: f32 = -18.0;

/// The candidates whose weights change a sum that begins with the likeliest's, 1, in order; and the others in any.
fn head_and_tail(candidates: &mut [Candidate], temperature: f32) -> (&mut [Candidate], &[Candidate]) {
    let largest = candidates.iter().map(|candidate| candidate.weight).fold(f32::NEG_INFINITY, f32::max);
    let mut length = 0;
    for index in 0..candidates.len() {
        if (candidates[index].weight - largest) / temperature >= NEGLIGIBLE {
            candidates.swap(index, length);
            length += 1;
        }
    }
    let (head, tail) = candidates.split_at_mut(length);
    head.sort_unstable_by(Candidate::rank);
    (head, tail)
}

fn total(candidates: &[Candidate]) -> f32 {
    candidates.iter().map(|candidate| candidate.weight).sum()
}

/// Position where the running sum of weights first exceeds `share`.
fn position_of(candidates: &[Candidate], share: f32) -> Option<usize> {
    let mut sum = 0.0;
    candidates.iter().position(|candidate| {
        sum += candidate.weight;
        sum > share
    })
}

/// The token with the largest logit, the lowest among equals.
#[must_use]
pub fn most_likely(logits: &[f32]) -> u32 {
    // In vectors first, which know no places.
    let mut largest = [f32::NEG_INFINITY; 64];
    for row in logits.chunks(largest.len()) {
        for (largest, &logit) in largest.iter_mut().zip(row) {
            *largest = if logit > *largest { logit } else { *largest };
        }
    }
    let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    logits.iter().position(|&logit| logit == largest).unwrap_or(0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(sampling: Sampling, logits: &[f32], count: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling, logits.len()).unwrap();
        (0..count).map(|_| sampler.choose(logits)).collect()
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        assert_eq!(draw(Sampling::GREEDY, &[0.5, 2.0, -1.0, 2.0], 2), [1, 1]);
    }

    #[test]
    fn the_seed_decides() {
        let logits: Vec<f32> = (0..50).map(|i| (i % 7) as f32 * 0.3).collect();
        let sampling = |seed| Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, seed, ..Sampling::GREEDY };
        assert_eq!(draw(sampling(1), &logits, 64), draw(sampling(1), &logits, 64));
        assert_ne!(draw(sampling(1), &logits, 64), draw(sampling(2), &logits, 64));
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        let logits = [0.0, libm::logf(3.0), libm::logf(4.0)];
        let sampling = Sampling { temperature: 1.0, seed: 7, ..Sampling::GREEDY };
        let drawn = draw(sampling, &logits, 8000);
        for (token, expected) in [(0, 1000), (1, 3000), (2, 4000)] {
            let count = drawn.iter().filter(|&&drawn| drawn == token).count() as i32;
            assert!((count - expected).abs() < 200, "token {token}: {count} of {expected}");
        }
    }

    #[test]
    fn the_smallest_temperature_is_greedy() {
        let sampling = Sampling { temperature: f32::from_bits(1), seed: 5, ..Sampling::GREEDY };
        assert_eq!(draw(sampling, &[0.5, 2.0, -1.0, 1.9], 16), [1; 16]);
    }

    #[test]
    fn top_k_top_p_and_min_p_cut_the_tail() {
        let logits = [3.0, 1.0, 2.0, 0.0];
        let all = Sampling { temperature: 1.0, seed: 3, ..Sampling::GREEDY };
        let seen = |sampling| {
            let mut seen = draw(sampling, &logits, 2000);
            seen.sort_unstable();
            seen.dedup();
            seen
        };
        assert_eq!(seen(all), [0, 1, 2, 3]);
        assert_eq!(seen(Sampling { top_k: 2, ..all }), [0, 2]);
        // Probabilities 0.64, 0.24, 0.09, 0.03 for tokens 0, 2, 1, 3.
        assert_eq!(seen(Sampling { top_p: 0.7, ..all }), [0, 2]);
        assert_eq!(seen(Sampling { top_p: 0.5, ..all }), [0]);
        // A logit 1 lower is e times less likely.
        assert_eq!(seen(Sampling { min_p: 0.36, ..all }), [0, 2]);
        assert_eq!(seen(Sampling { min_p: 0.37, ..all }), [0]);
        assert_eq!(seen(Sampling { min_p: 2.0, ..all }), [0]);
    }

    /// The definition of [`Sampler::choose`]: all candidates in order.
    fn choose_from_all(sampling: &Sampling, logits: &[f32], uniform: f32) -> u32 {
        let mut all: Vec<Candidate> =
            (0..).zip(logits).map(|(token, &weight)| Candidate { token, weight }).collect();
        all.sort_unstable_by(Candidate::rank);
        all.truncate(if sampling.top_k == 0 { all.len() } else { sampling.top_k });
        let largest = all[0].weight;
        all.iter_mut().for_each(|one| one.weight = libm::expf((one.weight - largest) / sampling.temperature));
        let last = |all: &[Candidate], share| position_of(all, share).unwrap_or(all.len() - 1);
        all.truncate(last(&all, sampling.top_p * total(&all)) + 1);
        all.truncate(all.partition_point(|one| one.weight >= sampling.min_p).max(1));
        all[last(&all, uniform * total(&all))].token
    }

    #[test]
    fn the_head_decides_as_all_candidates_do() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(11);
        let mut uniform = move || (random.next_u64() >> 40) as f32 / (1u32 << 24) as f32;
        for round in 0..3000u64 {
            let (count, spread) = (1 + (round % 300) as usize, [0.1, 8.0, 40.0, 300.0][round as usize % 4]);
            let logits: Vec<f32> =
                (0..count).map(|_| libm::roundf(uniform() * 64.0) / 64.0 * spread).collect();
            let sampling = Sampling {
                temperature: [0.2, 0.7, 1.0, 3.0][(uniform() * 4.0) as usize],
                top_k: [0, 0, 1, 5, 50][(uniform() * 5.0) as usize],
                top_p: [1.0, 1.0, 0.95, 0.5, 0.0][(uniform() * 5.0) as usize],
                min_p: [0.0, 0.0, 0.05, 1e-9, 1.0][(uniform() * 5.0) as usize],
                seed: round,
                ..Sampling::GREEDY
            };
            let drawn = Xoshiro256PlusPlus::seed_from_u64(round).next_u64() >> 40;
            let expected = choose_from_all(&sampling, &logits, drawn as f32 / (1u32 << 24) as f32);
            assert_eq!(draw(sampling, &logits, 1), [expected], "{sampling:?} {logits:?}");
        }
    }

    #[test]
    fn only_the_head_is_sorted() {
        let mut candidates: Vec<Candidate> =
            (0..100_000).map(|token| Candidate { token, weight: (token % 1000) as f32 }).collect();
        let (head, tail) = head_and_tail(&mut candidates, 1.0);
        assert_eq!((head.len(), tail.len(), head[0].token, head[100].token), (1900, 98_100, 999, 998));
    }

    #[test]
    fn recent_tokens_are_penalised() {
        let choose = |sampling, recent: &[u32], logits: &[f32]| {
            let mut sampler = Sampler::new(sampling, logits.len()).unwrap();
            recent.iter().for_each(|&token| sampler.accept(&[token]));
            sampler.choose(logits)
        };
        let sampling = Sampling { repetition: 2.0, window: 2, ..Sampling::GREEDY };
        let logits = [1.0, 3.0, 2.0, -1.0];
        assert_eq!(choose(sampling, &[], &logits), 1);
        // 3 / 2 is less than 2, however often the token came.
        assert_eq!(choose(sampling, &[1, 1], &logits), 2);
        assert_eq!(choose(sampling, &[1, 2], &logits), 1);
        // Out of the window.
        assert_eq!(choose(sampling, &[1, 0, 3], &logits), 1);
        // Negative logits become more so.
        assert_eq!(choose(sampling, &[0], &[-1.0, -1.5]), 1);
        let mut sampler = Sampler::new(sampling, 4).unwrap();
        sampler.accept(&[2, 3, 1, 0, 1]);
        assert_eq!(sampler.recent, [0, 1]);
        let drawn = Sampling { temperature: 0.01, ..sampling };
        assert_eq!(choose(drawn, &[1], &logits), 2);
    }
}
