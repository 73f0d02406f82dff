//! Four rows times a few vectors with 512-bit vectors: a lane of 128 bits belongs to one block of a group, and its
//! four numbers to the rows, so that a vector takes the terms of sixteen blocks.
//!
//! Owns what is done with weights as they come from memory; with many inputs `tile` unpacks them beforehand.

use core::arch::x86_64::*;

use super::formats::Avx512Vnni;
use super::groups::GroupVector;
use super::{check_input, prefetch};
use crate::activations::{Activations, GROUP, Group};
use crate::tiles::TILE;

/// Rows worked at once.
const ROWS: usize = 4;
/// Most inputs. With more, unpacking pays, as `tile` does it.
pub(super) const MOST_INPUTS: usize = 4;

/// As [`super::quant_rows`], for up to [`MOST_INPUTS`]. The processor has the instructions of `Isa::Avx512Vnni`.
pub(super) fn quant_quads<Q: GroupVector>(
    rows: &[u8],
    row_bytes: usize,
    inputs: &[Activations],
    out: &mut [f32],
) {
    for input in inputs {
        check_input::<Q>(row_bytes, input);
    }
    assert!(inputs.len() <= MOST_INPUTS, "inputs");
    assert!(row_bytes * (out.len() / inputs.len()) == rows.len(), "bytes of the rows");
    for (rows, out) in rows.chunks(TILE * row_bytes).zip(out.chunks_mut(TILE * inputs.len())) {
        // SAFETY: see above; the inputs have as many parts as a row.
        unsafe {
            match inputs.len() {
                1 => quads::<Q, 1>(rows, row_bytes, inputs, out),
                2 => quads::<Q, 2>(rows, row_bytes, inputs, out),
                3 => quads::<Q, 3>(rows, row_bytes, inputs, out),
                _ => quads::<Q, MOST_INPUTS>(rows, row_bytes, inputs, out),
            }
        }
    }
}

/// A tile of rows times `N` inputs. Safety: the instructions; whole rows of whole blocks, and inputs with as many parts.
#[target_feature(enable = "avx2,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn quads<Q: GroupVector, const N: usize>(
    rows: &[u8],
    row_bytes: usize,
    inputs: &[Activations],
    out: &mut [f32],
) {
    let Some(inputs) = inputs.first_chunk::<N>() else { return };
    let scales = inputs.each_ref().map(|input| input.scale());
    let inputs = inputs.each_ref().map(|input| input.groups().as_ptr());
    let (count, parts) = (rows.len() / row_bytes, row_bytes / Q::BYTES * Q::PARTS);
    for start in (0..count).step_by(ROWS) {
        let there = ROWS.min(count - start);
        let first = rows[start * row_bytes..].as_ptr();
        let mut lanes = [_mm512_setzero_ps(); N];
        // SAFETY: the last row stands in for those missing; groups are as many as the inputs have, and the last
        // one's blocks as many as the rows have.
        unsafe {
            let quad = [0, 1, 2, 3].map(|row: usize| first.add(row.min(there - 1) * row_bytes));
            for group in 0..parts / GROUP {
                prefetch::<Q>(first, ROWS, group, GROUP);
                add_group::<Q, N>(quad, group, GROUP, inputs, &mut lanes);
            }
            if parts % GROUP > 0 {
                prefetch::<Q>(first, ROWS, parts / GROUP, parts % GROUP);
                add_group::<Q, N>(quad, parts / GROUP, parts % GROUP, inputs, &mut lanes);
            }
        }
        for ((lanes, scale), out) in lanes.into_iter().zip(scales).zip(out.chunks_exact_mut(count)) {
            // [l0 + l2, l1 + l3], then both.
            let pairs = _mm256_add_ps(
                _mm512_castps512_ps256(lanes),
                _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(lanes), 1)),
            );
            let sums = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
            let mut results = [0.0; ROWS];
            // SAFETY: four floats.
            unsafe { _mm_storeu_ps(results.as_mut_ptr(), _mm_mul_ps(sums, _mm_set1_ps(scale))) };
            // A copy of a length that is known is a store, else it is a call.
            match out[start..].first_chunk_mut() {
                Some(out) => *out = results,
                None => out[start..].copy_from_slice(&results[..there]),
            }
        }
    }
}

