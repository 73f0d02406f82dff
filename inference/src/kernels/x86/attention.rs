//! The two sums of attention, with 256-bit vectors, or 512-bit ones where they are there.

use core::arch::x86_64::*;

use super::float::{reduce, to_array};
use super::formats::FloatVector;
use super::{Isa, wide};
use crate::kernels::{SHARING, portable};

/// As [`portable::score`], for up to [`SHARING`] queries `length` long.
pub(in crate::kernels) fn score<F: FloatVector>(
    isa: Isa,
    queries: &[f32],
    length: usize,
    keys: &[u8],
    scale: f32,
    scores: &mut [f32],
    stride: usize,
) {
    let (mut keys, mut scores) = (keys, scores);
    if isa == Isa::Avx512Vnni && length.is_multiple_of(8) {
        // SAFETY: this `Isa` includes AVX-512 F; keys have whole vectors of 8.
        let done = unsafe { wide::score::<F>(queries, length, keys, scale, scores, stride) };
        (keys, scores) = (&keys[done * length * F::BYTES..], &mut scores[done..]);
    }
    if keys.is_empty() {
        return;
    }
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
    isa: Isa,
    weights: &[f32],
    stride: usize,
    values: &[u8],
    length: usize,
    out: &mut [f32],
) {
    if isa == Isa::Avx512Vnni && length.is_multiple_of(wide::ELEMENTS) {
        // SAFETY: this `Isa` includes AVX-512 F; results have whole runs of elements.
        return unsafe { wide::mix::<F>(weights, stride, values, length, out) };
    }
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
