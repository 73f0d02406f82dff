//! The arithmetic with 128-bit vectors: AArch64's baseline, and dot products of bytes where they are there.

mod detect;

use core::arch::aarch64::*;
use core::arch::asm;

pub(super) use detect::Isa;

use super::portable;
use crate::activations::{Activations, GROUP, Levels};
use crate::matrix::*;

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

/// A quantised format as vectors.
pub(super) trait QuantVector: QuantFormat {
    /// The levels of a part of the block. What the portable code does to whole runs of bytes becomes vector
    /// instructions by itself.
    #[inline]
    fn load(block: &[u8], part: usize) -> [int8x16_t; 2] {
        let levels = Self::levels(block, part);
        // SAFETY: NEON is in the baseline; the levels are 32 bytes.
        unsafe { [vld1q_s8(levels.as_ptr()), vld1q_s8(levels.as_ptr().add(16))] }
    }
}

macro_rules! quant_vectors {
    ($($format:ty, |$block:ident, $part:ident| $load:expr;)*) => {$(
        impl QuantVector for $format {
            #[inline]
            fn load($block: &[u8], $part: usize) -> [int8x16_t; 2] {
                // SAFETY: NEON is in the baseline.
                unsafe { $load }
            }
        }
    )*};
}

quant_vectors! {
    Q8_0, |block, _part| [vreinterpretq_s8_u8(load_u8(&block[2..])), vreinterpretq_s8_u8(load_u8(&block[18..]))];
    Q4_0, |block, _part| nibbles(&block[2..]);
    Q4_1, |block, _part| nibbles(&block[4..]);
    Q5_0, |block, _part| with_fifth_bits(nibbles(&block[6..]), &block[2..]);
    Q5_1, |block, _part| with_fifth_bits(nibbles(&block[8..]), &block[4..]);
    IQ4NL, |block, _part| uneven(nibbles(&block[2..]));
    IQ4XS, |block, part| uneven(nibbles(&block[8 + 16 * part..]));
}

impl QuantVector for Q2K {}
impl QuantVector for Q3K {}
impl QuantVector for Q4K {}
impl QuantVector for Q5K {}
impl QuantVector for Q6K {}

/// The levels with these numbers.
#[inline]
#[target_feature(enable = "neon")]
fn uneven(numbers: [int8x16_t; 2]) -> [int8x16_t; 2] {
    // SAFETY: the table has 16 bytes.
    let table = unsafe { vld1q_s8(UNEVEN_LEVELS.as_ptr()) };
    numbers.map(|numbers| vqtbl1q_s8(table, vreinterpretq_u8_s8(numbers)))
}

#[inline]
#[target_feature(enable = "neon")]
fn nibbles(bytes: &[u8]) -> [int8x16_t; 2] {
    let both = load_u8(bytes);
    [vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15))), vreinterpretq_s8_u8(vshrq_n_u8::<4>(both))]
}

/// Adds 16 to level `i` where bit `i` is set.
#[inline]
#[target_feature(enable = "neon")]
fn with_fifth_bits([low, high]: [int8x16_t; 2], bits: &[u8]) -> [int8x16_t; 2] {
    let bit_of_lane = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
    let spread = |first: u8, second: u8| {
        let bytes = vcombine_u8(vdup_n_u8(first), vdup_n_u8(second));
        vreinterpretq_s8_u8(vandq_u8(vtstq_u8(bytes, bit_of_lane), vdupq_n_u8(16)))
    };
    [vorrq_s8(low, spread(bits[0], bits[1])), vorrq_s8(high, spread(bits[2], bits[3]))]
}

/// As [`portable::float_rows`].
pub(super) fn float_rows<F: FloatVector>(
    _: Isa,
    rows: &[u8],
    row_bytes: usize,
    input: &Activations,
    out: &mut [f32],
) {
    for (result, row) in out.iter_mut().zip(rows.chunks_exact(row_bytes)) {
        // SAFETY: NEON is in the baseline.
        *result = unsafe { float_product::<F>(row, input.values()) };
    }
}

/// As [`portable::score`].
pub(super) fn score<F: FloatVector>(
    queries: &[f32],
    length: usize,
    keys: &[u8],
    scale: f32,
    scores: &mut [f32],
    stride: usize,
) {
    for (query, scores) in queries.chunks_exact(length).zip(scores.chunks_mut(stride)) {
        for (score, key) in scores.iter_mut().zip(keys.chunks_exact(length * F::BYTES)) {
            // SAFETY: NEON is in the baseline.
            *score = unsafe { float_product::<F>(key, query) } * scale;
        }
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
pub(super) trait FloatVector: FloatFormat {
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
