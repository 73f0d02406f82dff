//! The arithmetic with 256-bit vectors (AVX2 without and with AVX-VNNI). Where 512 bits are there, `quads`, `tile`
//! and `attention` take them.
//!
//! Two rows are worked at once, one in each half of a vector, so that a group of four blocks of each fills the eight
//! float lanes and the activations are loaded once for both.

mod attention;
mod detect;
mod factors;
mod float;
mod formats;
mod groups;
mod heads;
mod quads;
mod quantize;
mod sixteen;
mod super_block;
mod tile;

use core::arch::x86_64::*;

use super::each_tile;
use crate::activations::{Activations, GROUP, HALF};
use crate::matrix::QuantFormat;
pub(super) use attention::{mix, score};
pub(super) use detect::Isa;
pub(super) use float::float_rows;
use formats::{Avx2, AvxVnni, DotProduct, QuantVector};
use groups::GroupVector;
pub(super) use quantize::quantize;

/// Rows worked at once.
const PAIR: usize = 2;

/// How far ahead of its use data that streams through is asked for, in bytes.
const AHEAD: usize = 4096;
/// What one prefetch brings, in bytes.
const CACHE_LINE: usize = 64;

/// As the portable function.
pub(super) fn quant_rows<Q: GroupVector>(
    isa: Isa,
    rows: &[u8],
    row_bytes: usize,
    inputs: &[Activations],
    out: &mut [f32],
) {
    let many = match isa {
        Isa::Avx2 | Isa::AvxVnni => tile::FEWEST_INPUTS,
        Isa::Avx512Vnni => quads::MOST_INPUTS + 1,
    };
    if inputs.len() >= many {
        return tile::quant_tiles::<Q>(isa, rows, row_bytes, inputs, out);
    }
    let each = |product: unsafe fn(&[u8], usize, &Activations, &mut [f32]), out: &mut [f32]| {
        each_tile(rows, row_bytes, inputs, out, |rows, row_bytes, input, out| {
            check_rows(rows, row_bytes, out);
            check_input::<Q>(row_bytes, input);
            // SAFETY: an `Isa` exists only where the processor and the system have its instructions; lengths
            // were checked above.
            unsafe { product(rows, row_bytes, input, out) };
        });
    };
    match isa {
        Isa::Avx2 => each(quant_rows_avx2::<Q>, out),
        Isa::AvxVnni => each(quant_rows_avx_vnni::<Q>, out),
        Isa::Avx512Vnni => quads::quant_quads::<Q>(rows, row_bytes, inputs, out),
    }
}

fn check_rows(rows: &[u8], row_bytes: usize, out: &[f32]) {
    assert!(row_bytes.checked_mul(out.len()) == Some(rows.len()), "bytes of the rows");
}

fn check_input<Q: QuantFormat>(row_bytes: usize, input: &Activations) {
    assert!(input.groups().len() * GROUP / Q::PARTS * Q::BYTES >= row_bytes, "blocks of the input");
}

// The two instances of the loop below. Each needs its instruction set, and what `quant_pairs` needs.
#[target_feature(enable = "avx2,f16c")]
unsafe fn quant_rows_avx2<Q: QuantVector>(rows: &[u8], row_bytes: usize, x: &Activations, out: &mut [f32]) {
    // SAFETY: passed on to the caller.
    unsafe { quant_pairs::<Avx2, Q>(rows, row_bytes, x, out) }
}

#[target_feature(enable = "avx2,f16c,avxvnni")]
unsafe fn quant_rows_avx_vnni<Q: QuantVector>(
    rows: &[u8],
    row_bytes: usize,
    x: &Activations,
    out: &mut [f32],
) {
    // SAFETY: passed on to the caller.
    unsafe { quant_pairs::<AvxVnni, Q>(rows, row_bytes, x, out) }
}

