//! A hash of logits: equal where all bits are equal, on every platform.
//!
//! It passes over every logit of every token, so it is made for vectors: logit `i` belongs to lane `i % 64`, which is
//! an FNV-1a of 32 bits over words instead of bytes; the lanes are the words of one of 64 bits.

/// Lanes.
const LANES: usize = 64;

/// FNV's offset basis and prime of 32 bits.
const LANE: (u32, u32) = (0x811c_9dc5, 0x0100_0193);

/// The same of 64 bits.
const WHOLE: (u64, u64) = (0xcbf2_9ce4_8422_2325, 0x0000_0100_0000_01b3);

/// The hash of a row of logits after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogitsHash(u64);

impl LogitsHash {
    /// The hash of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(WHOLE.0)
    }

    /// Adds `logits`. Result: whether all of them are finite.
    pub fn update(&mut self, logits: &[f32]) -> bool {
        let mut lanes = [LANE.0; LANES];
        let mut largest = [0; LANES];
        let (rows, rest) = logits.as_chunks::<LANES>();
        for row in rows {
            add(&mut lanes, &mut largest, row);
        }
        add(&mut lanes, &mut largest, rest);
        lanes.into_iter().for_each(|lane| self.combine(lane.into()));
        largest.into_iter().all(|magnitude| f32::from_bits(magnitude).is_finite())
    }

    /// Adds another hash.
    pub const fn combine(&mut self, other: u64) {
        self.0 = (self.0 ^ other).wrapping_mul(WHOLE.1);
    }

    /// The hash.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

/// Adds up to one logit to each lane, and keeps the bits of the largest magnitude: NaN's are larger than all others'.
#[inline(always)]
fn add(lanes: &mut [u32; LANES], largest: &mut [u32; LANES], logits: &[f32]) {
    for ((lane, largest), logit) in lanes.iter_mut().zip(largest).zip(logits) {
        *lane = (*lane ^ logit.to_bits()).wrapping_mul(LANE.1);
        *largest = (*largest).max(logit.abs().to_bits());
    }
}

impl Default for LogitsHash {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn hash(logits: &[f32]) -> u64 {
        let mut hash = LogitsHash::new();
        assert!(hash.update(logits));
        hash.value()
    }

    #[test]
    fn every_bit_and_place_counts() {
        let logits: Vec<f32> = (0..200).map(|i| i as f32 * 0.37 - 11.0).collect();
        let whole = hash(&logits);
        for place in 0..logits.len() {
            for bit in 0..23 {
                let mut other = logits.clone();
                other[place] = f32::from_bits(other[place].to_bits() ^ 1 << bit);
                assert_ne!(hash(&other), whole, "{place} {bit}");
            }
        }
        let mut swapped = logits.clone();
        swapped.swap(3, 3 + LANES);
        assert_ne!(hash(&swapped), whole);
    }

    #[test]
    fn what_is_not_finite_is_told() {
        for place in [0, LANES - 1, LANES, 149] {
            for logit in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut logits = [f32::MAX; 150];
                logits[place] = logit;
                assert!(!LogitsHash::new().update(&logits), "{place} {logit}");
            }
        }
    }
}
