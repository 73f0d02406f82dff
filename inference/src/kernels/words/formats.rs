//! How blocks of each weight format become words.

use core::arch::asm;

use super::Pairs;
use crate::activations::GROUP;
use crate::matrix::*;

/// One in each half of a word.
const BOTH: i64 = 0x0000_0001_0000_0001;
/// What keeps the lower half of a sum from borrowing, see the head of `words`.
const NO_BORROW: i64 = 1 << 31;
/// What makes signed bytes unsigned.
const BIAS: i32 = 128;

/// A quantised format as words.
pub(in crate::kernels) trait WordFormat: QuantFormat {
    /// Whether a part's sum of products is below 2^23 in magnitude.
    const SMALL: bool = false;

    /// The level that stands for 0 in [`Self::sums`].
    fn zero() -> i32 {
        if Self::SIGNED { BIAS } else { Self::ZERO }
    }

    /// Sums of the products of a part of each block with `pairs`: those of the halves where halves have scales of
    /// their own, else all in the first.
    #[inline(always)]
    fn sums<const N: usize>(blocks: [&[u8]; N], part: usize, pairs: &Pairs) -> [[i32; 2]; N] {
        let words = blocks.map(|block| words::<Self>(block, part));
        let sum = |first: usize, count: usize| {
            let mut sums = [NO_BORROW; N];
            for word in first..first + count {
                for byte in 0..4 {
                    let pair = pairs[word % 2 * 8 + 2 * byte + word / 2];
                    for (sum, words) in sums.iter_mut().zip(&words) {
                        *sum += ((words[word] >> (8 * byte)) & (0xff * BOTH)).wrapping_mul(pair);
                    }
                    keep_step(&mut sums);
                }
            }
            sums.map(|sum| (sum >> 32) as i32)
        };
        if Self::HALVES {
            let (first, second) = (sum(0, 2), sum(2, 2));
            core::array::from_fn(|row| [first[row], second[row]])
        } else {
            sum(0, 4).map(|sum| [sum, 0])
        }
    }

    /// A part's sum as a float.
    #[inline(always)]
    fn float(sum: i32) -> f32 {
        if !Self::SMALL {
            return sum as f32;
        }
        // A float of 2^23 and more has no fraction: its lowest bits are the magnitude. An emulator converts by a
        // long function and subtracts by a short one.
        const TWO_TO_23: f32 = 8_388_608.0;
        let magnitude = f32::from_bits(TWO_TO_23.to_bits() | sum.unsigned_abs()) - TWO_TO_23;
        f32::from_bits(magnitude.to_bits() | (sum as u32 & 0x8000_0000))
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

/// Numbers from binary16, of which each word holds one in its lower half. Normal numbers go without arithmetic on
/// floats.
#[inline(always)]
pub(super) fn halves_to_floats(halves: [u32; GROUP]) -> [f32; GROUP] {
    let bits = halves.map(|half| ((half & 0x8000) << 16) | (((half & 0x7fff) << 13) + (112 << 23)));
    let normal = |half: u32| (half & 0x7c00).wrapping_sub(1) < 0x7bff;
    if halves.map(normal) == [true; GROUP] {
        return bits.map(f32::from_bits);
    }
    halves.map(|half| f16_to_f32(half as u16))
}

/// A part's levels, eight a word; signed ones with [`BIAS`].
#[inline(always)]
fn words<Q: QuantFormat + ?Sized>(block: &[u8], part: usize) -> [i64; 4] {
    let bytes = Q::levels(block, part).map(|level| level as u8);
    let flip = if Q::SIGNED { u64::from_ne_bytes([BIAS as u8; 8]) } else { 0 };
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = (u64::from_le_bytes(*bytes) ^ flip) as i64;
    }
    words
}

/// [`WordFormat::sums`] of nibbles from byte `offset`.
#[inline(always)]
fn nibble_sums<const N: usize>(blocks: [&[u8]; N], offset: usize, pairs: &Pairs) -> [[i32; 2]; N] {
    let mut sums = [NO_BORROW; N];
    for word in 0..2 {
        let words = blocks.map(|block| {
            let bytes = block[offset + 8 * word..].first_chunk().expect("16 bytes of nibbles");
            u64::from_le_bytes(*bytes) as i64
        });
        for nibble in 0..8 {
            let pair = pairs[8 * word + nibble];
            for (sum, word) in sums.iter_mut().zip(words) {
                *sum += ((word >> (4 * nibble)) & (0xf * BOTH)).wrapping_mul(pair);
            }
            keep_step(&mut sums);
        }
    }
    sums.map(|sum| [(sum >> 32) as i32, 0])
}

macro_rules! nibble_formats {
    ($($format:ty: $offset:expr;)*) => {$(
        impl WordFormat for $format {
            const SMALL: bool = true;
            #[inline(always)]
            fn sums<const N: usize>(blocks: [&[u8]; N], _part: usize, pairs: &Pairs) -> [[i32; 2]; N] {
                nibble_sums(blocks, $offset, pairs)
            }
        }
    )*};
}

nibble_formats! {
    Q4_0: 2;
    Q4_1: 4;
}

impl WordFormat for Q8_0 {}
impl WordFormat for Q5_0 {}
impl WordFormat for Q5_1 {}
impl WordFormat for Q2K {}
impl WordFormat for Q3K {}
impl WordFormat for Q4K {}
impl WordFormat for Q5K {}
impl WordFormat for Q6K {}
impl WordFormat for IQ4NL {}
impl WordFormat for IQ4XS {}
