//! The small operations on vectors between the matrix products. Orders of additions are fixed, and
//! transcendental functions are `libm`'s on every platform, so that the bits are the same everywhere.

use crate::kernels::{LANES, reduce};

/// `out = x / sqrt(mean(x^2) + epsilon) * weights`.
pub fn rms_norm(x: &[f32], weights: &[f32], epsilon: f32, out: &mut [f32]) {
    let mut lanes = [0.0; LANES];
    for chunk in x.chunks(LANES) {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value * value;
        }
    }
    let scale = 1.0 / libm::sqrtf(reduce(lanes) / x.len() as f32 + epsilon);
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weights) {
        *out = (x * scale) * weight;
    }
}

/// Turns scores into weights that add up to 1.
pub fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut lanes = [0.0; LANES];
    for chunk in scores.chunks_mut(LANES) {
        for (lane, score) in lanes.iter_mut().zip(chunk) {
            *score = libm::expf(*score - largest);
            *lane += *score;
        }
    }
    let scale = 1.0 / reduce(lanes);
    scores.iter_mut().for_each(|score| *score *= scale);
}

/// `gate = silu(gate) * up`, the gated half of SwiGLU.
pub fn swiglu(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + libm::expf(-*gate)) * up;
    }
}

/// `x += y`.
pub fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}
