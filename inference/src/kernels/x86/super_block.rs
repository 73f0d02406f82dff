//! How blocks of 256 weights become vectors: eight parts, taken four at a time.
//!
//! Every `unsafe fn` needs AVX2 and F16C, and the block's bytes.

use core::arch::x86_64::*;

use super::factors::Factors;
use super::formats::{QuantVector, Two, both, nibbles, uneven};
use crate::matrix::{BLOCK, IQ4XS, Q2K, Q3K, Q4K, Q5K, Q6K};

impl QuantVector for Q2K {
    #[inline(always)]
    unsafe fn load(blocks: Two, part: usize) -> [__m256i; 2] {
        // SAFETY: see the file's head, here and below.
        unsafe { bits(blocks, 16 + part / 4 * BLOCK, part % 4 * 2, 3) }
    }

    #[inline(always)]
    unsafe fn factors(blocks: [*const u8; 4], first: usize) -> Factors {
        // SAFETY: see above.
        unsafe {
            let packed = blocks.map(|block| block.add(2 * first).cast::<u64>().read_unaligned());
            let [first_halves, second_halves] = by_halves(packed);
            let low = _mm_set1_epi8(15);
            let minima = [_mm_srli_epi16(first_halves, 4), _mm_srli_epi16(second_halves, 4)];
            let (scale, minimum) = heads(blocks, 80);
            Factors {
                scale,
                minimum: negated(minimum),
                scales: [_mm_and_si128(first_halves, low), _mm_and_si128(second_halves, low)],
                minima: [_mm_and_si128(minima[0], low), _mm_and_si128(minima[1], low)],
            }
        }
    }
}

impl QuantVector for Q3K {
    #[inline(always)]
    unsafe fn load(blocks: Two, part: usize) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe {
            let low = bits(blocks, 32 + part / 4 * BLOCK, part % 4 * 2, 3);
            join::<2>(low, bits(blocks, 0, part, 1))
        }
    }

    #[inline(always)]
    unsafe fn factors(blocks: [*const u8; 4], first: usize) -> Factors {
        // SAFETY: see above.
        unsafe {
            let scales = blocks.map(|block| {
                // Four bits of eight scales side by side; two bits of four in one word, of the next four above.
                let low = (block.add(96).cast::<u64>().read_unaligned() >> first) & 0x0f0f_0f0f_0f0f_0f0f;
                let word = u64::from(block.add(104).cast::<u32>().read_unaligned()) >> first;
                let high = (word & 0x0303_0303) | (((word >> 2) & 0x0303_0303) << 32);
                low | (high << 4)
            });
            let zero = _mm_set1_epi8(32);
            let [first_halves, second_halves] = by_halves(scales);
            let scales = [_mm_sub_epi8(first_halves, zero), _mm_sub_epi8(second_halves, zero)];
            without_minima(heads(blocks, 106).1, scales)
        }
    }
}

impl QuantVector for Q4K {
    #[inline(always)]
    unsafe fn load(blocks: Two, part: usize) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe { bits(blocks, 16 + part / 2 * BLOCK, part % 2 * 4, 15) }
    }

    #[inline(always)]
    unsafe fn factors(blocks: [*const u8; 4], first: usize) -> Factors {
        // SAFETY: see above.
        unsafe { six_bits(blocks, first) }
    }
}

impl QuantVector for Q5K {
    #[inline(always)]
    unsafe fn load(blocks: Two, part: usize) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe {
            let low = bits(blocks, 48 + part / 2 * BLOCK, part % 2 * 4, 15);
            join::<4>(low, bits(blocks, 16, part, 1))
        }
    }

    #[inline(always)]
    unsafe fn factors(blocks: [*const u8; 4], first: usize) -> Factors {
        // SAFETY: see above.
        unsafe { six_bits(blocks, first) }
    }
}

impl QuantVector for Q6K {
    #[inline(always)]
    unsafe fn load(blocks: Two, part: usize) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe {
            let low = bits(blocks, (part / 4 * 2 + part % 2) * BLOCK, part % 4 / 2 * 4, 15);
            join::<4>(low, bits(blocks, 128 + part / 4 * BLOCK, part % 4 * 2, 3))
        }
    }

    #[inline(always)]
    unsafe fn factors(blocks: [*const u8; 4], first: usize) -> Factors {
        // SAFETY: see above.
        unsafe {
            let scales = blocks.map(|block| block.add(192 + 2 * first).cast::<u64>().read_unaligned());
            without_minima(heads(blocks, 206).1, by_halves(scales))
        }
    }
}