/// Safety: the processor has `D`'s instructions; `rows` holds `out.len()` rows of `row_bytes`, whole blocks
/// of `Q`, and `input` as many blocks as a row.
#[inline(always)]
unsafe fn quant_pairs<D: DotProduct, Q: QuantVector>(
    rows: &[u8],
    row_bytes: usize,
    input: &Activations,
    out: &mut [f32],
) {
    let blocks = row_bytes / Q::BYTES * Q::PARTS;
    for (index, results) in out.chunks_mut(PAIR).enumerate() {
        let first = rows[index * PAIR * row_bytes..].as_ptr();
        // SAFETY: the second row exists, or stands in as the first once more and is dropped.
        let pair = [first, unsafe { first.add((results.len() - 1) * row_bytes) }];
        // SAFETY: `pair` and `input` have `blocks` blocks; groups end at or before them.
        unsafe {
            let mut lanes = _mm256_setzero_ps();
            let whole = blocks / GROUP;
            for group in 0..whole {
                prefetch::<Q>(first, PAIR, group, GROUP);
                lanes = _mm256_add_ps(lanes, group_terms::<D, Q, GROUP>(pair, group, input));
            }
            prefetch::<Q>(first, PAIR, whole, blocks % GROUP);
            lanes = match blocks % GROUP {
                1 => _mm256_add_ps(lanes, group_terms::<D, Q, 1>(pair, whole, input)),
                2 => _mm256_add_ps(lanes, group_terms::<D, Q, 2>(pair, whole, input)),
                3 => _mm256_add_ps(lanes, group_terms::<D, Q, 3>(pair, whole, input)),
                _ => lanes,
            };
            // [l0 + l2, l1 + l3] of each row, in the low half of each 128 bits.
            let halves = _mm256_add_ps(lanes, _mm256_permute_ps(lanes, 0b_11_10_11_10));
            let sums = _mm256_add_ps(halves, _mm256_movehdup_ps(halves));
            let sums = _mm256_mul_ps(sums, _mm256_set1_ps(input.scale()));
            results[0] = _mm256_cvtss_f32(sums);
            if let Some(second) = results.get_mut(1) {
                *second = _mm_cvtss_f32(_mm256_extractf128_ps(sums, 1));
            }
        }
    }
}

/// Asks for as many bytes as a loop over some rows at once takes with `count` parts of group `group`, [`AHEAD`] bytes
/// later: rows are short streams side by side, on which the processor's own prefetcher gives up.
#[inline(always)]
fn prefetch<Q: QuantVector>(first: *const u8, rows: usize, group: usize, count: usize) {
    let bytes = |parts: usize| rows * parts * Q::BYTES / Q::PARTS;
    let start = bytes(group * GROUP) + AHEAD;
    for line in (start..start + bytes(count)).step_by(CACHE_LINE) {
        ask_for::<_MM_HINT_T0>(first.wrapping_add(line));
    }
}

/// Asks for a cache line, into the cache that `HINT` names.
#[inline(always)]
fn ask_for<const HINT: i32>(line: *const u8) {
    // SAFETY: a prefetch reads nothing, and may name any address.
    unsafe { _mm_prefetch::<HINT>(line.cast()) };
}

/// The terms of parts `group * GROUP ..` of both rows, `N` of each, the first row's in the low half.
///
/// Safety: the processor has `D`'s instructions; the rows have `group * GROUP + N` parts, `input` that
/// many in whole groups.
#[inline(always)]
unsafe fn group_terms<D: DotProduct, Q: QuantVector, const N: usize>(
    pair: [*const u8; PAIR],
    group: usize,
    input: &Activations,
) -> __m256 {
    let start = group * GROUP;
    // SAFETY: see above.
    unsafe {
        let x = input.groups().get_unchecked(group);
        let (rows, first) = (pair.map(|row| row.add(start / Q::PARTS * Q::BYTES)), start % Q::PARTS);
        // Each part's, of the first half and of the second, or once of both.
        let mut products = [[_mm256_setzero_si256(); 2]; GROUP];
        for (part, products) in products.iter_mut().enumerate().take(N) {
            // Only blocks of one part follow each other within a group.
            let blocks = rows.map(|row| row.add(if Q::PARTS == 1 { part * Q::BYTES } else { 0 }));
            let [first_half, second_half] = Q::load(blocks, (first + part) % Q::PARTS);
            let flip = _mm256_set1_epi8(if Q::SIGNED { D::SIGNED_ZERO as u8 as i8 } else { 0 });
            let weights = [_mm256_xor_si256(first_half, flip), _mm256_xor_si256(second_half, flip)];
            let twice =
                |levels: &[i8; HALF]| _mm256_broadcastsi128_si256(_mm_load_si128(levels.as_ptr().cast()));
            let high = [twice(&x.high[0][part]), twice(&x.high[1][part])];
            let low = [twice(&x.low[0][part]), twice(&x.low[1][part])];
            if Q::HALVES {
                for half in 0..2 {
                    products[half] = D::products([weights[half]], [high[half]], [low[half]], Q::SIGNED);
                }
            } else {
                products[0] = D::products(weights, high, low, Q::SIGNED);
            }
        }
        let [first_factors, second_factors] = factors::<Q, N>(rows, first);
        if Q::HALVES {
            let (first, second) =
                (sums(products.map(|[sums, _]| sums)), sums(products.map(|[_, sums]| sums)));
            _mm256_add_ps(
                terms::<D, Q>(first, first_factors, &x.half_sums[0], &x.float_half_sums[0]),
                terms::<D, Q>(second, second_factors, &x.half_sums[1], &x.float_half_sums[1]),
            )
        } else {
            terms::<D, Q>(sums(products.map(|[sums, _]| sums)), first_factors, &x.sums, &x.float_sums)
        }
    }
}

