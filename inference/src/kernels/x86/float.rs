//! Products of floats: rows of float weights, and the two sums of attention.

use core::arch::x86_64::*;

use super::formats::FloatVector;
use super::{Isa, PAIR, check_rows};
use crate::activations::Activations;
use crate::kernels::{SHARING, each_tile, portable};

/// As [`portable::float_rows`].
pub(in crate::kernels) fn float_rows<F: FloatVector>(
    _: Isa,
    rows: &[u8],
    row_bytes: usize,
    inputs: &[Activations],
    out: &mut [f32],
) {
    each_tile(rows, row_bytes, inputs, out, |rows, row_bytes, input, out| {
        check_rows(rows, row_bytes, out);
        assert!(input.values().len() * F::BYTES == row_bytes, "length of the input");
        // SAFETY: every `Isa` includes AVX2 and F16C; lengths were checked above.
        unsafe { float_rows_avx2::<F>(rows, row_bytes, input.values(), out) }
    });
}

/// As [`portable::score`], for up to [`SHARING`] queries `length` long.
pub(in crate::kernels) fn score<F: FloatVector>(
    _: Isa,
    queries: &[f32],
    length: usize,
    keys: &[u8],
    scale: f32,
    scores: &mut [f32],
    stride: usize,
) {
    // SAFETY: every `Isa` includes AVX2 and F16C; each call has as many queries as it names.
    unsafe {
        match queries.len() / length {
            1 => score_avx2::<F, 1>(queries, length, keys, scale, scores, stride),
            2 => score_avx2::<F, 2>(queries, length, keys, scale, scores, stride),
            3 => score_avx2::<F, 3>(queries, length, keys, scale, scores, stride),
            _ => score_avx2::<F, SHARING>(queries, length, keys, scale, scores, stride),
        }
    }
}

/// As [`portable::mix`], for up to [`SHARING`] results `length` long.
pub(in crate::kernels) fn mix<F: FloatVector>(
    _: Isa,
    weights: &[f32],
    stride: usize,
    values: &[u8],
    length: usize,
    out: &mut [f32],
) {
    // SAFETY: every `Isa` includes AVX2 and F16C; each call has as many results as it names.
    unsafe {
        match out.len() / length {
            1 => mix_avx2::<F, 1>(weights, stride, values, length, out),
            2 => mix_avx2::<F, 2>(weights, stride, values, length, out),
            3 => mix_avx2::<F, 3>(weights, stride, values, length, out),
            _ => mix_avx2::<F, SHARING>(weights, stride, values, length, out),
        }
    }
}

#[target_feature(enable = "avx2,f16c")]
unsafe fn float_rows_avx2<F: FloatVector>(rows: &[u8], row_bytes: usize, values: &[f32], out: &mut [f32]) {
    for (results, pair) in out.chunks_mut(PAIR).zip(rows.chunks(PAIR * row_bytes)) {
        let (first, second) = pair.split_at(row_bytes);
        // An odd last row is its own partner.
        let second = if second.is_empty() { first } else { second };
        let mut lanes = [_mm256_setzero_ps(); PAIR];
        let (whole, rest) = values.as_chunks::<8>();
        for (index, values) in whole.iter().enumerate() {
            // SAFETY: a row has as many weights as there are values; 8 are read from each.
            unsafe {
                let x = _mm256_loadu_ps(values.as_ptr());
                for (lanes, row) in lanes.iter_mut().zip([first, second]) {
                    let weights = F::load(row.as_ptr().add(index * 8 * F::BYTES));
                    *lanes = _mm256_add_ps(*lanes, _mm256_mul_ps(weights, x));
                }
            }
        }
        for ((result, lanes), row) in results.iter_mut().zip(lanes).zip([first, second]) {
            let mut lanes = to_array(lanes);
            let weights = row[whole.len() * 8 * F::BYTES..].chunks_exact(F::BYTES);
            for (lane, (weight, value)) in weights.zip(rest).enumerate() {
                lanes[lane] += F::value(weight) * value;
            }
            *result = portable::reduce(lanes);
        }
    }
}

