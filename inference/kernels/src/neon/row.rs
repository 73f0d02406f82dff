//! One row times one or some inputs, which share its unpacked weights.

use core::arch::aarch64::*;
use core::arch::asm;
use core::array;

use super::group::{Factors, reduce};
use super::{Isa, QuantVector};
use crate::activations::{Activations, GROUP, HALF};

/// The products of `row` with `inputs`.
pub(super) fn product<Q: QuantVector, const N: usize>(
    isa: Isa,
    row: &[u8],
    inputs: [&Activations; N],
) -> [f32; N] {
    match isa {
        // SAFETY: NEON is in the baseline.
        Isa::Neon => unsafe { row_product::<Q, N>(row, inputs, |weights, levels| widened(weights, levels)) },
        // SAFETY: an `Isa` exists only where the processor has its instructions, of which these are part.
        Isa::DotProduct | Isa::MatrixProduct => unsafe { row_dot_product::<Q, N>(row, inputs) },
    }
}

/// Safety: FEAT_DotProd.
#[target_feature(enable = "neon,dotprod")]
unsafe fn row_dot_product<Q: QuantVector, const N: usize>(row: &[u8], inputs: [&Activations; N]) -> [f32; N] {
    // SAFETY: NEON is in the baseline.
    unsafe { row_product::<Q, N>(row, inputs, |weights, levels| dot_product(weights, levels)) }
}

/// `product` gives four sums of eight products: two of the first half, then two of the second. Safety: NEON.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn row_product<Q: QuantVector, const N: usize>(
    row: &[u8],
    inputs: [&Activations; N],
    product: impl Fn([int8x16_t; 2], [[&[i8; HALF]; 2]; 2]) -> int32x4_t,
) -> [f32; N] {
    let mut lanes = [vdupq_n_f32(0.0); N];
    let sub_blocks = row.len() / Q::BYTES * Q::SUB_BLOCKS;
    for group in 0..sub_blocks.div_ceil(GROUP) {
        let start = group * GROUP;
        let mut partial = [[vdupq_n_s32(0); GROUP]; N];
        let mut factors = Factors::NONE;
        for lane in 0..GROUP.min(sub_blocks - start) {
            let index = start + lane;
            let (block, sub_block) =
                (&row[index / Q::SUB_BLOCKS * Q::BYTES..][..Q::BYTES], index % Q::SUB_BLOCKS);
            let weights = Q::load(block, sub_block);
            for (partial, input) in partial.iter_mut().zip(inputs) {
                partial[lane] = product(weights, input.groups()[group].levels(lane));
            }
            factors.set::<Q>(lane, block, sub_block);
        }
        for ((lanes, [p0, p1, p2, p3]), input) in lanes.iter_mut().zip(partial).zip(inputs) {
            let (low, high) = (vpaddq_s32(p0, p1), vpaddq_s32(p2, p3));
            // Of each sub-block: the sum of its first half, then of its second.
            let sums = if Q::HALVES {
                [vuzp1q_s32(low, high), vuzp2q_s32(low, high)]
            } else {
                [vpaddq_s32(low, high), vdupq_n_s32(0)]
            };
            *lanes = vaddq_f32(*lanes, factors.terms::<Q>(sums, input, group));
        }
    }
    array::from_fn(|input| reduce(lanes[input], inputs[input]))
}

/// See [`row_product`].
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot_product(weights: [int8x16_t; 2], levels: [[&[i8; HALF]; 2]; 2]) -> int32x4_t {
    // SAFETY: a half is 16 bytes.
    let [high, low] = levels.map(|halves| halves.map(|levels| unsafe { vld1q_s8(levels.as_ptr()) }));
    let half = |half: usize| {
        let sums = add_dot_products(vdupq_n_s32(0), weights[half], high[half]);
        add_dot_products(vshlq_n_s32::<7>(sums), weights[half], low[half])
    };
    vpaddq_s32(half(0), half(1))
}

/// Adds to each lane the four products of its bytes (SDOT, whose intrinsic is not stable yet).
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add_dot_products(mut sums: int32x4_t, weights: int8x16_t, levels: int8x16_t) -> int32x4_t {
    // SAFETY: works on registers; the instruction is part of FEAT_DotProd.
    unsafe {
        asm!(
            "sdot {0:v}.4s, {1:v}.16b, {2:v}.16b",
            inout(vreg) sums,
            in(vreg) weights,
            in(vreg) levels,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// See [`row_product`].
#[inline]
#[target_feature(enable = "neon")]
fn widened(weights: [int8x16_t; 2], levels: [[&[i8; HALF]; 2]; 2]) -> int32x4_t {
    let [high, low] = levels.map(|levels| {
        let [first, second] = byte_products(weights, levels);
        vpaddq_s32(vpaddlq_s16(first), vpaddlq_s16(second))
    });
    vaddq_s32(vshlq_n_s32::<7>(high), low)
}

/// Sums of two products each: at most 2 * 128 * 127, which fits 16 bits.
#[inline]
#[target_feature(enable = "neon")]
fn byte_products([first, second]: [int8x16_t; 2], levels: [&[i8; HALF]; 2]) -> [int16x8_t; 2] {
    // SAFETY: a half is 16 bytes.
    let [x, y] = levels.map(|levels| unsafe { vld1q_s8(levels.as_ptr()) });
    [
        vmlal_high_s8(vmull_s8(vget_low_s8(first), vget_low_s8(x)), first, x),
        vmlal_high_s8(vmull_s8(vget_low_s8(second), vget_low_s8(y)), second, y),
    ]
}
