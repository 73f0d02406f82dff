//! The arithmetic in plain Rust: the definition that the other variants are compared with.

use crate::activations::{Activations, GROUP, Levels};
use crate::matrix::{BLOCK, FloatFormat, QuantFormat};

/// Lanes of a sum of float products.
pub(crate) const LANES: usize = 8;

/// `out[i] = row i * input` for quantised rows.
pub(super) fn quant_rows<Q: QuantFormat>(
    rows: &[u8],
    row_bytes: usize,
    input: &Activations,
    out: &mut [f32],
) {
    for (result, row) in out.iter_mut().zip(rows.chunks_exact(row_bytes)) {
        let mut lanes = [0.0; GROUP];
        for (index, block) in row.chunks_exact(Q::BYTES).enumerate() {
            let product = integer_product(&Q::levels(block), &input.levels()[index]);
            let sum = product - Q::ZERO * input.sums()[index];
            let mut term = (Q::scale(block) * input.scales()[index]) * sum as f32;
            if Q::HAS_MINIMUM {
                term += Q::minimum(block) * input.scaled_sums()[index];
            }
            lanes[index % GROUP] += term;
        }
        *result = reduce_group(lanes);
    }
}

fn integer_product(weights: &[i8; BLOCK], levels: &Levels) -> i32 {
    // Products of bytes fit 16 bits, and vector units multiply those best.
    let products = |levels: &[i8; BLOCK]| -> i32 {
        let product = |(&weight, &level): (&i8, &i8)| i32::from(i16::from(weight) * i16::from(level));
        weights.iter().zip(levels).map(product).sum()
    };
    128 * products(&levels.high) + products(&levels.low)
}

/// The sum of a quantised row's lanes.
pub(super) fn reduce_group([l0, l1, l2, l3]: [f32; GROUP]) -> f32 {
    (l0 + l2) + (l1 + l3)
}

/// `out[i] = row i * input` for rows of floats.
pub(super) fn float_rows<F: FloatFormat>(
    rows: &[u8],
    row_bytes: usize,
    input: &Activations,
    out: &mut [f32],
) {
    for (result, row) in out.iter_mut().zip(rows.chunks_exact(row_bytes)) {
        let mut lanes = [0.0; LANES];
        for (weights, values) in row.chunks(LANES * F::BYTES).zip(input.values().chunks(LANES)) {
            for (lane, (weight, value)) in weights.chunks_exact(F::BYTES).zip(values).enumerate() {
                lanes[lane] += F::value(weight) * value;
            }
        }
        *result = reduce(lanes);
    }
}

/// `scores[t] = (query * keys[t]) * scale`.
pub(super) fn score(query: &[f32], keys: &[f32], scale: f32, scores: &mut [f32]) {
    for (score, key) in scores.iter_mut().zip(keys.chunks_exact(query.len())) {
        let mut lanes = [0.0; LANES];
        for (query, key) in query.chunks(LANES).zip(key.chunks(LANES)) {
            for (lane, (query, key)) in query.iter().zip(key).enumerate() {
                lanes[lane] += query * key;
            }
        }
        *score = reduce(lanes) * scale;
    }
}

/// `out = sum over t of weights[t] * values[t]`.
pub(super) fn mix(weights: &[f32], values: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    for (weight, values) in weights.iter().zip(values.chunks_exact(out.len())) {
        for (result, value) in out.iter_mut().zip(values) {
            *result += weight * value;
        }
    }
}

/// The sum of the lanes of float products.
pub(crate) fn reduce([l0, l1, l2, l3, l4, l5, l6, l7]: [f32; LANES]) -> f32 {
    ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7))
}