/// The sums of each part's four products, the first row's in the low half. Safety: AVX2.
#[inline(always)]
unsafe fn sums([p0, p1, p2, p3]: [__m256i; GROUP]) -> __m256i {
    // SAFETY: see above.
    unsafe { _mm256_hadd_epi32(_mm256_hadd_epi32(p0, p1), _mm256_hadd_epi32(p2, p3)) }
}

/// The terms of products that have one scale. Safety: the processor has `D`'s instructions.
#[inline(always)]
unsafe fn terms<D: DotProduct, Q: QuantVector>(
    products: __m256i,
    (scales, minima): (__m256, __m256),
    input_sums: &[i32; GROUP],
    float_sums: &[f32; GROUP],
) -> __m256 {
    // SAFETY: see above; four numbers of each.
    unsafe {
        let mut products = products;
        let zero = Q::zero::<D>();
        if zero != 0 {
            let input_sums = _mm256_broadcastsi128_si256(_mm_loadu_si128(input_sums.as_ptr().cast()));
            let shift = _mm_cvtsi32_si128(zero.trailing_zeros() as i32);
            products = _mm256_sub_epi32(products, _mm256_sll_epi32(input_sums, shift));
        }
        let terms = _mm256_mul_ps(scales, _mm256_cvtepi32_ps(products));
        if !Q::HAS_MINIMUM {
            return terms;
        }
        _mm256_add_ps(terms, _mm256_mul_ps(minima, broadcast(float_sums)))
    }
}

/// Four floats in both halves. Safety: AVX.
#[inline(always)]
unsafe fn broadcast(floats: &[f32; GROUP]) -> __m256 {
    // SAFETY: see above.
    unsafe {
        let half = _mm_loadu_ps(floats.as_ptr());
        _mm256_set_m128(half, half)
    }
}

/// Scales and minima of `N` parts of both rows, from part `first` of their first block, for each half. Safety: AVX2 and
/// F16C; both rows have `N` parts.
#[inline(always)]
unsafe fn factors<Q: QuantVector, const N: usize>(
    rows: [*const u8; PAIR],
    first: usize,
) -> [(__m256, __m256); 2] {
    // SAFETY: see above; every block of one part begins with its scale, of 2 bytes, and its minimum where
    // there is one.
    unsafe {
        if Q::PARTS > 1 {
            return Q::factors([rows[0], rows[1], rows[0], rows[1]], first).by_row();
        }
        let word_of_each = |offset: usize| {
            let mut words = [0u16; PAIR * GROUP];
            for (row, words) in rows.iter().zip(words.chunks_exact_mut(GROUP)) {
                for (block, word) in words.iter_mut().enumerate().take(N) {
                    *word = row.add(block * Q::BYTES + offset).cast::<u16>().read_unaligned();
                }
            }
            _mm256_cvtph_ps(_mm_loadu_si128(words.as_ptr().cast()))
        };
        let minima = if Q::HAS_MINIMUM { word_of_each(2) } else { _mm256_setzero_ps() };
        [(word_of_each(0), minima); 2]
    }
}
