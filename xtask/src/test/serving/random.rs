//! Random numbers that a seed repeats, for requests that tests make up.

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub struct Random(u64);

impl Random {
    /// The numbers of a seed's request.
    pub fn new(seed: u64, request: u64) -> Self {
        let first = Self(seed).next();
        Self(first ^ request)
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 where that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// True one time in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`, of which there are some.
    pub fn of<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[self.below(choices.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_numbers_and_requests_differ() {
        let numbers = |seed, request| {
            let mut random = Random::new(seed, request);
            [(); 4].map(|()| random.below(1000))
        };
        assert_eq!(numbers(1, 5), numbers(1, 5));
        assert!(numbers(1, 5) != numbers(1, 6) && numbers(1, 5) != numbers(2, 5));
        assert_eq!(Random::new(1, 1).below(0), 0);
    }
}
