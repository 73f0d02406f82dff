//! Formats whose blocks have eight sub-blocks, in tiles: their scales are a float of the block times a small integer of
//! the sub-block.
//!
//! Every `unsafe fn` needs the vectors' instructions and the block's bytes. Numbers of words are those of the format
//! without its numbers of 16 bits.

use super::formats::{Factors, RUNS, TileFormat, bits, float, uneven, word};
use super::sixteen::Sixteen;
use crate::matrix::{IQ4XS, Q2K, Q3K, Q4K, Q5K, Q6K, QuantFormat};
use crate::tiles::TILE;

/// Words of a run of 32 levels.
const LEVELS: usize = 2 * RUNS;

impl TileFormat for Q2K {
    #[inline(always)]
    unsafe fn load<V: Sixteen>(block: *const u8, sub_block: usize, half: usize, run: usize) -> V::Words {
        // SAFETY: see the file's head, here and below.
        unsafe { bits::<V>(of_run::<V, Self>(block, 4, sub_block / 4, half, run), sub_block % 4 * 2, 3) }
    }

    #[inline(always)]
    unsafe fn factors<V: Sixteen>(block: *const u8, sub_block: usize, half: usize) -> Factors<V> {
        // SAFETY: see above.
        unsafe {
            let both = byte::<V, Self>(block, 0, 2 * sub_block + half);
            let (scale, minimum) = (low_bits::<V>(both, 0, 4), low_bits::<V>(both, 4, 4));
            with_minima::<V>(block, scale, minimum)
        }
    }
}

impl TileFormat for Q3K {
    #[inline(always)]
    unsafe fn load<V: Sixteen>(block: *const u8, sub_block: usize, half: usize, run: usize) -> V::Words {
        // SAFETY: see above.
        unsafe {
            let low = bits::<V>(of_run::<V, Self>(block, 8, sub_block / 4, half, run), sub_block % 4 * 2, 3);
            let high = bits::<V>(of_run::<V, Self>(block, 0, 0, half, run), sub_block, 1);
            V::or(low, V::shift_left(high, 2))
        }
    }

    #[inline(always)]
    unsafe fn factors<V: Sixteen>(block: *const u8, sub_block: usize, half: usize) -> Factors<V> {
        // SAFETY: see above.
        unsafe {
            let index = 2 * sub_block + half;
            let low = low_bits::<V>(byte::<V, Self>(block, 24, index % 8), index / 8 * 4, 4);
            let high = low_bits::<V>(byte::<V, Self>(block, 26, index % 4), index / 4 * 2, 2);
            without_minima::<V>(block, V::subtract(V::or(low, V::shift_left(high, 4)), V::splat_word(32)))
        }
    }
}

impl TileFormat for Q4K {
    #[inline(always)]
    unsafe fn load<V: Sixteen>(block: *const u8, sub_block: usize, half: usize, run: usize) -> V::Words {
        // SAFETY: see above.
        unsafe { bits::<V>(of_run::<V, Self>(block, 3, sub_block / 2, half, run), sub_block % 2 * 4, 15) }
    }

    #[inline(always)]
    unsafe fn factors<V: Sixteen>(block: *const u8, sub_block: usize, _half: usize) -> Factors<V> {
        // SAFETY: see above.
        unsafe { six_bits::<V, Self>(block, sub_block) }
    }
}

impl TileFormat for Q5K {
    #[inline(always)]
    unsafe fn load<V: Sixteen>(block: *const u8, sub_block: usize, half: usize, run: usize) -> V::Words {
        // SAFETY: see above.
        unsafe {
            let low =
                bits::<V>(of_run::<V, Self>(block, 11, sub_block / 2, half, run), sub_block % 2 * 4, 15);
            let high = bits::<V>(of_run::<V, Self>(block, 3, 0, half, run), sub_block, 1);
            V::or(low, V::shift_left(high, 4))
        }
    }

    #[inline(always)]
    unsafe fn factors<V: Sixteen>(block: *const u8, sub_block: usize, _half: usize) -> Factors<V> {
        // SAFETY: see above.
        unsafe { six_bits::<V, Self>(block, sub_block) }
    }
}

impl TileFormat for Q6K {
    #[inline(always)]
    unsafe fn load<V: Sixteen>(block: *const u8, sub_block: usize, half: usize, run: usize) -> V::Words {
        // SAFETY: see above.
        unsafe {
            let low = of_run::<V, Self>(block, 0, sub_block / 4 * 2 + sub_block % 2, half, run);
            let high =
                bits::<V>(of_run::<V, Self>(block, 32, sub_block / 4, half, run), sub_block % 4 * 2, 3);
            V::or(bits::<V>(low, sub_block % 4 / 2 * 4, 15), V::shift_left(high, 4))
        }
    }

