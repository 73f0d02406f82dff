//! Formats whose blocks hold 256 weights: a scale (and a minimum) in F16 for all, and small integers that
//! multiply them for each 32 or 16 weights.
//!
//! Layouts: ggml's `ggml-common.h`. A sub-block is 32 weights, and takes its bits from 32 (or 16) neighbouring bytes.

use core::ops::Range;

use super::BLOCK;
use super::format::{F16, FloatFormat, QuantFormat, nibbles, uneven};

/// 16 bytes of scale and minimum (4 bits each), 64 bytes of two bits, scale, minimum.
pub struct Q2K;
/// 32 bytes of third bits, 64 bytes of two bits, 12 bytes of scales (6 bits each), scale.
pub struct Q3K;
/// Scale, minimum, 12 bytes of scales and minima (6 bits each), 128 bytes of four bits.
pub struct Q4K;
/// As [`Q4K`], with 32 bytes of fifth bits before the four.
pub struct Q5K;
/// 128 bytes of four bits, 64 bytes of two bits, 16 signed scales, scale.
pub struct Q6K;
/// Scale, 2 and 4 bytes of scales (6 bits each), nibbles as [`super::IQ4NL`].
pub struct IQ4XS;

impl QuantFormat for Q2K {
    const BYTES: usize = 84;
    const SHORTS: Range<usize> = 80..84;
    const SUB_BLOCKS: usize = 8;
    const HAS_MINIMUM: bool = true;
    const HALVES: bool = true;

    #[inline(always)]
    fn levels(block: &[u8], sub_block: usize) -> [i8; BLOCK] {
        bits(&block[16..], sub_block / 4, sub_block % 4 * 2, 3)
    }

    #[inline(always)]
    fn scales(block: &[u8], sub_block: usize) -> [f32; 2] {
        let d = F16::value(&block[80..]);
        [0, 1].map(|half| d * f32::from(block[2 * sub_block + half] & 15))
    }

    #[inline(always)]
    fn minima(block: &[u8], sub_block: usize) -> [f32; 2] {
        let m = F16::value(&block[82..]);
        [0, 1].map(|half| -(m * f32::from(block[2 * sub_block + half] >> 4)))
    }
}

impl QuantFormat for Q3K {
    const BYTES: usize = 110;
    const SHORTS: Range<usize> = 108..110;
    const SUB_BLOCKS: usize = 8;
    const ZERO: i32 = 4;
    const HALVES: bool = true;

    #[inline(always)]
    fn levels(block: &[u8], sub_block: usize) -> [i8; BLOCK] {
        join(bits(&block[32..], sub_block / 4, sub_block % 4 * 2, 3), bits(block, 0, sub_block, 1), 2)
    }

    #[inline(always)]
    fn scales(block: &[u8], sub_block: usize) -> [f32; 2] {
        let (d, packed) = (F16::value(&block[108..]), &block[96..108]);
        [0, 1].map(|half| {
            let index = 2 * sub_block + half;
            let low = (packed[index % 8] >> (index / 8 * 4)) & 15;
            let high = (packed[8 + index % 4] >> (index / 4 * 2)) & 3;
            d * f32::from((low | (high << 4)) as i8 - 32)
        })
    }
}

impl QuantFormat for Q4K {
    const BYTES: usize = 144;
    const SHORTS: Range<usize> = 0..4;
    const SUB_BLOCKS: usize = 8;
    const HAS_MINIMUM: bool = true;

    #[inline(always)]
    fn levels(block: &[u8], sub_block: usize) -> [i8; BLOCK] {
        bits(&block[16..], sub_block / 2, sub_block % 2 * 4, 15)
    }

    #[inline(always)]
    fn scales(block: &[u8], sub_block: usize) -> [f32; 2] {
        [F16::value(block) * f32::from(six_bits(block, sub_block).0); 2]
    }

    #[inline(always)]
    fn minima(block: &[u8], sub_block: usize) -> [f32; 2] {
        [-(F16::value(&block[2..]) * f32::from(six_bits(block, sub_block).1)); 2]
    }
}