/// Safety: AVX2 and F16C.
#[target_feature(enable = "avx2,f16c")]
unsafe fn score_avx2<F: FloatVector, const N: usize>(
    queries: &[f32],
    length: usize,
    keys: &[u8],
    scale: f32,
    scores: &mut [f32],
    stride: usize,
) {
    assert!(queries.len() == N * length, "queries");
    let whole = length / 8 * 8;
    for (position, key) in keys.chunks_exact(length * F::BYTES).enumerate() {
        let mut lanes = [_mm256_setzero_ps(); N];
        for start in (0..whole).step_by(8) {
            // SAFETY: a key and each query have `length` numbers, of which 8 are read from `start`.
            unsafe {
                let key = F::load(key.as_ptr().add(start * F::BYTES));
                for (query, lanes) in lanes.iter_mut().enumerate() {
                    let query = _mm256_loadu_ps(queries.as_ptr().add(query * length + start));
                    *lanes = _mm256_add_ps(*lanes, _mm256_mul_ps(query, key));
                }
            }
        }
        for (query, lanes) in lanes.iter().enumerate() {
            let product = if whole == length {
                reduce(*lanes)
            } else {
                let mut lanes = to_array(*lanes);
                let rest = key[whole * F::BYTES..].chunks_exact(F::BYTES);
                for (lane, (query, key)) in queries[query * length + whole..].iter().zip(rest).enumerate() {
                    lanes[lane] += query * F::value(key);
                }
                portable::reduce(lanes)
            };
            scores[query * stride + position] = product * scale;
        }
    }
}

/// Safety: AVX2 and F16C.
#[target_feature(enable = "avx2,f16c")]
unsafe fn mix_avx2<F: FloatVector, const N: usize>(
    weights: &[f32],
    stride: usize,
    values: &[u8],
    length: usize,
    out: &mut [f32],
) {
    /// Elements of each result kept in registers over a block of positions.
    const TILE: usize = 16;
    /// Positions whose values stay in the nearest cache until every tile has passed over them.
    const POSITIONS: usize = 64;
    assert!(out.len() == N * length, "results");
    let tiled = length / TILE * TILE;
    for (block, values) in values.chunks(POSITIONS * length * F::BYTES).enumerate() {
        let positions = values.len() / (length * F::BYTES);
        let mut rows = [&[0.0][..]; N];
        for (result, row) in rows.iter_mut().enumerate() {
            *row = &weights[result * stride + block * POSITIONS..][..positions];
        }
        for start in (0..tiled).step_by(TILE) {
            let mut sums = [[_mm256_setzero_ps(); TILE / 8]; N];
            // SAFETY: results and values have `length` numbers each, of which 16 are used from `start`;
            // every row has `positions` weights.
            unsafe {
                for (result, sums) in sums.iter_mut().enumerate() {
                    for (eight, sum) in sums.iter_mut().enumerate() {
                        *sum = _mm256_loadu_ps(out.as_ptr().add(result * length + start + eight * 8));
                    }
                }
                for position in 0..positions {
                    let value = values.as_ptr().add((position * length + start) * F::BYTES);
                    let value = [F::load(value), F::load(value.add(8 * F::BYTES))];
                    for (row, sums) in rows.iter().zip(&mut sums) {
                        let weight = _mm256_set1_ps(*row.get_unchecked(position));
                        for (sum, value) in sums.iter_mut().zip(value) {
                            *sum = _mm256_add_ps(*sum, _mm256_mul_ps(weight, value));
                        }
                    }
                }
                for (result, sums) in sums.iter().enumerate() {
                    for (eight, sum) in sums.iter().enumerate() {
                        _mm256_storeu_ps(out.as_mut_ptr().add(result * length + start + eight * 8), *sum);
                    }
                }
            }
        }
        for (row, out) in rows.iter().zip(out.chunks_exact_mut(length)) {
            for (weight, value) in row.iter().zip(values.chunks_exact(length * F::BYTES)) {
                let rest = value[tiled * F::BYTES..].chunks_exact(F::BYTES);
                for (result, value) in out[tiled..].iter_mut().zip(rest) {
                    *result += weight * F::value(value);
                }
            }
        }
    }
}

/// As [`portable::reduce`].
#[inline]
#[target_feature(enable = "avx")]
fn reduce(lanes: __m256) -> f32 {
    // [l0 + l4, l1 + l5, l2 + l6, l3 + l7]
    let fours = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
    let pairs = _mm_add_ps(fours, _mm_movehl_ps(fours, fours));
    _mm_cvtss_f32(_mm_add_ss(pairs, _mm_movehdup_ps(pairs)))
}

#[target_feature(enable = "avx")]
fn to_array(lanes: __m256) -> [f32; 8] {
    let mut array = [0.0; 8];
    // SAFETY: the array holds the 8 floats written.
    unsafe { _mm256_storeu_ps(array.as_mut_ptr(), lanes) };
    array
}