    #[inline(always)]
    unsafe fn factors<V: Sixteen>(block: *const u8, sub_block: usize, half: usize) -> Factors<V> {
        // SAFETY: see above.
        unsafe {
            let index = 2 * sub_block + half;
            let at_the_top = V::shift_left(word::<V, Self>(block, 48 + index / 4), 24 - index % 4 * 8);
            without_minima::<V>(block, V::shift_right_signed(at_the_top, 24))
        }
    }
}

impl TileFormat for IQ4XS {
    #[inline(always)]
    unsafe fn load<V: Sixteen>(block: *const u8, sub_block: usize, half: usize, run: usize) -> V::Words {
        // SAFETY: see above.
        unsafe { uneven::<V>(bits::<V>(word::<V, Self>(block, 1 + sub_block * RUNS + run), half * 4, 15)) }
    }

    #[inline(always)]
    unsafe fn factors<V: Sixteen>(block: *const u8, sub_block: usize, _half: usize) -> Factors<V> {
        // SAFETY: see above; the second number of 16 bits holds two bits of each scale.
        unsafe {
            let high = V::shorts(block.add(TILE * size_of::<u16>()));
            let high = V::shift_left(low_bits::<V>(high, sub_block * 2, 2), 4);
            let low = low_bits::<V>(word::<V, Self>(block, 0), sub_block * 4, 4);
            without_minima::<V>(block, V::subtract(V::or(low, high), V::splat_word(32)))
        }
    }
}

/// Run `run` of a half of the 32 bytes number `index` from word `first`.
#[inline(always)]
unsafe fn of_run<V: Sixteen, Q: QuantFormat>(
    block: *const u8,
    first: usize,
    index: usize,
    half: usize,
    run: usize,
) -> V::Words {
    // SAFETY: see above.
    unsafe { word::<V, Q>(block, first + index * LEVELS + half * RUNS + run) }
}

/// Words with byte `index` from word `first` at their bottom.
#[inline(always)]
unsafe fn byte<V: Sixteen, Q: QuantFormat>(block: *const u8, first: usize, index: usize) -> V::Words {
    // SAFETY: see above.
    unsafe { V::shift_right(word::<V, Q>(block, first + index / 4), index % 4 * 8) }
}

/// `count` bits of each word from bit `first`.
#[inline(always)]
unsafe fn low_bits<V: Sixteen>(words: V::Words, first: usize, count: usize) -> V::Words {
    // SAFETY: see above.
    unsafe { V::and(V::shift_right(words, first), V::splat_word((1 << count) - 1)) }
}

/// Factors by integers that multiply the block's two floats.
#[inline(always)]
unsafe fn with_minima<V: Sixteen>(block: *const u8, scale: V::Words, minimum: V::Words) -> Factors<V> {
    // SAFETY: see above.
    unsafe {
        let minima = V::multiply(float::<V>(block, 1), V::to_floats(minimum));
        Factors { minima: V::multiply(minima, V::splat(-1.0)), ..without_minima::<V>(block, scale) }
    }
}

/// The same where there is one float.
#[inline(always)]
unsafe fn without_minima<V: Sixteen>(block: *const u8, scale: V::Words) -> Factors<V> {
    // SAFETY: see above.
    unsafe {
        Factors { scales: V::multiply(float::<V>(block, 0), V::to_floats(scale)), minima: V::splat(0.0) }
    }
}

/// Those of [`Q4K`] or [`Q5K`], whose first words are the integers: of six bits, or the last four bits and, at the top
/// of those of the sub-blocks before, the first two.
#[inline(always)]
unsafe fn six_bits<V: Sixteen, Q: QuantFormat>(block: *const u8, sub_block: usize) -> Factors<V> {
    // SAFETY: see above.
    unsafe {
        let place = sub_block % 4 * 8;
        let (scales, minima) = (word::<V, Q>(block, 0), word::<V, Q>(block, 1));
        if sub_block < 4 {
            return with_minima::<V>(block, low_bits::<V>(scales, place, 6), low_bits::<V>(minima, place, 6));
        }
        let both = word::<V, Q>(block, 2);
        let (scales_top, minima_top) =
            (low_bits::<V>(scales, place + 6, 2), low_bits::<V>(minima, place + 6, 2));
        with_minima::<V>(
            block,
            V::or(low_bits::<V>(both, place, 4), V::shift_left(scales_top, 4)),
            V::or(low_bits::<V>(both, place + 4, 4), V::shift_left(minima_top, 4)),
        )
    }
}