impl QuantVector for IQ4XS {
    #[inline(always)]
    unsafe fn load(blocks: Two, part: usize) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe { uneven(nibbles(both(blocks, 8 + 16 * part))) }
    }

    #[inline(always)]
    unsafe fn factors(blocks: [*const u8; 4], first: usize) -> Factors {
        // SAFETY: see above.
        unsafe {
            let scales = blocks.map(|block| {
                let low = u32::from(block.add(4 + first / 2).cast::<u16>().read_unaligned());
                let high = u32::from(*block.add(2 + first / 4));
                // Four bits to a byte, and two.
                let low = (low | (low << 8)) & 0x00ff_00ff;
                let high = (high | (high << 12)) & 0x000f_000f;
                ((low | (low << 4)) & 0x0f0f_0f0f) | (((high | (high << 6)) & 0x0303_0303) << 4)
            });
            let scales = _mm_sub_epi8(rows(scales), _mm_set1_epi8(32));
            without_minima(heads(blocks, 0).0, [scales; 2])
        }
    }
}

/// The bits `mask << shift` of 32 bytes from byte `offset` of each block.
#[inline(always)]
unsafe fn bits(blocks: Two, offset: usize, shift: usize, mask: i8) -> [__m256i; 2] {
    // SAFETY: see above.
    unsafe {
        let (shift, mask) = (_mm_cvtsi32_si128(shift as i32), _mm256_set1_epi8(mask));
        let (first, second) = (both(blocks, offset), both(blocks, offset + 16));
        [
            _mm256_and_si256(_mm256_srl_epi16(first, shift), mask),
            _mm256_and_si256(_mm256_srl_epi16(second, shift), mask),
        ]
    }
}

/// `low | high << SHIFT`.
#[inline(always)]
unsafe fn join<const SHIFT: i32>(low: [__m256i; 2], high: [__m256i; 2]) -> [__m256i; 2] {
    // SAFETY: see above.
    unsafe {
        [
            _mm256_or_si256(low[0], _mm256_slli_epi16(high[0], SHIFT)),
            _mm256_or_si256(low[1], _mm256_slli_epi16(high[1], SHIFT)),
        ]
    }
}

/// The two numbers in binary16 at byte `offset` of each block.
#[inline(always)]
pub(super) unsafe fn heads(blocks: [*const u8; 4], offset: usize) -> (__m128, __m128) {
    // SAFETY: see above.
    unsafe {
        let both = rows(blocks.map(|block| block.add(offset).cast::<u32>().read_unaligned()));
        let order = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
        let floats = _mm256_cvtph_ps(_mm_shuffle_epi8(both, order));
        (_mm256_castps256_ps128(floats), _mm256_extractf128_ps(floats, 1))
    }
}

/// A word of each row.
#[inline(always)]
unsafe fn rows(words: [u32; 4]) -> __m128i {
    let [r0, r1, r2, r3] = words.map(|word| word as i32);
    // SAFETY: see above.
    unsafe { _mm_setr_epi32(r0, r1, r2, r3) }
}

/// Of eight bytes of each row, of which each part has two neighbours, the first ones, then the second.
#[inline(always)]
unsafe fn by_halves(rows: [u64; 4]) -> [__m128i; 2] {
    let [r0, r1, r2, r3] = rows.map(|row| row as i64);
    // SAFETY: see above.
    unsafe {
        let order = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
        let first = _mm_shuffle_epi8(_mm_set_epi64x(r1, r0), order);
        let second = _mm_shuffle_epi8(_mm_set_epi64x(r3, r2), order);
        [_mm_unpacklo_epi64(first, second), _mm_unpackhi_epi64(first, second)]
    }
}

#[inline(always)]
unsafe fn without_minima(scale: __m128, scales: [__m128i; 2]) -> Factors {
    // SAFETY: see above.
    unsafe { Factors { scale, minimum: _mm_setzero_ps(), scales, minima: [_mm_setzero_si128(); 2] } }
}

#[inline(always)]
unsafe fn negated(floats: __m128) -> __m128 {
    // SAFETY: see above.
    unsafe { _mm_xor_ps(floats, _mm_set1_ps(-0.0)) }
}

/// Those of [`Q4K`] or [`Q5K`], which the first 16 bytes of the block hold.
#[inline(always)]
unsafe fn six_bits(blocks: [*const u8; 4], first: usize) -> Factors {
    // SAFETY: see above.
    unsafe {
        let word =
            |index: usize| rows(blocks.map(|block| block.add(4 * index).cast::<u32>().read_unaligned()));
        let (scales, minima) = (word(1), word(2));
        let (scales, minima) = if first == 0 {
            let low = _mm_set1_epi8(0x3f);
            (_mm_and_si128(scales, low), _mm_and_si128(minima, low))
        } else {
            let (both, low, high) = (word(3), _mm_set1_epi8(0x0f), _mm_set1_epi8(0x30));
            let top = |integers| _mm_and_si128(_mm_srli_epi32(integers, 2), high);
            (
                _mm_or_si128(_mm_and_si128(both, low), top(scales)),
                _mm_or_si128(_mm_and_si128(_mm_srli_epi32(both, 4), low), top(minima)),
            )
        };
        let (scale, minimum) = heads(blocks, 0);
        Factors { scale, minimum: negated(minimum), scales: [scales; 2], minima: [minima; 2] }
    }
}
