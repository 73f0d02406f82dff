//! The two sums of attention. Keys stand side by side in runs, so that a score is a lane of a vector from the first
//! element to the last; values one after the other, so that an element is.
//!
//! Every `unsafe fn` needs the instructions of `V` and F16C, and what its caller checked.

use core::arch::x86_64::_MM_HINT_T0;

use super::dot::Avx2;
use super::float::FloatVector;
use super::sixteen::{Halves, Sixteen, Whole};
use super::{CACHE_LINE, Isa, prefetch};
use crate::KEYS;
use crate::SHARING;
use crate::matrix::F32;
use crate::portable;

/// Prefetch distance of streamed data, in bytes.
const PREFETCH_DISTANCE: usize = 4096;

/// Elements of a value in a vector.
const ELEMENTS: usize = 16;

/// As [`portable::score`], for up to [`SHARING`] queries `length` long.
pub(crate) fn score<F: FloatVector>(
    isa: Isa,
    queries: &[f32],
    length: usize,
    keys: &[u8],
    scale: f32,
    scores: &mut [f32],
    stride: usize,
) {
    let runs = keys.len() / (KEYS * length * F::BYTES);
    let last = queries.len() / length - 1;
    assert!(last < SHARING && last * stride + runs * KEYS <= scores.len(), "scores of all queries");
    // SAFETY: an `Isa` exists only where the processor and the system have its instructions; scores were counted.
    unsafe {
        match isa {
            Isa::Avx2 | Isa::AvxVnni => score_avx2::<F>(queries, length, keys, scale, scores, stride),
            Isa::Avx512Vnni => score_avx512::<F>(queries, length, keys, scale, scores, stride),
        }
    }
}

/// As [`portable::weighted_sum`], for up to [`SHARING`] results `length` long.
pub(crate) fn weighted_sum<F: FloatVector>(
    isa: Isa,
    weights: &[f32],
    stride: usize,
    values: &[u8],
    length: usize,
    out: &mut [f32],
) {
    if !length.is_multiple_of(ELEMENTS) {
        return portable::weighted_sum::<F>(weights, stride, values, length, out);
    }
    assert!(out.len() / length <= SHARING, "results");
    // SAFETY: an `Isa` exists only where the processor and the system have its instructions; results have whole
    // vectors.
    unsafe {
        match isa {
            Isa::Avx2 | Isa::AvxVnni => mix_avx2::<F>(weights, stride, values, length, out),
            Isa::Avx512Vnni => mix_avx512::<F>(weights, stride, values, length, out),
        }
    }
}

/// Calls one of the instances of a function for 1 to [`SHARING`] queries.
macro_rules! for_queries {
    ($count:expr, $function:ident::<$V:ty, $F:ty, _, $more:literal>$arguments:tt) => {
        match $count {
            1 => $function::<$V, $F, 1, $more> $arguments,
            2 => $function::<$V, $F, 2, $more> $arguments,
            3 => $function::<$V, $F, 3, $more> $arguments,
            _ => $function::<$V, $F, SHARING, $more> $arguments,
        }
    };
}

#[target_feature(enable = "avx2,f16c")]
unsafe fn score_avx2<F: FloatVector>(
    queries: &[f32],
    length: usize,
    keys: &[u8],
    scale: f32,
    scores: &mut [f32],
    stride: usize,
) {
    // SAFETY: see the file's head.
    unsafe {
        let count = queries.len() / length;
        for_queries!(
            count,
            score_some::<Halves<Avx2>, F, _, 1>(queries, length, keys, scale, scores, stride)
        );
    }
}

#[target_feature(enable = "avx2,f16c,avx512f,avx512bw,avx512vl")]
unsafe fn score_avx512<F: FloatVector>(
    queries: &[f32],
    length: usize,
    keys: &[u8],
    scale: f32,
    scores: &mut [f32],
    stride: usize,
) {
    // SAFETY: see the file's head.
    unsafe {
        let count = queries.len() / length;
        let pairs = keys.len() / (2 * KEYS * length * F::BYTES);
        let (keys, last) = keys.split_at(pairs * 2 * KEYS * length * F::BYTES);
        for_queries!(count, score_some::<Whole, F, _, 2>(queries, length, keys, scale, scores, stride));
        if !last.is_empty() {
            let scores = &mut scores[pairs * 2 * KEYS..];
            for_queries!(count, score_some::<Whole, F, _, 1>(queries, length, last, scale, scores, stride));
        }
    }
}

