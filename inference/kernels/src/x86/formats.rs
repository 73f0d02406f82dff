//! Conversion of a tile of sixteen rows ([`crate::matrix::Layout::Tiles`]) to vectors, for each format whose blocks
//! have one sub-block. A block of a tile holds a vector for each number of the format's block: first those of 16 bits,
//! then its words.
//!
//! Every `unsafe fn` needs the vectors' instructions and the block's bytes.

use super::dot::DotProduct;
use super::sixteen::Sixteen;
use crate::activations::HALF;
use crate::matrix::{F16, IQ4NL, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, QuantFormat, UNEVEN_LEVELS};
use crate::tiles::TILE;

/// Levels of a row that a vector holds, in a word.
pub(super) const RUN: usize = 4;
/// Words that half a sub-block's levels are.
pub(super) const RUNS: usize = HALF / RUN;

/// Scales of sixteen rows, and their minima.
pub(crate) struct Factors<V: Sixteen> {
    pub(super) scales: V::Floats,
    pub(super) minima: V::Floats,
}

/// A quantised format in tiles.
pub(crate) trait TileFormat: QuantFormat {
    /// The levels of run `run` of half `half` of a sub-block, those of a row in one word.
    unsafe fn load<V: Sixteen>(block: *const u8, sub_block: usize, half: usize, run: usize) -> V::Words;

    /// Scales and minima of a half of a sub-block, or of both halves.
    #[inline(always)]
    unsafe fn factors<V: Sixteen>(block: *const u8, _sub_block: usize, _half: usize) -> Factors<V> {
        // SAFETY: see the file's head, here and below.
        unsafe {
            let minima = if Self::HAS_MINIMUM { float::<V>(block, 1) } else { V::splat(0.0) };
            Factors { scales: float::<V>(block, 0), minima }
        }
    }

    /// The level that stands for 0 in products: 0 or a power of two.
    fn zero<D: DotProduct>() -> i32 {
        if Self::SIGNED { D::SIGNED_ZERO } else { Self::ZERO }
    }
}

/// The rows' numbers of 16 bits, which are number `index`, as floats.
#[inline(always)]
pub(super) unsafe fn float<V: Sixteen>(block: *const u8, index: usize) -> V::Floats {
    // SAFETY: see above.
    unsafe { V::widen::<F16>(block.add(index * TILE * size_of::<u16>())) }
}

/// The rows' words number `index`.
#[inline(always)]
pub(super) unsafe fn word<V: Sixteen, Q: QuantFormat>(block: *const u8, index: usize) -> V::Words {
    // SAFETY: see above.
    unsafe { V::words(block.add((Q::SHORTS.len() + index * size_of::<u32>()) * TILE)) }
}

/// `mask` of each byte of words shifted by less than that leaves of the next byte.
#[inline(always)]
pub(super) unsafe fn bits<V: Sixteen>(words: V::Words, shift: usize, mask: u8) -> V::Words {
    // SAFETY: see above.
    unsafe { V::and(V::shift_right(words, shift), V::splat_word(i32::from_ne_bytes([mask; 4]))) }
}

/// The uneven levels with these numbers.
#[inline(always)]
pub(super) unsafe fn uneven<V: Sixteen>(numbers: V::Words) -> V::Words {
    // SAFETY: see above.
    unsafe { V::look_up(&UNEVEN_LEVELS, numbers) }
}

macro_rules! tile_formats {
    ($($format:ty, |$block:ident, $half:ident, $run:ident| $levels:expr;)*) => {$(
        impl TileFormat for $format {
            #[inline(always)]
            unsafe fn load<V: Sixteen>($block: *const u8, _sub_block: usize, $half: usize, $run: usize) -> V::Words {
                // SAFETY: see above.
                unsafe { $levels }
            }
        }
    )*};
}

tile_formats! {
    Q8_0, |block, half, run| word::<V, Self>(block, half * RUNS + run);
    Q4_0, |block, half, run| bits::<V>(word::<V, Self>(block, run), 4 * half, 15);
    Q4_1, |block, half, run| bits::<V>(word::<V, Self>(block, run), 4 * half, 15);
    Q5_0, |block, half, run| with_fifth_bits::<V, Self>(block, half, run);
    Q5_1, |block, half, run| with_fifth_bits::<V, Self>(block, half, run);
    IQ4NL, |block, half, run| uneven::<V>(bits::<V>(word::<V, Self>(block, run), 4 * half, 15));
}

/// The levels of a format whose first word holds the fifth bit of each.
#[inline(always)]
unsafe fn with_fifth_bits<V: Sixteen, Q: QuantFormat>(block: *const u8, half: usize, run: usize) -> V::Words {
    // SAFETY: see above.
    unsafe {
        let first = (half * RUNS + run) * RUN;
        let four = V::and(V::shift_right(word::<V, Q>(block, 0), first), V::splat_word(15));
        // Bit `i` of the four to bit 0 of byte `i`.
        let two = V::or(four, V::shift_left(four, 14));
        let each = V::or(two, V::shift_left(two, 7));
        let fifth = V::shift_left(V::and(each, V::splat_word(0x0101_0101)), 4);
        V::or(bits::<V>(word::<V, Q>(block, 1 + run), 4 * half, 15), fifth)
    }
}
