//! Number formats of keys and values, and the conversion of vectors to them.

use super::KEYS;
use crate::matrix::{F16, F32, FloatFormat, f32_to_f16};

/// The format of a key's or value's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// binary16.
    Half,
    /// binary32.
    Single,
}

impl Precision {
    /// Bytes of a number.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Half => F16::BYTES,
            Self::Single => F32::BYTES,
        }
    }

    /// Writes a vector as number `index` of the [`KEYS`] of a run.
    #[inline(always)]
    pub fn encode_in_run(self, key: &[f32], index: usize, run: &mut [u8]) {
        match self {
            Self::Half => self.spread::<{ F16::BYTES }>(key, index, run),
            Self::Single => self.spread::<{ F32::BYTES }>(key, index, run),
        }
    }

    /// The same for numbers of `BYTES` bytes: encodes many at once, and spreads them out then.
    #[inline(always)]
    fn spread<const BYTES: usize>(self, key: &[f32], index: usize, run: &mut [u8]) {
        const MANY: usize = 64;
        for (numbers, run) in key.chunks(MANY).zip(run.chunks_mut(MANY * KEYS * BYTES)) {
            let mut encoded = [[0; BYTES]; MANY];
            self.encode(numbers, encoded[..numbers.len()].as_flattened_mut());
            for (number, keys) in encoded.iter().zip(run.chunks_exact_mut(KEYS * BYTES)) {
                keys.as_chunks_mut().0[index] = *number;
            }
        }
    }

    /// Writes numbers as the cache holds them.
    #[inline(always)]
    pub fn encode(self, numbers: &[f32], out: &mut [u8]) {
        match self {
            Self::Half => {
                for (number, out) in numbers.iter().zip(out.as_chunks_mut().0) {
                    *out = f32_to_f16(*number).to_le_bytes();
                }
            }
            Self::Single => {
                for (number, out) in numbers.iter().zip(out.as_chunks_mut().0) {
                    *out = number.to_le_bytes();
                }
            }
        }
    }
}