/// Scores of `N` queries, with `RUNS` runs of keys at once.
#[inline(always)]
unsafe fn score_some<V: Sixteen, F: FloatVector, const N: usize, const RUNS: usize>(
    queries: &[f32],
    length: usize,
    keys: &[u8],
    scale: f32,
    scores: &mut [f32],
    stride: usize,
) {
    let run = KEYS * length * F::BYTES;
    // SAFETY: see the file's head; each of the runs has `length` elements of all keys, and so many queries are there.
    unsafe {
        for (first, keys) in keys.chunks_exact(RUNS * run).enumerate() {
            let mut sums = [[V::splat(0.0); N]; RUNS];
            for element in 0..length {
                fetch::<{ KEYS }, F>(keys, RUNS * element);
                for (index, sums) in sums.iter_mut().enumerate() {
                    let keys = V::widen::<F>(keys.as_ptr().add(index * run + element * KEYS * F::BYTES));
                    for (query, sum) in sums.iter_mut().enumerate() {
                        let query = V::splat(*queries.get_unchecked(query * length + element));
                        *sum = V::add(*sum, V::multiply(keys, query));
                    }
                }
            }
            for (index, sums) in sums.into_iter().enumerate() {
                for (query, sum) in sums.into_iter().enumerate() {
                    let scores = scores[query * stride + (first * RUNS + index) * KEYS..].first_chunk_mut();
                    V::store(scores.expect("counted"), V::multiply(sum, V::splat(scale)));
                }
            }
        }
    }
}

#[target_feature(enable = "avx2,f16c")]
unsafe fn mix_avx2<F: FloatVector>(
    weights: &[f32],
    stride: usize,
    values: &[u8],
    length: usize,
    out: &mut [f32],
) {
    // SAFETY: see the file's head.
    unsafe {
        for_queries!(
            out.len() / length,
            mix_some::<Halves<Avx2>, F, _, 1>(weights, stride, values, length, out)
        );
    }
}

#[target_feature(enable = "avx2,f16c,avx512f,avx512bw,avx512vl")]
unsafe fn mix_avx512<F: FloatVector>(
    weights: &[f32],
    stride: usize,
    values: &[u8],
    length: usize,
    out: &mut [f32],
) {
    // SAFETY: see the file's head.
    unsafe {
        let count = out.len() / length;
        if length.is_multiple_of(4 * ELEMENTS) {
            for_queries!(count, mix_some::<Whole, F, _, 4>(weights, stride, values, length, out));
        } else {
            for_queries!(count, mix_some::<Whole, F, _, 1>(weights, stride, values, length, out));
        }
    }
}

/// Adds to `N` results, `VECTORS` vectors of each at once.
#[inline(always)]
unsafe fn mix_some<V: Sixteen, F: FloatVector, const N: usize, const VECTORS: usize>(
    weights: &[f32],
    stride: usize,
    values: &[u8],
    length: usize,
    out: &mut [f32],
) {
    let positions = values.len() / (length * F::BYTES);
    let mut rows = [&[0.0][..]; N];
    for (result, row) in rows.iter_mut().enumerate() {
        *row = &weights[result * stride..][..positions];
    }
    for start in (0..length).step_by(VECTORS * ELEMENTS) {
        // SAFETY: see the file's head; so many vectors of each result and value are there from `start`, and each row
        // has `positions` weights.
        unsafe {
            let mut sums = [[V::splat(0.0); VECTORS]; N];
            let at = |result: usize, vector: usize| result * length + start + vector * ELEMENTS;
            for (result, sums) in sums.iter_mut().enumerate() {
                for (vector, sum) in sums.iter_mut().enumerate() {
                    *sum = V::widen::<F32>(out[at(result, vector)..][..ELEMENTS].as_ptr().cast());
                }
            }
            for position in 0..positions {
                let first = position * length + start;
                let mut loaded = [V::splat(0.0); VECTORS];
                for (vector, loaded) in loaded.iter_mut().enumerate() {
                    fetch::<{ ELEMENTS }, F>(values, first / ELEMENTS + vector);
                    *loaded = V::widen::<F>(values.as_ptr().add((first + vector * ELEMENTS) * F::BYTES));
                }
                for (row, sums) in rows.iter().zip(&mut sums) {
                    let weight = V::splat(*row.get_unchecked(position));
                    for (sum, value) in sums.iter_mut().zip(loaded) {
                        *sum = V::add(*sum, V::multiply(weight, value));
                    }
                }
            }
            for (result, sums) in sums.into_iter().enumerate() {
                for (vector, sum) in sums.into_iter().enumerate() {
                    V::store(out[at(result, vector)..].first_chunk_mut().expect("whole vectors"), sum);
                }
            }
        }
    }
}

/// Asks for what comes after vector `index` of `N` numbers, where that begins a cache line.
#[inline(always)]
fn fetch<const N: usize, F: FloatVector>(numbers: &[u8], index: usize) {
    if (index * N * F::BYTES).is_multiple_of(CACHE_LINE) {
        prefetch::<_MM_HINT_T0>(numbers.as_ptr().wrapping_add(index * N * F::BYTES + PREFETCH_DISTANCE));
    }
}
