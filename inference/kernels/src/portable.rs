//! The arithmetic in plain Rust: the definition that the other variants are compared with.

use super::KEYS;
use crate::activations::{Activations, GROUP, HALF};
use crate::matrix::{FloatFormat, QuantFormat};

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
        for index in 0..row_bytes / Q::BYTES * Q::SUB_BLOCKS {
            let (block, sub_block) =
                (&row[index / Q::SUB_BLOCKS * Q::BYTES..][..Q::BYTES], index % Q::SUB_BLOCKS);
            let weights = Q::levels(block, sub_block);
            let (group, lane) = (&input.groups()[index / GROUP], index % GROUP);
            let [first, second] = [0, 1].map(|half| integer_product(&weights, half, group.levels(lane)));
            let (scales, minima) = (Q::scales(block, sub_block), Q::minima(block, sub_block));
            let term = |half: usize, product: i32, input_sum: i32| {
                let term = scales[half] * (product - Q::ZERO * input_sum) as f32;
                if Q::HAS_MINIMUM { term + minima[half] * input_sum as f32 } else { term }
            };
            lanes[lane] += if Q::HALVES {
                term(0, first, group.half_sums[0][lane]) + term(1, second, group.half_sums[1][lane])
            } else {
                term(0, first + second, group.sums[lane])
            };
        }
        *result = reduce_group(lanes) * input.scale();
    }
}

/// Of one half of a sub-block.
fn integer_product(weights: &[i8; 2 * HALF], half: usize, [high, low]: [[&[i8; HALF]; 2]; 2]) -> i32 {
    let weights = &weights.as_chunks::<HALF>().0[half];
    // Products of bytes fit 16 bits, and vector units multiply those best.
    let products = |levels: &[i8; HALF]| -> i32 {
        let product = |(&weight, &level): (&i8, &i8)| i32::from(i16::from(weight) * i16::from(level));
        weights.iter().zip(levels).map(product).sum()
    };
    128 * products(high[half]) + products(low[half])
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

/// See [`super::Kernels::score`].
pub(super) fn score<F: FloatFormat>(
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
            *scores = [0.0; KEYS];
            for (query, keys) in query.iter().zip(run.chunks_exact(KEYS * F::BYTES)) {
                for (score, key) in scores.iter_mut().zip(keys.chunks_exact(F::BYTES)) {
                    *score += query * F::value(key);
                }
            }
            scores.iter_mut().for_each(|score| *score *= scale);
        }
    }
}

/// See [`super::Kernels::weighted_sum`].
pub(super) fn weighted_sum<F: FloatFormat>(
    weights: &[f32],
    stride: usize,
    values: &[u8],
    length: usize,
    out: &mut [f32],
) {
    for (weights, out) in weights.chunks(stride).zip(out.chunks_exact_mut(length)) {
        for (weight, values) in weights.iter().zip(values.chunks_exact(length * F::BYTES)) {
            for (result, value) in out.iter_mut().zip(values.chunks_exact(F::BYTES)) {
                *result += weight * F::value(value);
            }
        }
    }
}

/// The sum of the lanes of float products.
pub(crate) fn reduce([l0, l1, l2, l3, l4, l5, l6, l7]: [f32; LANES]) -> f32 {
    ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7))
}
