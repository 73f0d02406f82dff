//! How blocks of 256 weights become vectors: eight parts, taken four at a time.
//!
//! Every `unsafe fn` needs AVX2 and F16C, and the block's bytes.

use core::arch::x86_64::*;

use super::formats::{QuantVector, nibbles, uneven};
use crate::matrix::{BLOCK, IQ4XS, Q2K, Q3K, Q4K, Q5K, Q6K};

impl QuantVector for Q2K {
    #[inline(always)]
    unsafe fn load(block: *const u8, part: usize) -> __m256i {
        // SAFETY: see the file's head, here and below.
        unsafe { bits(block.add(16), part / 4, part % 4 * 2, 3) }
    }

    #[inline(always)]
    unsafe fn group_factors(block: *const u8, first: usize) -> (__m256, __m256) {
        // SAFETY: see above.
        unsafe {
            let (d, m) = heads(block.add(80));
            let packed = block.add(2 * first).cast::<i64>().read_unaligned();
            let low = packed & 0x0f0f_0f0f_0f0f_0f0f;
            let high = (packed >> 4) & 0x0f0f_0f0f_0f0f_0f0f;
            (
                _mm256_mul_ps(d, by_halves(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(low)))),
                negated(_mm256_mul_ps(m, by_halves(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(high))))),
            )
        }
    }
}

impl QuantVector for Q3K {
    #[inline(always)]
    unsafe fn load(block: *const u8, part: usize) -> __m256i {
        // SAFETY: see above.
        unsafe {
            let low = bits(block.add(32), part / 4, part % 4 * 2, 3);
            _mm256_or_si256(low, _mm256_slli_epi16(bits(block, 0, part, 1), 2))
        }
    }

    #[inline(always)]
    unsafe fn group_factors(block: *const u8, first: usize) -> (__m256, __m256) {
        // SAFETY: see above.
        unsafe {
            // Four bits of eight scales side by side; two bits of four in one word, of the next four above.
            let low = (block.add(96).cast::<u64>().read_unaligned() >> first) & 0x0f0f_0f0f_0f0f_0f0f;
            let word = u64::from(block.add(104).cast::<u32>().read_unaligned()) >> first;
            let high = (word & 0x0303_0303) | (((word >> 2) & 0x0303_0303) << 32);
            let scales = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((low | (high << 4)) as i64));
            let scales = _mm256_sub_epi32(scales, _mm256_set1_epi32(32));
            (_mm256_mul_ps(heads(block.add(106)).1, by_halves(scales)), _mm256_setzero_ps())
        }
    }
}

impl QuantVector for Q4K {
    #[inline(always)]
    unsafe fn load(block: *const u8, part: usize) -> __m256i {
        // SAFETY: see above.
        unsafe { bits(block.add(16), part / 2, part % 2 * 4, 15) }
    }

    #[inline(always)]
    unsafe fn group_factors(block: *const u8, first: usize) -> (__m256, __m256) {
        // SAFETY: see above.
        unsafe { six_bits(block, first) }
    }
}

impl QuantVector for Q5K {
    #[inline(always)]
    unsafe fn load(block: *const u8, part: usize) -> __m256i {
        // SAFETY: see above.
        unsafe {
            let low = bits(block.add(48), part / 2, part % 2 * 4, 15);
            _mm256_or_si256(low, _mm256_slli_epi16(bits(block.add(16), 0, part, 1), 4))
        }
    }

    #[inline(always)]
    unsafe fn group_factors(block: *const u8, first: usize) -> (__m256, __m256) {
        // SAFETY: see above.
        unsafe { six_bits(block, first) }
    }
}

impl QuantVector for Q6K {
    #[inline(always)]
    unsafe fn load(block: *const u8, part: usize) -> __m256i {
        // SAFETY: see above.
        unsafe {
            let low = bits(block, part / 4 * 2 + part % 2, part % 4 / 2 * 4, 15);
            let high = bits(block.add(128), part / 4, part % 4 * 2, 3);
            _mm256_or_si256(low, _mm256_slli_epi16(high, 4))
        }
    }