impl QuantFormat for Q5K {
    const BYTES: usize = 176;
    const SHORTS: Range<usize> = 0..4;
    const SUB_BLOCKS: usize = 8;
    const HAS_MINIMUM: bool = true;

    #[inline(always)]
    fn levels(block: &[u8], sub_block: usize) -> [i8; BLOCK] {
        join(bits(&block[48..], sub_block / 2, sub_block % 2 * 4, 15), bits(&block[16..], 0, sub_block, 1), 4)
    }

    #[inline(always)]
    fn scales(block: &[u8], sub_block: usize) -> [f32; 2] {
        Q4K::scales(block, sub_block)
    }

    #[inline(always)]
    fn minima(block: &[u8], sub_block: usize) -> [f32; 2] {
        Q4K::minima(block, sub_block)
    }
}

impl QuantFormat for Q6K {
    const BYTES: usize = 210;
    const SHORTS: Range<usize> = 208..210;
    const SUB_BLOCKS: usize = 8;
    const ZERO: i32 = 32;
    const HALVES: bool = true;

    #[inline(always)]
    fn levels(block: &[u8], sub_block: usize) -> [i8; BLOCK] {
        let low = bits(block, sub_block / 4 * 2 + sub_block % 2, sub_block % 4 / 2 * 4, 15);
        join(low, bits(&block[128..], sub_block / 4, sub_block % 4 * 2, 3), 4)
    }

    #[inline(always)]
    fn scales(block: &[u8], sub_block: usize) -> [f32; 2] {
        let d = F16::value(&block[208..]);
        [0, 1].map(|half| d * f32::from(block[192 + 2 * sub_block + half] as i8))
    }
}

impl QuantFormat for IQ4XS {
    const BYTES: usize = 136;
    const SHORTS: Range<usize> = 0..4;
    const SUB_BLOCKS: usize = 8;
    const SIGNED: bool = true;

    #[inline(always)]
    fn levels(block: &[u8], sub_block: usize) -> [i8; BLOCK] {
        uneven(nibbles(&block[8 + 16 * sub_block..][..16]))
    }

    #[inline(always)]
    fn scales(block: &[u8], sub_block: usize) -> [f32; 2] {
        let low = (block[4 + sub_block / 2] >> (sub_block % 2 * 4)) & 15;
        let high = (block[2 + sub_block / 4] >> (sub_block % 4 * 2)) & 3;
        [F16::value(block) * f32::from((low | (high << 4)) as i8 - 32); 2]
    }
}

/// The bits `mask << shift` of the 32 bytes of run `run`.
#[inline(always)]
fn bits(bytes: &[u8], run: usize, shift: usize, mask: u8) -> [i8; BLOCK] {
    let mut levels = [0; BLOCK];
    for (level, byte) in levels.iter_mut().zip(&bytes[run * BLOCK..][..BLOCK]) {
        *level = ((byte >> shift) & mask) as i8;
    }
    levels
}

/// `low | high << shift`, level by level.
#[inline(always)]
fn join(mut low: [i8; BLOCK], high: [i8; BLOCK], shift: u32) -> [i8; BLOCK] {
    for (low, high) in low.iter_mut().zip(high) {
        *low |= high << shift;
    }
    low
}

/// The integers that multiply scale and minimum of a sub-block of [`Q4K`] or [`Q5K`]: bytes 0..4 and 4..8 hold
/// those of sub-blocks 0..4 in their low six bits; bytes 8..12 hold the low four bits of the other sub-blocks', whose
/// high two bits are at the top of the first eight bytes.
#[inline(always)]
fn six_bits(block: &[u8], sub_block: usize) -> (u8, u8) {
    let packed = &block[4..16];
    let (scale, minimum) = (packed[sub_block % 4], packed[4 + sub_block % 4]);
    if sub_block < 4 {
        return (scale & 63, minimum & 63);
    }
    let low = packed[4 + sub_block];
    ((low & 15) | ((scale >> 6) << 4), (low >> 4) | ((minimum >> 6) << 4))
}
