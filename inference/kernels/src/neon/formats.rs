//! Conversion of each weight format's blocks to vectors of levels.

use core::arch::aarch64::*;

use super::load_u8;
use crate::matrix::*;

/// A quantised format as vectors.
pub(crate) trait QuantVector: QuantFormat {
    /// The levels of a sub-block of the block. What the portable code does to whole runs of bytes becomes vector
    /// instructions by itself.
    #[inline]
    fn load(block: &[u8], sub_block: usize) -> [int8x16_t; 2] {
        let levels = Self::levels(block, sub_block);
        // SAFETY: NEON is in the baseline; the levels are 32 bytes.
        unsafe { [vld1q_s8(levels.as_ptr()), vld1q_s8(levels.as_ptr().add(16))] }
    }
}

macro_rules! quant_vectors {
    ($($format:ty, |$block:ident, $sub_block:ident| $load:expr;)*) => {$(
        impl QuantVector for $format {
            #[inline]
            fn load($block: &[u8], $sub_block: usize) -> [int8x16_t; 2] {
                // SAFETY: NEON is in the baseline.
                unsafe { $load }
            }
        }
    )*};
}

quant_vectors! {
    Q8_0, |block, _sub_block| [vreinterpretq_s8_u8(load_u8(&block[2..])), vreinterpretq_s8_u8(load_u8(&block[18..]))];
    Q4_0, |block, _sub_block| nibbles(&block[2..]);
    Q4_1, |block, _sub_block| nibbles(&block[4..]);
    Q5_0, |block, _sub_block| with_fifth_bits(nibbles(&block[6..]), &block[2..]);
    Q5_1, |block, _sub_block| with_fifth_bits(nibbles(&block[8..]), &block[4..]);
    IQ4NL, |block, _sub_block| uneven(nibbles(&block[2..]));
    IQ4XS, |block, sub_block| uneven(nibbles(&block[8 + 16 * sub_block..]));
}

impl QuantVector for Q2K {}
impl QuantVector for Q3K {}
impl QuantVector for Q4K {}
impl QuantVector for Q5K {}
impl QuantVector for Q6K {}

/// The levels with these numbers.
#[inline]
#[target_feature(enable = "neon")]
fn uneven(numbers: [int8x16_t; 2]) -> [int8x16_t; 2] {
    // SAFETY: the table has 16 bytes.
    let table = unsafe { vld1q_s8(UNEVEN_LEVELS.as_ptr()) };
    numbers.map(|numbers| vqtbl1q_s8(table, vreinterpretq_u8_s8(numbers)))
}

#[inline]
#[target_feature(enable = "neon")]
fn nibbles(bytes: &[u8]) -> [int8x16_t; 2] {
    let both = load_u8(bytes);
    [vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15))), vreinterpretq_s8_u8(vshrq_n_u8::<4>(both))]
}

/// Adds 16 to level `i` where bit `i` is set.
#[inline]
#[target_feature(enable = "neon")]
fn with_fifth_bits([low, high]: [int8x16_t; 2], bits: &[u8]) -> [int8x16_t; 2] {
    let bit_of_lane = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
    let spread = |first: u8, second: u8| {
        let bytes = vcombine_u8(vdup_n_u8(first), vdup_n_u8(second));
        vreinterpretq_s8_u8(vandq_u8(vtstq_u8(bytes, bit_of_lane), vdupq_n_u8(16)))
    };
    [vorrq_s8(low, spread(bits[0], bits[1])), vorrq_s8(high, spread(bits[2], bits[3]))]
}