    #[inline(always)]
    unsafe fn group_factors(block: *const u8, first: usize) -> (__m256, __m256) {
        // SAFETY: see above.
        unsafe {
            let scales = _mm256_cvtepi8_epi32(_mm_loadl_epi64(block.add(192 + 2 * first).cast()));
            (_mm256_mul_ps(heads(block.add(206)).1, by_halves(scales)), _mm256_setzero_ps())
        }
    }
}

impl QuantVector for IQ4XS {
    #[inline(always)]
    unsafe fn load(block: *const u8, part: usize) -> __m256i {
        // SAFETY: see above.
        unsafe { uneven(nibbles(block.add(8 + 16 * part))) }
    }

    #[inline(always)]
    unsafe fn group_factors(block: *const u8, first: usize) -> (__m256, __m256) {
        // SAFETY: see above.
        unsafe {
            let low = i32::from(block.add(4 + first / 2).cast::<u16>().read_unaligned());
            let high = i32::from(*block.add(2 + first / 4));
            let low = _mm_srlv_epi32(_mm_set1_epi32(low), _mm_setr_epi32(0, 4, 8, 12));
            let high = _mm_srlv_epi32(_mm_set1_epi32(high), _mm_setr_epi32(0, 2, 4, 6));
            let low = _mm_and_si128(low, _mm_set1_epi32(15));
            let high = _mm_slli_epi32(_mm_and_si128(high, _mm_set1_epi32(3)), 4);
            let scales = _mm_sub_epi32(_mm_or_si128(low, high), _mm_set1_epi32(32));
            let scales = _mm256_castps128_ps256(_mm_cvtepi32_ps(scales));
            (_mm256_mul_ps(heads(block).0, scales), _mm256_setzero_ps())
        }
    }
}

/// The bits `mask << shift` of the 32 bytes of run `run`.
#[inline(always)]
unsafe fn bits(bytes: *const u8, run: usize, shift: usize, mask: i8) -> __m256i {
    // SAFETY: see above.
    unsafe {
        let both = _mm256_loadu_si256(bytes.add(run * BLOCK).cast());
        let shifted = _mm256_srl_epi16(both, _mm_cvtsi32_si128(shift as i32));
        _mm256_and_si256(shifted, _mm256_set1_epi8(mask))
    }
}

/// The two numbers in binary16 at `pointer`, each in all elements.
#[inline(always)]
unsafe fn heads(pointer: *const u8) -> (__m256, __m256) {
    // SAFETY: see above.
    unsafe {
        let both = _mm_cvtph_ps(_mm_cvtsi32_si128(pointer.cast::<i32>().read_unaligned()));
        (_mm256_broadcastss_ps(both), _mm256_broadcastss_ps(_mm_movehdup_ps(both)))
    }
}

/// Eight integers, of which each part has two neighbours, as floats: the first of each, then the second.
#[inline(always)]
unsafe fn by_halves(integers: __m256i) -> __m256 {
    // SAFETY: see above.
    unsafe {
        let order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
        _mm256_cvtepi32_ps(_mm256_permutevar8x32_epi32(integers, order))
    }
}

#[inline(always)]
unsafe fn negated(floats: __m256) -> __m256 {
    // SAFETY: see above.
    unsafe { _mm256_xor_ps(floats, _mm256_set1_ps(-0.0)) }
}

/// Scales and minima of four parts of [`Q4K`] or [`Q5K`], in the low halves.
#[inline(always)]
unsafe fn six_bits(block: *const u8, first: usize) -> (__m256, __m256) {
    // SAFETY: see above.
    unsafe {
        let word = |index: usize| block.add(4 + 4 * index).cast::<u32>().read_unaligned();
        let (scales, minima, low) = (word(0), word(1), word(2));
        let (scales, minima) = if first == 0 {
            (scales & 0x3f3f_3f3f, minima & 0x3f3f_3f3f)
        } else {
            (
                (low & 0x0f0f_0f0f) | ((scales >> 2) & 0x3030_3030),
                ((low >> 4) & 0x0f0f_0f0f) | ((minima >> 2) & 0x3030_3030),
            )
        };
        let (d, m) = heads(block);
        let scales = _mm_cvtepi32_ps(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(scales as i32)));
        let minima = _mm_cvtepi32_ps(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(minima as i32)));
        (
            _mm256_mul_ps(d, _mm256_castps128_ps256(scales)),
            negated(_mm256_mul_ps(m, _mm256_castps128_ps256(minima))),
        )
    }
}