/// Adds the terms of the first `count` parts of group `group` to the lanes of `N` inputs.
///
/// Safety: as [`quads`]; the rows have the parts, and the inputs the group.
#[inline(always)]
unsafe fn add_group<Q: GroupVector, const N: usize>(
    rows: [*const u8; ROWS],
    group: usize,
    count: usize,
    inputs: [*const Group; N],
    lanes: &mut [__m512; N],
) {
    // SAFETY: see above.
    unsafe {
        let start = group * GROUP;
        let [r0, r1, r2, r3] = rows;
        let (block, part) = (start / Q::PARTS * Q::BYTES, start % Q::PARTS);
        let blocks = [r0.add(block), r1.add(block), r2.add(block), r3.add(block)];
        let weights = [
            Q::load_group(blocks[0], part, count),
            Q::load_group(blocks[1], part, count),
            Q::load_group(blocks[2], part, count),
            Q::load_group(blocks[3], part, count),
        ];
        let factors = Q::quad_factors(blocks, part, count);
        for (lanes, input) in lanes.iter_mut().zip(inputs) {
            let x = &*input.add(group);
            let terms = if Q::HALVES {
                let first = sums([
                    half_products(weights[0], x, 0),
                    half_products(weights[1], x, 0),
                    half_products(weights[2], x, 0),
                    half_products(weights[3], x, 0),
                ]);
                let second = sums([
                    half_products(weights[0], x, 1),
                    half_products(weights[1], x, 1),
                    half_products(weights[2], x, 1),
                    half_products(weights[3], x, 1),
                ]);
                _mm512_add_ps(
                    terms::<Q>(first, factors[0], &x.half_sums[0], &x.float_half_sums[0]),
                    terms::<Q>(second, factors[1], &x.half_sums[1], &x.float_half_sums[1]),
                )
            } else {
                let sums = sums([
                    products(weights[0], x),
                    products(weights[1], x),
                    products(weights[2], x),
                    products(weights[3], x),
                ]);
                terms::<Q>(sums, factors[0], &x.sums, &x.float_sums)
            };
            *lanes = _mm512_add_ps(*lanes, terms);
        }
    }
}

/// A row's four sums of products for each block of a group. Safety: as [`quads`].
#[inline(always)]
unsafe fn products([first, second]: [__m512i; 2], x: &Group) -> __m512i {
    // SAFETY: see above; each half of a group is 64 bytes.
    unsafe {
        let [high_first, high_second] = x.high.each_ref().map(|half| half.as_ptr());
        let [low_first, low_second] = x.low.each_ref().map(|half| half.as_ptr());
        let high = _mm512_dpbusd_epi32(_mm512_setzero_si512(), first, _mm512_loadu_si512(high_first.cast()));
        let high = _mm512_dpbusd_epi32(high, second, _mm512_loadu_si512(high_second.cast()));
        let both =
            _mm512_dpbusd_epi32(_mm512_slli_epi32(high, 7), first, _mm512_loadu_si512(low_first.cast()));
        _mm512_dpbusd_epi32(both, second, _mm512_loadu_si512(low_second.cast()))
    }
}

/// The same of one half of each block. Safety: as [`quads`].
#[inline(always)]
unsafe fn half_products(weights: [__m512i; 2], x: &Group, half: usize) -> __m512i {
    // SAFETY: see above; each half of a group is 64 bytes.
    unsafe {
        let (high, low) = (
            _mm512_loadu_si512(x.high[half].as_ptr().cast()),
            _mm512_loadu_si512(x.low[half].as_ptr().cast()),
        );
        let sums = _mm512_dpbusd_epi32(_mm512_setzero_si512(), weights[half], high);
        _mm512_dpbusd_epi32(_mm512_slli_epi32(sums, 7), weights[half], low)
    }
}

/// The sums of each lane of four rows, side by side. Safety: AVX-512 F.
#[inline(always)]
unsafe fn sums([a, b, c, d]: [__m512i; ROWS]) -> __m512i {
    // SAFETY: see above.
    unsafe {
        // [a, b, a, b] and [c, d, c, d].
        let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd))
    }
}

/// The terms of products that have one scale. Safety: as [`quads`].
#[inline(always)]
unsafe fn terms<Q: GroupVector>(
    products: __m512i,
    (scales, minima): (__m512, __m512),
    input_sums: &[i32; GROUP],
    float_sums: &[f32; GROUP],
) -> __m512 {
    // SAFETY: see above; four numbers of each.
    unsafe {
        let mut products = products;
        let zero = Q::zero::<Avx512Vnni>();
        if zero != 0 {
            let input_sums = by_block(_mm_castsi128_ps(_mm_loadu_si128(input_sums.as_ptr().cast())));
            let shift = _mm_cvtsi32_si128(zero.trailing_zeros() as i32);
            products = _mm512_sub_epi32(products, _mm512_sll_epi32(_mm512_castps_si512(input_sums), shift));
        }
        let terms = _mm512_mul_ps(scales, _mm512_cvtepi32_ps(products));
        if !Q::HAS_MINIMUM {
            return terms;
        }
        _mm512_add_ps(terms, _mm512_mul_ps(minima, by_block(_mm_loadu_ps(float_sums.as_ptr()))))
    }
}

/// Each of four numbers in all of a lane. Safety: AVX-512 F.
#[inline(always)]
unsafe fn by_block(numbers: __m128) -> __m512 {
    // SAFETY: see above.
    unsafe {
        let order = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
        _mm512_permutexvar_ps(order, _mm512_castps128_ps512(numbers))
    }
}
