//! The formats of weights, read one by one: the portable kernels use this, and the vector kernels agree with it.
//!
//! A quantised block holds weights `d * (level - zero)`, or `d * level + m`, with small integer levels.
//! Layouts: ggml's `ggml-common.h`. The formats with blocks of 256 are in `super_block`.

use core::ops::Range;

use super::BLOCK;

/// A format of plain floats.
pub trait FloatFormat {
    /// Bytes of one weight.
    const BYTES: usize;
    /// The weight in its [`Self::BYTES`] bytes, exactly.
    fn value(bytes: &[u8]) -> f32;
}

/// IEEE 754 binary32.
pub struct F32;
/// IEEE 754 binary16.
pub struct F16;
/// The upper half of binary32.
pub struct BF16;

impl FloatFormat for F32 {
    const BYTES: usize = 4;
    fn value(bytes: &[u8]) -> f32 {
        f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

impl FloatFormat for F16 {
    const BYTES: usize = 2;
    fn value(bytes: &[u8]) -> f32 {
        f16_to_f32(u16::from_le_bytes([bytes[0], bytes[1]]))
    }
}

impl FloatFormat for BF16 {
    const BYTES: usize = 2;
    fn value(bytes: &[u8]) -> f32 {
        f32::from_le_bytes([0, 0, bytes[0], bytes[1]])
    }
}

/// binary16 to binary32, exactly and without branches: the exponents' biases differ by 112, which a
/// multiplication puts right for subnormal numbers too.
#[inline]
#[must_use]
pub fn f16_to_f32(half: u16) -> f32 {
    const TWO_TO_112: f32 = f32::from_bits((127 + 112) << 23);
    let magnitude = u32::from(half & 0x7fff) << 13;
    let finite = (f32::from_bits(magnitude) * TWO_TO_112).to_bits();
    let not_finite = magnitude | 0x7f80_0000;
    let sign = u32::from(half & 0x8000) << 16;
    f32::from_bits(sign | if half & 0x7c00 == 0x7c00 { not_finite } else { finite })
}

/// binary32 to binary16, to nearest, ties to even, and without branches.
#[inline(always)]
#[must_use]
pub fn f32_to_f16(value: f32) -> u16 {
    /// The smallest normal number of binary16, and what is too large for it.
    const NORMAL: u32 = (127 - 14) << 23;
    const TOO_LARGE: u32 = (127 + 16) << 23;
    /// Its unit in the last place is the smallest subnormal number of binary16.
    const SUBNORMAL: f32 = 0.5;
    let sign = value.to_bits() & 0x8000_0000;
    let magnitude = value.to_bits() ^ sign;
    let odd = (magnitude >> 13) & 1;
    let normal = magnitude.wrapping_sub(112 << 23).wrapping_add(0xfff + odd) >> 13;
    let subnormal = (f32::from_bits(magnitude) + SUBNORMAL).to_bits().wrapping_sub(SUBNORMAL.to_bits());
    let not_finite = if magnitude > 0x7f80_0000 { 0x7e00 } else { 0x7c00 };
    let half = if magnitude < NORMAL { subnormal } else { normal };
    let half = if magnitude >= TOO_LARGE { not_finite } else { half };
    (half | (sign >> 16)) as u16
}

/// A format of quantised blocks. A block of the file is one or more runs of [`BLOCK`] weights, here called
/// sub-blocks; a sub-block has one scale and one minimum, or one for each half of it.
pub trait QuantFormat {
    /// Bytes of one block of the file.
    const BYTES: usize;
    /// Place in a block of its numbers of 16 bits; the rest are words of 32 bits.
    const SHORTS: Range<usize> = 0..2;
    /// Parts of a block: a power of two.
    const SUB_BLOCKS: usize = 1;
    /// The level that stands for 0: 0 or a power of two.
    const ZERO: i32 = 0;
    /// Whether weights have a minimum.
    const HAS_MINIMUM: bool = false;
    /// Whether levels may be below 0; all others are below 64.
    const SIGNED: bool = false;
    /// Whether the halves of a sub-block have scales and minima of their own.
    const HALVES: bool = false;

    /// A sub-block's levels in order.
    fn levels(block: &[u8], sub_block: usize) -> [i8; BLOCK];

    /// The scales of a sub-block's halves.
    #[inline]
    fn scales(block: &[u8], _sub_block: usize) -> [f32; 2] {
        [F16::value(block); 2]
    }

    /// The minima of a sub-block's halves; 0 where the format has none.
    #[inline]
    fn minima(block: &[u8], _sub_block: usize) -> [f32; 2] {
        [if Self::HAS_MINIMUM { F16::value(&block[2..]) } else { 0.0 }; 2]
    }
}

/// Scale, 32 signed bytes.
pub struct Q8_0;
/// Scale, 16 bytes of two levels (element `i` in the low half of byte `i`, `i + 16` in the high half).
pub struct Q4_0;
/// Scale, minimum, nibbles as [`Q4_0`].
pub struct Q4_1;
/// Scale, 32 fifth bits, nibbles as [`Q4_0`].
pub struct Q5_0;
/// Scale, minimum, 32 fifth bits, nibbles as [`Q4_0`].
pub struct Q5_1;
/// Scale, nibbles as [`Q4_0`], each the number of a level in [`UNEVEN_LEVELS`].
pub struct IQ4NL;

/// The levels of the formats whose steps are not even.
pub const UNEVEN_LEVELS: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

impl QuantFormat for Q8_0 {
    const BYTES: usize = 34;
    const SIGNED: bool = true;
    #[inline]
    fn levels(block: &[u8], _sub_block: usize) -> [i8; BLOCK] {
        let mut levels = [0; BLOCK];
        for (level, byte) in levels.iter_mut().zip(&block[2..]) {
            *level = *byte as i8;
        }
        levels
    }
}

impl QuantFormat for Q4_0 {
    const BYTES: usize = 18;
    const ZERO: i32 = 8;
    #[inline]
    fn levels(block: &[u8], _sub_block: usize) -> [i8; BLOCK] {
        nibbles(&block[2..18])
    }
}

impl QuantFormat for Q4_1 {
    const BYTES: usize = 20;
    const SHORTS: Range<usize> = 0..4;
    const HAS_MINIMUM: bool = true;
    #[inline]
    fn levels(block: &[u8], _sub_block: usize) -> [i8; BLOCK] {
        nibbles(&block[4..20])
    }
}

impl QuantFormat for Q5_0 {
    const BYTES: usize = 22;
    const ZERO: i32 = 16;
    #[inline]
    fn levels(block: &[u8], _sub_block: usize) -> [i8; BLOCK] {
        with_fifth_bits(nibbles(&block[6..22]), &block[2..6])
    }
}

impl QuantFormat for Q5_1 {
    const BYTES: usize = 24;
    const SHORTS: Range<usize> = 0..4;
    const HAS_MINIMUM: bool = true;
    #[inline]
    fn levels(block: &[u8], _sub_block: usize) -> [i8; BLOCK] {
        with_fifth_bits(nibbles(&block[8..24]), &block[4..8])
    }
}

impl QuantFormat for IQ4NL {
    const BYTES: usize = 18;
    const SIGNED: bool = true;
    #[inline]
    fn levels(block: &[u8], _sub_block: usize) -> [i8; BLOCK] {
        uneven(nibbles(&block[2..18]))
    }
}

/// The levels with these numbers.
#[inline]
pub(super) fn uneven(numbers: [i8; BLOCK]) -> [i8; BLOCK] {
    numbers.map(|number| UNEVEN_LEVELS[number as usize & 15])
}

/// The low halves of 16 bytes, then the high halves.
#[inline]
pub(super) fn nibbles(bytes: &[u8]) -> [i8; BLOCK] {
    let mut levels = [0; BLOCK];
    let (low, high) = levels.split_at_mut(BLOCK / 2);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
        *low = (byte & 15) as i8;
        *high = (byte >> 4) as i8;
    }
    levels
}

#[inline]
fn with_fifth_bits(mut levels: [i8; BLOCK], bits: &[u8]) -> [i8; BLOCK] {
    for (levels, bits) in levels.as_chunks_mut::<8>().0.iter_mut().zip(bits) {
        for (bit, level) in levels.iter_mut().enumerate() {
            *level |= (((bits >> bit) & 1) << 4) as i8;
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::{f16_to_f32, f32_to_f16};

    #[test]
    fn halves_are_the_nearest() {
        // Every half, and what lies around the middle to the next one.
        for bits in (0..=u16::MAX).filter(|bits| bits & 0x7c00 != 0x7c00) {
            let value = f16_to_f32(bits);
            let middle = f16_to_f32(bits & 0x8000) + (value + f16_to_f32(bits + 1)) / 2.0;
            for value in [value, middle, middle.next_up(), middle.next_down()] {
                assert_eq!(f32_to_f16(value), half::f16::from_f32(value).to_bits(), "{value:e}");
            }
        }
        for value in [65_519.996, 65_520.0, 1e9, f32::INFINITY, f32::NEG_INFINITY, 1e-30, -1e-40] {
            assert_eq!(f32_to_f16(value), half::f16::from_f32(value).to_bits(), "{value:e}");
        }
        assert!(f16_to_f32(f32_to_f16(f32::NAN)).is_nan());
    }

    #[test]
    fn every_half_is_exact() {
        for bits in 0..=u16::MAX {
            let (found, wanted) = (f16_to_f32(bits), half::f16::from_bits(bits).to_f32());
            assert!(
                found.to_bits() == wanted.to_bits() || (found.is_nan() && wanted.is_nan()),
                "{bits:#06x}"
            );
        }
    }
}
