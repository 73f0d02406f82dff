//! Pairs of rows times pairs of inputs, by the product of two byte matrices of 2 by 8 (SMMLA, FEAT_I8MM).

use core::arch::aarch64::*;
use core::arch::asm;
use core::array;

use super::QuantVector;
use super::group::{Factors, reduce};
use crate::activations::{Activations, GROUP, HALF};

/// Rows, and inputs, of a product.
const PAIR: usize = 2;

/// A tile of rows times each of `inputs`, whose results follow each other in `out`. The processor has FEAT_I8MM, as
/// `Isa::MatrixProduct` says.
pub(super) fn products<Q: QuantVector>(
    rows: &[u8],
    row_bytes: usize,
    inputs: &[Activations],
    out: &mut [f32],
) {
    let count = rows.len() / row_bytes;
    for (inputs, out) in inputs.chunks(PAIR).zip(out.chunks_mut(PAIR * count)) {
        let pair = [&inputs[0], inputs.last().unwrap_or(&inputs[0])];
        for (index, rows) in rows.chunks(PAIR * row_bytes).enumerate() {
            // The last of an odd number is its own partner, whose results are the same.
            let (first, second) = rows.split_at(row_bytes);
            let second = if second.is_empty() { first } else { second };
            // SAFETY: see above.
            let products = unsafe { pair_products::<Q>([first, second], pair) };
            for (row, products) in products.iter().enumerate().take(rows.len() / row_bytes) {
                for (product, out) in products.iter().zip(out.chunks_exact_mut(count)) {
                    out[index * PAIR + row] = *product;
                }
            }
        }
    }
}

/// The product of each row with each input. Safety: FEAT_I8MM.
#[target_feature(enable = "neon,i8mm")]
unsafe fn pair_products<Q: QuantVector>(
    rows: [&[u8]; PAIR],
    inputs: [&Activations; PAIR],
) -> [[f32; PAIR]; PAIR] {
    let mut lanes = [[vdupq_n_f32(0.0); PAIR]; PAIR];
    let sub_blocks = rows[0].len() / Q::BYTES * Q::SUB_BLOCKS;
    for group in 0..sub_blocks.div_ceil(GROUP) {
        let start = group * GROUP;
        let mut factors = [Factors::NONE; PAIR];
        // For each sub-block, by half: the sums [row 0 input 0, row 0 input 1, row 1 input 0, row 1 input 1].
        let mut partial = [[vdupq_n_s32(0); 2]; GROUP];
        for (lane, partial) in partial.iter_mut().enumerate().take(sub_blocks - start) {
            let index = start + lane;
            let (block, sub_block) = (index / Q::SUB_BLOCKS * Q::BYTES, index % Q::SUB_BLOCKS);
            let blocks = rows.map(|row| &row[block..][..Q::BYTES]);
            for (factors, block) in factors.iter_mut().zip(blocks) {
                factors.set::<Q>(lane, block, sub_block);
            }
            let weights = blocks.map(|block| Q::load(block, sub_block));
            let levels = inputs.map(|input| input.groups()[group].levels(lane));
            for (half, partial) in partial.iter_mut().enumerate() {
                let weights = interleave([weights[0][half], weights[1][half]]);
                let [high, low] = [0, 1].map(|byte| runs(levels.map(|levels| levels[byte][half])));
                let sums = multiply(vdupq_n_s32(0), weights, high);
                *partial = multiply(vshlq_n_s32::<7>(sums), weights, low);
            }
        }
        let [first, second] = [0, 1].map(|half| transpose(partial.map(|halves| halves[half])));
        for (row, (lanes, factors)) in lanes.iter_mut().zip(&factors).enumerate() {
            for (input, lanes) in lanes.iter_mut().enumerate() {
                let (first, second) = (first[row * PAIR + input], second[row * PAIR + input]);
                let sums = if Q::HALVES { [first, second] } else { [vaddq_s32(first, second), second] };
                *lanes = vaddq_f32(*lanes, factors.terms::<Q>(sums, inputs[input], group));
            }
        }
    }
    lanes.map(|lanes| array::from_fn(|input| reduce(lanes[input], inputs[input])))
}

/// The first 8 bytes of both, then the second. Safety: NEON.
#[inline]
#[target_feature(enable = "neon")]
fn interleave([first, second]: [int8x16_t; PAIR]) -> [int8x16_t; 2] {
    let (first, second) = (vreinterpretq_s64_s8(first), vreinterpretq_s64_s8(second));
    [vreinterpretq_s8_s64(vzip1q_s64(first, second)), vreinterpretq_s8_s64(vzip2q_s64(first, second))]
}

/// Two runs of levels, interleaved. Safety: NEON.
#[inline]
#[target_feature(enable = "neon")]
fn runs(levels: [&[i8; HALF]; PAIR]) -> [int8x16_t; 2] {
    // SAFETY: 16 bytes each.
    interleave(levels.map(|levels| unsafe { vld1q_s8(levels.as_ptr()) }))
}

/// Adds the products of two pairs of 16 bytes. Safety: FEAT_I8MM.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn multiply(mut sums: int32x4_t, weights: [int8x16_t; 2], levels: [int8x16_t; 2]) -> int32x4_t {
    for (weights, levels) in weights.into_iter().zip(levels) {
        // SAFETY: works on registers; the instruction, whose intrinsic is not stable yet, is part of FEAT_I8MM.
        unsafe {
            asm!(
                "smmla {0:v}.4s, {1:v}.16b, {2:v}.16b",
                inout(vreg) sums,
                in(vreg) weights,
                in(vreg) levels,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
    }
    sums
}

/// The transpose of 4 rows of 4. Safety: NEON.
#[inline]
#[target_feature(enable = "neon")]
fn transpose([r0, r1, r2, r3]: [int32x4_t; GROUP]) -> [int32x4_t; GROUP] {
    let (even_low, even_high) = (vzip1q_s32(r0, r2), vzip2q_s32(r0, r2));
    let (odd_low, odd_high) = (vzip1q_s32(r1, r3), vzip2q_s32(r1, r3));
    [
        vzip1q_s32(even_low, odd_low),
        vzip2q_s32(even_low, odd_low),
        vzip1q_s32(even_high, odd_high),
        vzip2q_s32(even_high, odd_high),
    ]
}
