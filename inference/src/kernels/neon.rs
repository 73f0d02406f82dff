//! The arithmetic with 128-bit vectors: AArch64's baseline, and dot products of bytes where they are there.

mod detect;
mod float;
mod formats;

use core::arch::aarch64::*;
use core::arch::asm;

pub(super) use detect::Isa;
pub(super) use float::{float_rows, score};
pub(super) use formats::QuantVector;

use super::portable;
use crate::activations::{Activations, GROUP, Levels};
use crate::matrix::BLOCK;

/// As [`portable::quant_rows`].
pub(super) fn quant_rows<Q: QuantVector>(
    isa: Isa,
    rows: &[u8],
    row_bytes: usize,
    input: &Activations,
    out: &mut [f32],
) {
    for (result, row) in out.iter_mut().zip(rows.chunks_exact(row_bytes)) {
        *result = match isa {
            // SAFETY: NEON is in the baseline.
            Isa::Neon => unsafe {
                quant_row::<Q>(row, input, |weights, levels| integer_product(weights, levels))
            },
            // SAFETY: an `Isa` exists only where the processor has its instructions.
            Isa::DotProduct => unsafe { quant_row_dot_product::<Q>(row, input) },
        };
    }
}

/// Safety: FEAT_DotProd.
#[target_feature(enable = "neon,dotprod")]
unsafe fn quant_row_dot_product<Q: QuantVector>(row: &[u8], input: &Activations) -> f32 {
    // SAFETY: NEON is in the baseline.
    unsafe { quant_row::<Q>(row, input, |weights, levels| dot_product(weights, levels)) }
}

/// `product` gives four sums of eight products: two of the first half, then two of the second. Safety: NEON.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn quant_row<Q: QuantVector>(
    row: &[u8],
    input: &Activations,
    product: impl Fn([int8x16_t; 2], &Levels) -> int32x4_t,
) -> f32 {
    let mut lanes = vdupq_n_f32(0.0);
    let parts = row.len() / Q::BYTES * Q::PARTS;
    for group in 0..parts.div_ceil(GROUP) {
        let start = group * GROUP;
        let levels = &input.levels()[start..][..GROUP];
        let half_sums = &input.half_sums()[group];
        let mut partial = [vdupq_n_s32(0); GROUP];
        let (mut scales, mut minima) = ([[0.0; GROUP]; 2], [[0.0; GROUP]; 2]);
        for lane in 0..GROUP.min(parts - start) {
            let index = start + lane;
            let (block, part) = (&row[index / Q::PARTS * Q::BYTES..][..Q::BYTES], index % Q::PARTS);
            partial[lane] = product(Q::load(block, part), &levels[lane]);
            for (half, (scale, minimum)) in
                Q::scales(block, part).into_iter().zip(Q::minima(block, part)).enumerate()
            {
                (scales[half][lane], minima[half][lane]) = (scale, minimum);
            }
        }
        let [p0, p1, p2, p3] = partial;
        let input_scales = load_f32(&input.scales()[start..]);
        let term = |half: usize, sums, input_sums: &[i32], scaled_sums: &[f32]| {
            let sums = if Q::ZERO == 0 { sums } else { vmlsq_n_s32(sums, load_i32(input_sums), Q::ZERO) };
            let terms = vmulq_f32(vmulq_f32(load_f32(&scales[half]), input_scales), vcvtq_f32_s32(sums));
            if Q::HAS_MINIMUM {
                vaddq_f32(terms, vmulq_f32(load_f32(&minima[half]), load_f32(scaled_sums)))
            } else {
                terms
            }
        };
        let terms = if Q::HALVES {
            // Of each part: two sums of its first half, then two of its second.
            let (low, high) = (vpaddq_s32(p0, p1), vpaddq_s32(p2, p3));
            let (first, second) = (vuzp1q_s32(low, high), vuzp2q_s32(low, high));
            vaddq_f32(
                term(0, first, &half_sums.sums[0], &half_sums.scaled[0]),
                term(1, second, &half_sums.sums[1], &half_sums.scaled[1]),
            )
        } else {
            let sums = vpaddq_s32(vpaddq_s32(p0, p1), vpaddq_s32(p2, p3));
            term(0, sums, &input.sums()[start..], &input.scaled_sums()[start..])
        };
        lanes = vaddq_f32(lanes, terms);
    }
    let mut array = [0.0; GROUP];
    // SAFETY: the array holds the 4 floats written.
    unsafe { vst1q_f32(array.as_mut_ptr(), lanes) };
    portable::reduce_group(array)
}

/// See [`quant_row`].
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot_product(weights: [int8x16_t; 2], levels: &Levels) -> int32x4_t {
    let [high, low] = [&levels.high, &levels.low].map(|levels| {
        // SAFETY: the levels are 32 bytes.
        unsafe { [vld1q_s8(levels.as_ptr()), vld1q_s8(levels.as_ptr().add(16))] }
    });
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

/// See [`quant_row`].
#[inline]
#[target_feature(enable = "neon")]
fn integer_product(weights: [int8x16_t; 2], levels: &Levels) -> int32x4_t {
    let [high, low] = [&levels.high, &levels.low].map(|levels| {
        let [first, second] = byte_products(weights, levels);
        vpaddq_s32(vpaddlq_s16(first), vpaddlq_s16(second))
    });
    vaddq_s32(vshlq_n_s32::<7>(high), low)
}

/// Sums of two products each: at most 2 * 128 * 127, which fits 16 bits.
#[inline]
#[target_feature(enable = "neon")]
fn byte_products([first, second]: [int8x16_t; 2], levels: &[i8; BLOCK]) -> [int16x8_t; 2] {
    // SAFETY: the levels are 32 bytes.
    let (x, y) = unsafe { (vld1q_s8(levels.as_ptr()), vld1q_s8(levels.as_ptr().add(16))) };
    [
        vmlal_high_s8(vmull_s8(vget_low_s8(first), vget_low_s8(x)), first, x),
        vmlal_high_s8(vmull_s8(vget_low_s8(second), vget_low_s8(y)), second, y),
    ]
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
