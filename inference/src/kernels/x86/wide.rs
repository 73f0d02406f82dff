//! The two sums of attention with 512-bit vectors. A score's eight lanes are half a vector: two keys share one.

use core::arch::x86_64::*;

use super::formats::FloatVector;
use crate::kernels::SHARING;

/// Keys worked at once.
const KEYS: usize = 8;
/// Elements of each result that [`mix`] keeps in registers: a result's length must be a multiple.
pub(super) const ELEMENTS: usize = 32;

/// As [`super::attention::score`] for the first keys, in whole runs of [`KEYS`]; how many they are.
///
/// Safety: AVX-512 F and F16C; `length` is a multiple of 8.
pub(super) unsafe fn score<F: FloatVector>(
    queries: &[f32],
    length: usize,
    keys: &[u8],
    scale: f32,
    scores: &mut [f32],
    stride: usize,
) -> usize {
    // SAFETY: passed on; each call has as many queries as it names.
    unsafe {
        match queries.len() / length {
            1 => score_some::<F, 1>(queries, length, keys, scale, scores, stride),
            2 => score_some::<F, 2>(queries, length, keys, scale, scores, stride),
            3 => score_some::<F, 3>(queries, length, keys, scale, scores, stride),
            _ => score_some::<F, SHARING>(queries, length, keys, scale, scores, stride),
        }
    }
}

/// As [`super::attention::mix`].
///
/// Safety: AVX-512 F and F16C; `length` is a multiple of [`ELEMENTS`].
pub(super) unsafe fn mix<F: FloatVector>(
    weights: &[f32],
    stride: usize,
    values: &[u8],
    length: usize,
    out: &mut [f32],
) {
    // SAFETY: passed on; each call has as many results as it names.
    unsafe {
        match out.len() / length {
            1 => mix_some::<F, 1>(weights, stride, values, length, out),
            2 => mix_some::<F, 2>(weights, stride, values, length, out),
            3 => mix_some::<F, 3>(weights, stride, values, length, out),
            _ => mix_some::<F, SHARING>(weights, stride, values, length, out),
        }
    }
}

#[target_feature(enable = "avx2,f16c,avx512f")]
unsafe fn score_some<F: FloatVector, const N: usize>(
    queries: &[f32],
    length: usize,
    keys: &[u8],
    scale: f32,
    scores: &mut [f32],
    stride: usize,
) -> usize {
    assert!(queries.len() == N * length, "queries");
    let (key_bytes, scale) = (length * F::BYTES, _mm512_set1_ps(scale));
    // Where the keys' sums stand after `reduce`: 0 to 3 first in their quarters, 4 to 7 second.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 4, 8, 12, 1, 5, 9, 13);
    let runs = keys.chunks_exact(KEYS * key_bytes);
    let done = runs.len() * KEYS;
    for (run, keys) in runs.enumerate() {
        let mut lanes = [[_mm512_setzero_ps(); KEYS / 2]; N];
        for start in (0..length).step_by(8) {
            // SAFETY: each of the keys and queries has `length` numbers, of which 8 are read from `start`.
            unsafe {
                let mut pairs = [_mm512_setzero_ps(); KEYS / 2];
                for (pair, both) in pairs.iter_mut().enumerate() {
                    let key = keys.as_ptr().add(2 * pair * key_bytes + start * F::BYTES);
                    *both = join(F::load(key), F::load(key.add(key_bytes)));
                }
                for (query, lanes) in lanes.iter_mut().enumerate() {
                    let query = _mm256_loadu_ps(queries.as_ptr().add(query * length + start));
                    let query = join(query, query);
                    for (lanes, pair) in lanes.iter_mut().zip(pairs) {
                        *lanes = _mm512_add_ps(*lanes, _mm512_mul_ps(query, pair));
                    }
                }
            }
        }
        for (query, lanes) in lanes.into_iter().enumerate() {
            let products = _mm512_mul_ps(_mm512_permutexvar_ps(order, reduce(lanes)), scale);
            let scores = &mut scores[query * stride + run * KEYS..][..KEYS];
            // SAFETY: eight scores are there.
            unsafe { _mm256_storeu_ps(scores.as_mut_ptr(), _mm512_castps512_ps256(products)) };
        }
    }
    done
}

/// The sums of eight times eight lanes, each as `portable::reduce`: those of keys 0 to 3 stand first in the quarters
/// of the result, those of keys 4 to 7 second.
#[inline]
#[target_feature(enable = "avx512f")]
fn reduce([a, b, c, d]: [__m512; KEYS / 2]) -> __m512 {
    // For each key [l0 + l4, l1 + l5, l2 + l6, l3 + l7].
    let fours = |a, b| {
        let (low, high) =
            (_mm512_shuffle_f32x4::<0b10_00_10_00>(a, b), _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b));
        _mm512_add_ps(low, high)
    };
    let (first, second) = (fours(a, b), fours(c, d));
    let even = _mm512_shuffle_ps::<0b01_00_01_00>(first, second);
    let twos = _mm512_add_ps(even, _mm512_shuffle_ps::<0b11_10_11_10>(first, second));
    _mm512_add_ps(
        _mm512_shuffle_ps::<0b10_00_10_00>(twos, twos),
        _mm512_shuffle_ps::<0b11_01_11_01>(twos, twos),
    )
}

#[inline]
#[target_feature(enable = "avx512f")]
fn join(low: __m256, high: __m256) -> __m512 {
    let low = _mm512_castpd256_pd512(_mm256_castps_pd(low));
    _mm512_castpd_ps(_mm512_insertf64x4::<1>(low, _mm256_castps_pd(high)))
}

#[target_feature(enable = "avx2,f16c,avx512f")]
unsafe fn mix_some<F: FloatVector, const N: usize>(
    weights: &[f32],
    stride: usize,
    values: &[u8],
    length: usize,
    out: &mut [f32],
) {
    const VECTORS: usize = ELEMENTS / 16;
    assert!(out.len() == N * length && length.is_multiple_of(ELEMENTS), "results");
    let positions = values.len() / (length * F::BYTES);
    let mut rows = [&[0.0][..]; N];
    for (result, row) in rows.iter_mut().enumerate() {
        *row = &weights[result * stride..][..positions];
    }
    for start in (0..length).step_by(ELEMENTS) {
        let mut sums = [[_mm512_setzero_ps(); VECTORS]; N];
        // SAFETY: results and values have `length` numbers each, of which `ELEMENTS` are used from `start`; every
        // row has `positions` weights.
        unsafe {
            for (result, sums) in sums.iter_mut().enumerate() {
                for (vector, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_loadu_ps(out.as_ptr().add(result * length + start + vector * 16));
                }
            }
            for position in 0..positions {
                let mut loaded = [_mm512_setzero_ps(); VECTORS];
                for (vector, loaded) in loaded.iter_mut().enumerate() {
                    let value = values.as_ptr().add((position * length + start + vector * 16) * F::BYTES);
                    *loaded = join(F::load(value), F::load(value.add(8 * F::BYTES)));
                }
                for (row, sums) in rows.iter().zip(&mut sums) {
                    let weight = _mm512_set1_ps(*row.get_unchecked(position));
                    for (sum, value) in sums.iter_mut().zip(loaded) {
                        *sum = _mm512_add_ps(*sum, _mm512_mul_ps(weight, value));
                    }
                }
            }
            for (result, sums) in sums.iter().enumerate() {
                for (vector, sum) in sums.iter().enumerate() {
                    _mm512_storeu_ps(out.as_mut_ptr().add(result * length + start + vector * 16), *sum);
                }
            }
        }
    }
}
