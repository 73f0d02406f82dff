//! The arithmetic in 64-bit integer words, for processors that are slow with vectors: an emulated one calls a
//! function for each vector instruction, but multiplies words by an instruction of the machine below it.
//!
//! A word of two weights, 32 bits apart, times a word of two activations in the opposite order has the sum of both
//! products in its upper half. The lower half is a signed number, so that half of its range, added beforehand,
//! keeps it from borrowing.

mod factors;
mod formats;
mod lanes;

use wide::f32x4;

use super::portable::reduce_group;
use crate::activations::{Activations, GROUP, Group, HALF};
use crate::matrix::BLOCK;
use crate::tiles::TILE;
use factors::Factors;
pub(super) use formats::WordFormat;
use lanes::{Lanes, put_upper_half};

/// Rows multiplied with the same activations in registers.
const ROWS: usize = 4;
/// Rows whose lanes are held while activations stay packed, and parts packed at a time: at most so many.
const HELD: usize = 256;
const PACKED: usize = 32;
/// The same where both are few, for clearing what nobody uses would take as long as a few rows.
const FEW_HELD: usize = 64;
const FEW_PACKED: usize = 16;

/// What keeps the lower half of a sum from borrowing.
const NO_BORROW: i64 = 1 << 31;

/// A part's levels, two a word: for a packed word `8 * w + p` those of elements `e` (upper) and `e + 4` (lower), with
/// `e = 8 * w + p / 2 + 16 * (p % 2)`.
type Pairs = [i64; BLOCK / 2];

/// As `portable::quant_rows`, for several inputs: `out` is a run of tiles, in the order of [`crate::tiles`].
pub(super) fn quant_rows<Q: WordFormat>(
    rows: &[u8],
    row_bytes: usize,
    inputs: &[Activations],
    out: &mut [f32],
) {
    let held = rows.chunks(HELD * row_bytes).zip(out.chunks_mut(HELD * inputs.len()));
    for (rows, out) in held {
        for (index, input) in inputs.iter().enumerate() {
            let out = (index, inputs.len(), &mut *out);
            match (rows.len() / row_bytes, row_bytes / Q::BYTES * Q::PARTS) {
                (..=FEW_HELD, ..=FEW_PACKED) => {
                    held_rows::<Q, FEW_HELD, FEW_PACKED>(rows, row_bytes, input, out)
                }
                _ => held_rows::<Q, HELD, PACKED>(rows, row_bytes, input, out),
            }
        }
    }
}

/// Up to `MOST` rows times one input, number `index` of so many, of which `PACK` parts are packed at a time.
fn held_rows<Q: WordFormat, const MOST: usize, const PACK: usize>(
    rows: &[u8],
    row_bytes: usize,
    input: &Activations,
    (index, inputs, out): (usize, usize, &mut [f32]),
) {
    let parts = row_bytes / Q::BYTES * Q::PARTS;
    let mut pairs = [[0; BLOCK / 2]; PACK];
    let mut lanes = [f32x4::ZERO; MOST];
    let lanes = &mut lanes[..rows.len() / row_bytes];
    for start in (0..parts).step_by(PACK) {
        let count = PACK.min(parts - start);
        for (index, pairs) in (start..).zip(&mut pairs[..count]) {
            pack(input.groups()[index / GROUP].levels(index % GROUP), pairs);
        }
        for (rows, lanes) in rows.chunks(ROWS * row_bytes).zip(lanes.chunks_mut(ROWS)) {
            if let Some(lanes) = lanes.as_mut_array::<ROWS>() {
                add_terms::<Q, ROWS>(rows, row_bytes, start, &pairs[..count], input, lanes);
                continue;
            }
            for (row, lanes) in rows.chunks_exact(row_bytes).zip(lanes.as_chunks_mut::<1>().0) {
                add_terms::<Q, 1>(row, row_bytes, start, &pairs[..count], input, lanes);
            }
        }
    }
    for (lanes, out) in lanes.chunks(TILE).zip(out.chunks_mut(TILE * inputs)) {
        for (out, lanes) in out[index * lanes.len()..].iter_mut().zip(lanes) {
            *out = reduce_group(lanes.to_array()) * input.scale();
        }
    }
}

