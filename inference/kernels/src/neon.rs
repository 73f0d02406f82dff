//! The arithmetic with 128-bit vectors: AArch64's baseline, dot products of bytes and products of byte matrices where
//! they are there.

mod detect;
mod float;
mod formats;
mod group;
mod pairs;
mod row;

use core::arch::aarch64::*;

pub(super) use detect::Isa;
pub(super) use float::{float_rows, score};
pub(super) use formats::QuantVector;

use crate::activations::Activations;
use crate::tiles::TILE;

/// Inputs multiplied with the same unpacked weights.
const INPUTS: usize = 4;

/// As the portable function, for every input.
pub(super) fn quant_rows<Q: QuantVector>(
    isa: Isa,
    rows: &[u8],
    row_bytes: usize,
    inputs: &[Activations],
    out: &mut [f32],
) {
    if let [input] = inputs {
        for (out, row) in out.iter_mut().zip(rows.chunks_exact(row_bytes)) {
            [*out] = row::product::<Q, 1>(isa, row, [input]);
        }
        return;
    }
    for (rows, out) in rows.chunks(TILE * row_bytes).zip(out.chunks_mut(TILE * inputs.len())) {
        let count = rows.len() / row_bytes;
        if isa == Isa::MatrixProduct {
            pairs::products::<Q>(rows, row_bytes, inputs, out);
            continue;
        }
        for (inputs, out) in inputs.chunks(INPUTS).zip(out.chunks_mut(INPUTS * count)) {
            for (index, row) in rows.chunks_exact(row_bytes).enumerate() {
                match inputs {
                    [a, b, c, d] => store(row::product::<Q, INPUTS>(isa, row, [a, b, c, d]), out, index),
                    [a, b, c] => store(row::product::<Q, 3>(isa, row, [a, b, c]), out, index),
                    [a, b] => store(row::product::<Q, 2>(isa, row, [a, b]), out, index),
                    _ => inputs.iter().zip(out.chunks_exact_mut(count)).for_each(|(input, out)| {
                        [out[index]] = row::product::<Q, 1>(isa, row, [input]);
                    }),
                }
            }
        }
    }
}

/// Stores a row's products with `N` inputs, whose runs of `out` follow each other.
fn store<const N: usize>(products: [f32; N], out: &mut [f32], index: usize) {
    let count = out.len() / N;
    for (product, out) in products.into_iter().zip(out.chunks_exact_mut(count)) {
        out[index] = product;
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_f32(values: &[f32]) -> float32x4_t {
    let values = &values[..4];
    // SAFETY: four floats.
    unsafe { vld1q_f32(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_i32(values: &[i32]) -> int32x4_t {
    let values = &values[..4];
    // SAFETY: four integers.
    unsafe { vld1q_s32(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_u8(bytes: &[u8]) -> uint8x16_t {
    let bytes = &bytes[..16];
    // SAFETY: 16 bytes.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}
