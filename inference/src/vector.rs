//! The small operations on vectors between the matrix products. Orders of additions are fixed, and
//! transcendental functions are `libm`'s on every platform, so that the bits are the same everywhere.

use crate::kernels::{LANES, reduce};
use crate::model::Activation;

/// `out = x / sqrt(mean(x^2) + epsilon) * weights`.
pub fn rms_norm(x: &[f32], weights: &[f32], epsilon: f32, out: &mut [f32]) {
    let scale = norm_scale(x, epsilon);
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weights) {
        *out = (x * scale) * weight;
    }
}

/// [`rms_norm`] of each run of `weights.len()` elements by itself, in place.
pub fn rms_norm_each(runs: &mut [f32], weights: &[f32], epsilon: f32) {
    for run in runs.chunks_exact_mut(weights.len()) {
        let scale = norm_scale(run, epsilon);
        for (x, weight) in run.iter_mut().zip(weights) {
            *x = (*x * scale) * weight;
        }
    }
}

fn norm_scale(x: &[f32], epsilon: f32) -> f32 {
    let mut lanes = [0.0; LANES];
    for chunk in x.chunks(LANES) {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value * value;
        }
    }
    1.0 / libm::sqrtf(reduce(lanes) / x.len() as f32 + epsilon)
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

/// `gate = activation(gate) * up`, the gated half of a feed-forward part.
pub fn gated(activation: Activation, gate: &mut [f32], up: &[f32]) {
    /// `sqrt(2 / pi)`.
    const ROOT: f32 = 0.797_884_6;
    match activation {
        Activation::Silu => {
            for (gate, up) in gate.iter_mut().zip(up) {
                *gate = *gate / (1.0 + libm::expf(-*gate)) * up;
            }
        }
        Activation::Gelu => {
            for (gate, up) in gate.iter_mut().zip(up) {
                let x = *gate;
                let inner = ROOT * x * (1.0 + 0.044_715 * x * x);
                *gate = 0.5 * x * (1.0 + libm::tanhf(inner)) * up;
            }
        }
    }
}

/// `x *= factor`.
pub fn scale(x: &mut [f32], factor: f32) {
    x.iter_mut().for_each(|x| *x *= factor);
}

/// `x += y`.
pub fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}