fn pack([high, low]: [[&[i8; HALF]; 2]; 2], pairs: &mut Pairs) {
    for (word, pairs) in pairs.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        for (element, pairs) in (8 * word..).zip(pairs.as_chunks_mut::<2>().0) {
            for (half, pair) in pairs.iter_mut().enumerate() {
                let [high, low] = [high[half], low[half]]
                    .map(|bytes| (i64::from(bytes[element]) << 32) + i64::from(bytes[element + 4]));
                *pair = 128 * high + low;
            }
        }
    }
}

/// Adds the terms of the parts from `start` to the lanes of `N` rows.
#[inline(never)]
fn add_terms<Q: WordFormat, const N: usize>(
    rows: &[u8],
    row_bytes: usize,
    start: usize,
    pairs: &[Pairs],
    input: &Activations,
    lanes: &mut [f32x4; N],
) {
    let rows: [&[u8]; N] = core::array::from_fn(|row| &rows[row * row_bytes..][..row_bytes]);
    let groups = (start..).step_by(GROUP).zip(&input.groups()[start / GROUP..]);
    for (pairs, (first, x)) in pairs.chunks(GROUP).zip(groups) {
        if let Some(pairs) = pairs.as_array::<GROUP>() {
            add_group::<Q, N, GROUP>(rows, first, pairs, x, lanes);
        } else if let Some(pairs) = pairs.as_array::<3>() {
            add_group::<Q, N, 3>(rows, first, pairs, x, lanes);
        } else if let Some(pairs) = pairs.as_array::<2>() {
            add_group::<Q, N, 2>(rows, first, pairs, x, lanes);
        } else if let Some(pairs) = pairs.as_array::<1>() {
            add_group::<Q, N, 1>(rows, first, pairs, x, lanes);
        }
    }
}

/// Adds the terms of `COUNT` parts from number `first`, the first of a group, of which `x` is the input.
#[inline(always)]
fn add_group<Q: WordFormat, const N: usize, const COUNT: usize>(
    rows: [&[u8]; N],
    first: usize,
    pairs: &[Pairs; COUNT],
    x: &Group,
    lanes: &mut [f32x4; N],
) {
    let (block, part) = (first / Q::PARTS * Q::BYTES, first % Q::PARTS);
    // Parts of one block, or a block each.
    let each = if Q::PARTS == 1 { Q::BYTES } else { 0 };
    let rows = rows.map(|row| &row[block..][..(COUNT - 1) * each + Q::BYTES]);
    // The second only where halves have scales of their own; else the first are those of both.
    let (mut first_sums, mut second_sums) = ([Lanes::default(); N], [Lanes::default(); N]);
    for lane in 0..COUNT {
        let (blocks, part) = (rows.map(|row| &row[lane * each..][..Q::BYTES]), part + lane);
        let put = |sums: &mut [Lanes; N], found: [i64; N]| {
            sums.iter_mut().zip(found).for_each(|(sums, found)| put_upper_half(sums, lane, found));
        };
        if Q::HALVES {
            let starts = [0, 1].map(|half| start_of::<Q>(x.half_sums[half][lane]));
            let [first, second] = Q::half_sums(blocks, part, &pairs[lane], starts);
            put(&mut first_sums, first);
            put(&mut second_sums, second);
        } else {
            put(&mut first_sums, Q::sums(blocks, part, &pairs[lane], start_of::<Q>(x.sums[lane])));
        }
    }
    for (row, lanes) in lanes.iter_mut().enumerate() {
        let factors = Factors::new::<Q, COUNT>(rows[row], part);
        *lanes += factors.terms::<Q>([first_sums[row], second_sums[row]], x);
    }
}

/// What a sum of products begins with, so that its upper half ends as the sum of (level - zero) * level for inputs
/// whose levels have the sum `input_sum`.
#[inline(always)]
fn start_of<Q: WordFormat>(input_sum: i32) -> i64 {
    NO_BORROW - (i64::from(Q::zero() * input_sum) << 32)
}
