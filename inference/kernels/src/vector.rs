//! The small operations on vectors between the matrix products. Orders of additions are fixed and nothing is
//! fused, so that the bits are the same everywhere; `crate` compiles them for every instruction set.

use core::ops::Range;

use crate::KV_BLOCK;
use crate::LANES;
use crate::reduce;

/// A gate's function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + e^-x)`.
    Silu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`.
    Gelu,
}

/// `out = x / sqrt(mean(x^2) + epsilon) * weights`.
#[inline(always)]
pub fn rms_norm(x: &[f32], weights: &[f32], epsilon: f32, out: &mut [f32]) {
    let scale = norm_scale(x, epsilon);
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weights) {
        *out = (x * scale) * weight;
    }
}

/// [`rms_norm`] of each run of `weights.len()` elements by itself, in place.
#[inline(always)]
pub fn rms_norm_each(runs: &mut [f32], weights: &[f32], epsilon: f32) {
    for run in runs.chunks_exact_mut(weights.len()) {
        let scale = norm_scale(run, epsilon);
        for (x, weight) in run.iter_mut().zip(weights) {
            *x = (*x * scale) * weight;
        }
    }
}

#[inline(always)]
fn norm_scale(x: &[f32], epsilon: f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value * value;
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += value * value;
    }
    1.0 / libm::sqrtf(reduce(lanes) / x.len() as f32 + epsilon)
}

/// [`softmax_weights`] of the visible scores of each KV block; the masked ones become 0.
#[inline(always)]
pub fn softmax_weights_of_blocks(
    scores: &mut [[f32; KV_BLOCK]],
    seen: &[Range<usize>],
    states: &mut [(f32, f32)],
) {
    for ((scores, seen), state) in scores.iter_mut().zip(seen).zip(states) {
        *state = if seen.len() == KV_BLOCK {
            // Loops of a known length.
            softmax_weights(scores)
        } else {
            scores[..seen.start].fill(0.0);
            scores[seen.end..].fill(0.0);
            softmax_weights(&mut scores[seen.clone()])
        };
    }
}

/// Turns scores into weights `e^(score - largest)`. Result: the largest score and the sum of the weights.
#[inline(always)]
pub fn softmax_weights(scores: &mut [f32]) -> (f32, f32) {
    let mut largest = [f32::NEG_INFINITY; LANES];
    let mut lanes = [0.0; LANES];
    let keep_larger = |largest: &mut f32, score: &f32| {
        if *score > *largest {
            *largest = *score;
        }
    };
    let (whole, rest) = scores.as_chunks::<LANES>();
    whole.iter().for_each(|chunk| largest.iter_mut().zip(chunk).for_each(|(l, s)| keep_larger(l, s)));
    largest.iter_mut().zip(rest).for_each(|(l, s)| keep_larger(l, s));
    for half in [4, 2, 1] {
        let (first, second) = largest.split_at_mut(half);
        first.iter_mut().zip(second).for_each(|(l, s)| keep_larger(l, s));
    }
    let [largest, ..] = largest;
    scores.iter_mut().for_each(|score| *score = exp(*score - largest));
    let (whole, rest) = scores.as_chunks::<LANES>();
    whole.iter().for_each(|chunk| lanes.iter_mut().zip(chunk).for_each(|(lane, score)| *lane += score));
    lanes.iter_mut().zip(rest).for_each(|(lane, score)| *lane += score);
    (largest, reduce(lanes))
}

/// `gate = activation(gate) * up`, the gated half of a feed-forward part.
#[inline(always)]
pub fn gated(activation: Activation, gate: &mut [f32], up: &[f32]) {
    /// `2 * sqrt(2 / pi)`.
    const ROOT: f32 = 1.595_769;
    match activation {
        Activation::Silu => {
            for (gate, up) in gate.iter_mut().zip(up) {
                *gate = *gate / (1.0 + exp(-*gate)) * up;
            }
        }
        Activation::Gelu => {
            for (gate, up) in gate.iter_mut().zip(up) {
                let x = *gate;
                // (1 + tanh(z)) / 2 = 1 / (1 + e^-2z)
                let twice = ROOT * x * (1.0 + 0.044_715 * x * x);
                *gate = x / (1.0 + exp(-twice)) * up;
            }
        }
    }
}

/// `e^x` to about one unit in the last place, between 2^-126 and 2^127, where it stays beyond; NaN of NaN.
///
/// As `2^n * e^r` with `|r| <= ln(2) / 2` and Cephes' polynomial for `e^r` (S. Moshier, `expf.c`): multiplications
/// and additions only, so that a loop over it becomes vector code and the bits are the same everywhere.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LOWEST: f32 = -87.336_54;
    const HIGHEST: f32 = 88.029_69;
    /// Adding this leaves the nearest integer in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln(2), its upper part short enough that multiples are exact.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    // Comparisons in this direction let NaN through.
    let x = if x < LOWEST { LOWEST } else { x };
    let x = if x > HIGHEST { HIGHEST } else { x };
    let shifted = x * core::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2.0) - n * LN_2.1;
    let mut p = 1.987_569_1e-4 * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    p = p * (r * r) + r + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    p * power
}

/// `x *= factor`.
#[inline(always)]
pub fn scale(x: &mut [f32], factor: f32) {
    x.iter_mut().for_each(|x| *x *= factor);
}

/// `x += y`.
#[inline(always)]
pub fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

#[cfg(test)]
mod tests {
    use super::exp;

    #[test]
    fn exp_is_exact_to_two_units() {
        let mut worst = 0.0f64;
        for step in -870_000..880_000 {
            let x = step as f32 * 1e-4;
            let exact = libm::exp(x.into());
            let error = (f64::from(exp(x)) - exact).abs() / exact / f64::from(f32::EPSILON);
            worst = worst.max(error);
        }
        assert!(worst < 2.0, "{worst} units");
    }

    #[test]
    fn exp_keeps_its_ends() {
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 1.2e-38 && exp(-1000.0) > 0.0);
        assert!(exp(f32::INFINITY).is_finite() && exp(1e9) > 1.6e38);
        assert!(exp(f32::NAN).is_nan());
    }
}
