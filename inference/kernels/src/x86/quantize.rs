//! Quantising with 512-bit vectors: the vector's scale first, then a group of four blocks at once.

use core::arch::x86_64::*;

use crate::activations::{GROUP, Group, HALF, ROUND, scale_of};
use crate::matrix::BLOCK;

/// As [`crate::activations::quantize`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub fn quantize(values: &[f32], groups: &mut [Group]) -> f32 {
    let (scale, inverse) = scale_of(largest(values));
    for (values, group) in values.as_chunks::<{ GROUP * BLOCK }>().0.iter().zip(groups) {
        set(values, group, inverse);
    }
    scale
}

/// The bits of the largest magnitude in whole groups of blocks.
#[inline]
#[target_feature(enable = "avx512f")]
fn largest(values: &[f32]) -> u32 {
    // Several, so that none waits for the one before.
    let mut largest = [_mm512_setzero_si512(); GROUP];
    for values in values.as_chunks::<{ GROUP * HALF }>().0 {
        for (largest, values) in largest.iter_mut().zip(values.as_chunks::<HALF>().0) {
            // SAFETY: as many elements as a vector.
            let bits = unsafe { _mm512_loadu_si512(values.as_ptr().cast()) };
            *largest = _mm512_max_epu32(*largest, _mm512_and_si512(bits, _mm512_set1_epi32(0x7fff_ffff)));
        }
    }
    let [a, b, c, d] = largest;
    _mm512_reduce_max_epu32(_mm512_max_epu32(_mm512_max_epu32(a, b), _mm512_max_epu32(c, d)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn set(values: &[f32; GROUP * BLOCK], group: &mut Group, inverse: f32) {
    let blocks = values.as_chunks::<BLOCK>().0;
    // SAFETY: a half has as many elements as a vector.
    let load = |block: usize, half: usize| unsafe {
        _mm512_loadu_ps(blocks[block].as_chunks::<HALF>().0[half].as_ptr())
    };
    let mut sums = [_mm_setzero_si128(); 2];
    for (half, sums) in sums.iter_mut().enumerate() {
        // In the low 16 bits of each lane; the bits above them are not part of it.
        let level = |block: usize| {
            let level = _mm512_mul_ps(load(block, half), _mm512_set1_ps(inverse));
            _mm512_castps_si512(_mm512_add_ps(level, _mm512_set1_ps(ROUND)))
        };
        let pair = |first, second| {
            let second = _mm512_slli_epi32::<16>(second);
            _mm512_mask_mov_epi16(second, 0x5555_5555, first)
        };
        let levels = [pair(level(0), level(1)), pair(level(2), level(3))];
        let high =
            levels.map(|levels| _mm512_srai_epi16::<7>(_mm512_add_epi16(levels, _mm512_set1_epi16(64))));
        let low: [_; 2] =
            core::array::from_fn(|pair| _mm512_sub_epi16(levels[pair], _mm512_slli_epi16::<7>(high[pair])));
        let [high, low] = [high, low].map(|[first, second]| by_block(_mm512_packs_epi16(first, second)));
        // SAFETY: a half of all blocks has as many bytes as a vector.
        unsafe {
            _mm512_storeu_si512(group.high[half].as_mut_ptr().cast(), high);
            _mm512_storeu_si512(group.low[half].as_mut_ptr().cast(), low);
        }
        let of_fours = |bytes| _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), bytes);
        let of_fours = _mm512_add_epi32(_mm512_slli_epi32::<7>(of_fours(high)), of_fours(low));
        let of_eights = _mm512_add_epi32(of_fours, _mm512_shuffle_epi32::<0b10_11_00_01>(of_fours));
        let of_all = _mm512_add_epi32(of_eights, _mm512_shuffle_epi32::<0b01_00_11_10>(of_eights));
        let first_of_each = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        *sums = _mm512_castsi512_si128(_mm512_permutexvar_epi32(first_of_each, of_all));
    }
    let both = _mm_add_epi32(sums[0], sums[1]);
    // SAFETY: the arrays have four elements, as the vectors.
    unsafe {
        _mm_storeu_si128(group.sums.as_mut_ptr().cast(), both);
        _mm_storeu_ps(group.float_sums.as_mut_ptr(), _mm_cvtepi32_ps(both));
        for (half, sums) in sums.into_iter().enumerate() {
            _mm_storeu_si128(group.half_sums[half].as_mut_ptr().cast(), sums);
            _mm_storeu_ps(group.float_half_sums[half].as_mut_ptr(), _mm_cvtepi32_ps(sums));
        }
    }
}

/// Puts the bytes of a block side by side: in every 128 bits stand four of the first and of the second in turn, and
/// then of the third and fourth.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn by_block(bytes: __m512i) -> __m512i {
    let fours = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15));
    let blocks = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_permutexvar_epi32(blocks, _mm512_shuffle_epi8(bytes, fours))
}
