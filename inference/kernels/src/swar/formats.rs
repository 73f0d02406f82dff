//! Conversion of each weight format's blocks to words.

use core::arch::asm;

use super::Pairs;
use super::lanes::BOTH;
use crate::matrix::*;

/// Bias that makes signed bytes unsigned.
const BIAS: i32 = 128;

/// A quantised format as words.
pub(crate) trait WordFormat: QuantFormat {
    /// Whether a sub-block's sum of products is below 2^23 in magnitude.
    const SMALL: bool = false;

    /// The level that stands for 0 in [`Self::sums`].
    fn zero() -> i32 {
        if Self::SIGNED { BIAS } else { Self::ZERO }
    }

    /// Eight of a sub-block's levels, from number `8 * word`; signed ones with [`BIAS`].
    #[inline(always)]
    fn word(block: &[u8], sub_block: usize, word: usize) -> u64 {
        let bytes = Self::levels(block, sub_block).map(|level| level as u8);
        unsigned::<Self>(u64::from_le_bytes(bytes.as_chunks().0[word]))
    }

    /// Sums of the products of a sub-block of each block with `pairs`, in the upper halves of words, with what they
    /// `start` with.
    #[inline(always)]
    fn sums<const N: usize>(blocks: [&[u8]; N], sub_block: usize, pairs: &Pairs, start: i64) -> [i64; N] {
        let mut sums = [start; N];
        add_products::<Self, 0, N>(&mut sums, blocks, sub_block, pairs);
        add_products::<Self, 1, N>(&mut sums, blocks, sub_block, pairs);
        add_products::<Self, 2, N>(&mut sums, blocks, sub_block, pairs);
        add_products::<Self, 3, N>(&mut sums, blocks, sub_block, pairs);
        sums
    }

    /// The same by half.
    #[inline(always)]
    fn half_sums<const N: usize>(
        blocks: [&[u8]; N],
        sub_block: usize,
        pairs: &Pairs,
        starts: [i64; 2],
    ) -> [[i64; N]; 2] {
        let mut sums = starts.map(|start| [start; N]);
        add_products::<Self, 0, N>(&mut sums[0], blocks, sub_block, pairs);
        add_products::<Self, 1, N>(&mut sums[0], blocks, sub_block, pairs);
        add_products::<Self, 2, N>(&mut sums[1], blocks, sub_block, pairs);
        add_products::<Self, 3, N>(&mut sums[1], blocks, sub_block, pairs);
        sums
    }
}

/// Adds the products of eight levels of each row, word `WORD` of their sub-block.
#[inline(always)]
fn add_products<Q: WordFormat + ?Sized, const WORD: usize, const N: usize>(
    sums: &mut [i64; N],
    blocks: [&[u8]; N],
    sub_block: usize,
    pairs: &Pairs,
) {
    let words = blocks.map(|block| Q::word(block, sub_block, WORD));
    for byte in 0..4 {
        let pair = pairs[WORD % 2 * 8 + 2 * byte + WORD / 2];
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum += ((word >> (8 * byte)) & (0xff * BOTH)).cast_signed().wrapping_mul(pair);
        }
        keep_step(sums);
    }
}

/// Makes the compiler finish this step of all rows before the next: it would rather finish one row after the other,
/// and load the activations for each anew.
#[inline(always)]
fn keep_step(sums: &mut [i64]) {
    for sum in sums {
        // SAFETY: there is no instruction.
        unsafe { asm!("/* {0} */", inout(reg) * sum, options(nomem, nostack, preserves_flags)) };
    }
}

/// Bytes of levels, with [`BIAS`] where they are signed.
#[inline(always)]
fn unsigned<Q: QuantFormat + ?Sized>(levels: u64) -> u64 {
    if Q::SIGNED { levels ^ u64::from_ne_bytes([BIAS as u8; 8]) } else { levels }
}

/// [`WordFormat::sums`] of nibbles from byte `offset`.
#[inline(always)]
fn nibble_sums<const N: usize>(blocks: [&[u8]; N], offset: usize, pairs: &Pairs, start: i64) -> [i64; N] {
    let mut sums = [start; N];
    for word in 0..2 {
        let words = blocks.map(|block| {
            u64::from_le_bytes(*block[offset + 8 * word..].first_chunk().expect("16 bytes of nibbles"))
        });
        for nibble in 0..8 {
            let pair = pairs[8 * word + nibble];
            for (sum, word) in sums.iter_mut().zip(words) {
                *sum += ((word >> (4 * nibble)) & (0xf * BOTH)).cast_signed().wrapping_mul(pair);
            }
            keep_step(&mut sums);
        }
    }
    sums
}

macro_rules! nibble_formats {
    ($($format:ty: $offset:expr;)*) => {$(
        impl WordFormat for $format {
            const SMALL: bool = true;
            #[inline(always)]
            fn sums<const N: usize>(
                blocks: [&[u8]; N],
                _sub_block: usize,
                pairs: &Pairs,
                start: i64,
            ) -> [i64; N] {
                nibble_sums(blocks, $offset, pairs, start)
            }
        }
    )*};
}

nibble_formats! {
    Q4_0: 2;
    Q4_1: 4;
}

impl WordFormat for Q8_0 {
    #[inline(always)]
    fn word(block: &[u8], _sub_block: usize, word: usize) -> u64 {
        let levels = block[2 + 8 * word..].first_chunk().expect("32 bytes of levels");
        unsigned::<Self>(u64::from_le_bytes(*levels))
    }
}

impl WordFormat for Q5_0 {}
impl WordFormat for Q5_1 {}
impl WordFormat for Q2K {}
impl WordFormat for Q3K {}
impl WordFormat for Q4K {}
impl WordFormat for Q5K {}
impl WordFormat for Q6K {}
impl WordFormat for IQ4NL {}
impl WordFormat for IQ4XS {}
