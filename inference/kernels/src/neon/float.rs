//! Products of floats: rows of float weights, and the scores of attention.

use core::arch::aarch64::*;
use core::arch::asm;

use super::{Isa, load_f32, load_u8};
use crate::activations::Activations;
use crate::matrix::{BF16, F16, F32, FloatFormat};
use crate::{KEYS, each_tile, portable};

/// As [`portable::float_rows`], for every input.
pub(crate) fn float_rows<F: FloatVector>(
    _: Isa,
    rows: &[u8],
    row_bytes: usize,
    inputs: &[Activations],
    out: &mut [f32],
) {
    each_tile(rows, row_bytes, inputs, out, |rows, row_bytes, input, out| {
        for (result, row) in out.iter_mut().zip(rows.chunks_exact(row_bytes)) {
            // SAFETY: NEON is in the baseline.
            *result = unsafe { float_product::<F>(row, input.values()) };
        }
    });
}

/// As [`portable::score`].
pub(crate) fn score<F: FloatVector>(
    queries: &[f32],
    length: usize,
    keys: &[u8],
    scale: f32,
    scores: &mut [f32],
    stride: usize,
) {
    for (query, scores) in queries.chunks_exact(length).zip(scores.chunks_mut(stride)) {
        let runs = keys.chunks_exact(KEYS * length * F::BYTES);
        for (scores, run) in scores.as_chunks_mut::<KEYS>().0.iter_mut().zip(runs) {
            // SAFETY: NEON is in the baseline.
            unsafe { score_run::<F>(query, run, scale, scores) };
        }
    }
}

/// Safety: NEON.
#[target_feature(enable = "neon")]
unsafe fn score_run<F: FloatVector>(query: &[f32], run: &[u8], scale: f32, scores: &mut [f32; KEYS]) {
    let mut sums = [vdupq_n_f32(0.0); KEYS / 4];
    for (query, keys) in query.iter().zip(run.chunks_exact(KEYS * F::BYTES)) {
        for (sum, keys) in sums.iter_mut().zip(keys.chunks_exact(4 * F::BYTES)) {
            *sum = vaddq_f32(*sum, vmulq_n_f32(F::load(keys), *query));
        }
    }
    for (scores, sum) in scores.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
        // SAFETY: four scores are written.
        unsafe { vst1q_f32(scores.as_mut_ptr(), vmulq_n_f32(sum, scale)) };
    }
}

/// Safety: NEON.
#[target_feature(enable = "neon")]
unsafe fn float_product<F: FloatVector>(weights: &[u8], values: &[f32]) -> f32 {
    let mut lanes = [vdupq_n_f32(0.0); 2];
    let (whole, rest) = values.as_chunks::<8>();
    for (values, weights) in whole.iter().zip(weights.chunks_exact(8 * F::BYTES)) {
        let (first, second) = weights.split_at(4 * F::BYTES);
        lanes[0] = vaddq_f32(lanes[0], vmulq_f32(F::load(first), load_f32(values)));
        lanes[1] = vaddq_f32(lanes[1], vmulq_f32(F::load(second), load_f32(&values[4..])));
    }
    let mut array = [0.0; portable::LANES];
    // SAFETY: the array holds the 8 floats written.
    unsafe {
        vst1q_f32(array.as_mut_ptr(), lanes[0]);
        vst1q_f32(array.as_mut_ptr().add(4), lanes[1]);
    }
    let weights = weights[whole.len() * 8 * F::BYTES..].chunks_exact(F::BYTES);
    for (lane, (weight, value)) in weights.zip(rest).enumerate() {
        array[lane] += F::value(weight) * value;
    }
    portable::reduce(array)
}

/// A float format as vectors.
pub(crate) trait FloatVector: FloatFormat {
    /// Four weights.
    fn load(weights: &[u8]) -> float32x4_t;
}

impl FloatVector for F16 {
    #[inline]
    fn load(weights: &[u8]) -> float32x4_t {
        let weights = &weights[..8];
        let floats;
        // SAFETY: NEON is in the baseline; 8 bytes. The intrinsic of this instruction is not stable.
        unsafe {
            let halves = vld1_u8(weights.as_ptr());
            asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) floats, in(vreg) halves,
                options(pure, nomem, nostack, preserves_flags));
        }
        floats
    }
}

impl FloatVector for F32 {
    #[inline]
    fn load(weights: &[u8]) -> float32x4_t {
        // SAFETY: NEON is in the baseline.
        unsafe { vreinterpretq_f32_u8(load_u8(weights)) }
    }
}

impl FloatVector for BF16 {
    #[inline]
    fn load(weights: &[u8]) -> float32x4_t {
        let weights = &weights[..8];
        // SAFETY: NEON is in the baseline; 8 bytes.
        unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(vreinterpret_u16_u8(vld1_u8(weights.as_ptr())))) }
    }
}
