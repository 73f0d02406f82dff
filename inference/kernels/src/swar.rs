//! The arithmetic in 64-bit integer words, for processors that are slow with vectors: an emulated one calls a
//! function for each vector instruction, but multiplies words by an instruction of the machine below it.
//!
//! A word of two weights, 32 bits apart, times a word of two activations in the opposite order has the sum of both
//! products in its upper half. The lower half is a signed number, so that half of its range, added beforehand,
//! keeps it from borrowing.

mod factors;
mod formats;
mod lanes;

use core::arch::asm;
use core::ops::Range;

use arrayvec::ArrayVec;
use wide::f32x4;

use super::portable::reduce_group;
use crate::activations::{Activations, GROUP, Group, HALF};
use crate::matrix::BLOCK;
use crate::tiles::TILE;
use factors::Factors;
pub(super) use formats::WordFormat;
use lanes::{BOTH, Lanes, put_upper_half};

/// Rows multiplied with the same activations in registers.
const ROWS: usize = 4;
/// Parts packed at a time: once for all rows, where these are no longer.
const PACKED: usize = 128;

/// Bias that keeps the lower half of a sum from borrowing.
const NO_BORROW: i64 = 1 << 31;

/// A sub-block's levels, two a word: for a packed word `8 * w + p` those of elements `e` (upper) and `e + 4` (lower),
/// with `e = 8 * w + p / 2 + 16 * (p % 2)`.
type Pairs = [i64; BLOCK / 2];

/// As `portable::quant_rows`, for several inputs: `out` is a run of tiles, in the order of [`crate::tiles`].
pub(super) fn quant_rows<Q: WordFormat>(
    rows: &[u8],
    row_bytes: usize,
    inputs: &[Activations],
    out: &mut [f32],
) {
    let sub_blocks = row_bytes / Q::BYTES * Q::SUB_BLOCKS;
    for (index, input) in inputs.iter().enumerate() {
        // Cleared no further than sub-blocks there are, which takes as long as a few rows otherwise.
        let mut pairs = ArrayVec::<Pairs, PACKED>::new();
        pack_parts(input, 0..sub_blocks.min(PACKED), &mut pairs);
        for (tile, out) in rows.chunks(TILE * row_bytes).zip(out.chunks_mut(TILE * inputs.len())) {
            let count = tile.len() / row_bytes;
            let out = &mut out[index * count..][..count];
            for (rows, out) in tile.chunks(ROWS * row_bytes).zip(out.chunks_mut(ROWS)) {
                let mut lanes = [f32x4::ZERO; ROWS];
                for start in (0..sub_blocks).step_by(PACKED) {
                    if sub_blocks > PACKED {
                        pack_parts(input, start..sub_blocks.min(start + PACKED), &mut pairs);
                    }
                    if out.len() == ROWS {
                        add_terms::<Q, ROWS>(rows, row_bytes, start, &pairs, input, &mut lanes);
                        continue;
                    }
                    for (row, lanes) in rows.chunks_exact(row_bytes).zip(lanes.as_chunks_mut::<1>().0) {
                        add_terms::<Q, 1>(row, row_bytes, start, &pairs, input, lanes);
                    }
                }
                for (out, lanes) in out.iter_mut().zip(lanes) {
                    *out = reduce_group(lanes.to_array()) * input.scale();
                }
            }
        }
    }
}

/// Sets `pairs` to those of some sub-blocks of an input.
fn pack_parts(input: &Activations, sub_blocks: Range<usize>, pairs: &mut ArrayVec<Pairs, PACKED>) {
    pairs.clear();
    for sub_block in sub_blocks {
        pairs.push(pack(input.groups()[sub_block / GROUP].levels(sub_block % GROUP)));
    }
}

/// A sub-block's high and low bytes, by half, as pairs.
#[inline(always)]
fn pack([high, low]: [[&[i8; HALF]; 2]; 2]) -> Pairs {
    /// Bias in each half of a word, as all bytes are raised so that none is below 0.
    const RAISED: i64 = (128 * 128 + 128) * BOTH.cast_signed();
    let mut pairs = [0; BLOCK / 2];
    for (word, pairs) in pairs.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        for half in 0..2 {
            let [high, low] = [high[half], low[half]].map(|bytes| raised(bytes, word));
            for element in 0..4 {
                let [high, low] = [high, low].map(|bytes| (bytes >> (8 * element)) & (0xff * BOTH));
                pairs[2 * element + half] = (128 * high + low).cast_signed() - RAISED;
            }
        }
    }
    pairs
}

/// Eight bytes from byte `8 * word`, each 128 more, the last four of them in the word's lower half.
#[inline(always)]
fn raised(bytes: &[i8; HALF], word: usize) -> u64 {
    let bytes = bytes.as_chunks::<8>().0[word].map(i8::cast_unsigned);
    (u64::from_le_bytes(bytes) ^ 0x8080_8080_8080_8080).rotate_left(32)
}

/// Adds the terms of the sub-blocks from `start`, the first of a group, to the lanes of `N` rows.
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
    let (whole, rest) = pairs.as_chunks::<GROUP>();
    let (groups, last) = input.groups()[start / GROUP..].split_at(whole.len());
    add_groups::<Q, N>(rows, start, whole, groups, lanes);
    let (Some(x), start) = (last.first(), start + GROUP * whole.len()) else { return };
    if let Some(pairs) = rest.as_array::<3>() {
        add_group::<Q, N, 3>(rows, start, pairs, x, lanes);
    } else if let Some(pairs) = rest.as_array::<2>() {
        add_group::<Q, N, 2>(rows, start, pairs, x, lanes);
    } else if let Some(pairs) = rest.as_array::<1>() {
        add_group::<Q, N, 1>(rows, start, pairs, x, lanes);
    }
}

/// The same for whole groups.
#[inline(never)]
fn add_groups<Q: WordFormat, const N: usize>(
    rows: [&[u8]; N],
    start: usize,
    pairs: &[[Pairs; GROUP]],
    groups: &[Group],
    lanes: &mut [f32x4; N],
) {
    stay_in_page();
    for (index, (pairs, x)) in pairs.iter().zip(groups).enumerate() {
        add_group::<Q, N, GROUP>(rows, start + GROUP * index, pairs, x, lanes);
    }
}

/// Puts the loop that follows, which has more than half a page of code on x86_64, into one page: an emulator goes on by
/// itself within a page, but looks up where it has the code of another one at every jump there.
#[inline(always)]
fn stay_in_page() {
    // SAFETY: there is no instruction but those that do nothing.
    unsafe { asm!(".p2align 12", options(nomem, nostack, preserves_flags)) };
}

/// Adds the terms of `COUNT` sub-blocks from number `first`, the first of a group, of which `x` is the input.
#[inline(always)]
fn add_group<Q: WordFormat, const N: usize, const COUNT: usize>(
    rows: [&[u8]; N],
    first: usize,
    pairs: &[Pairs; COUNT],
    x: &Group,
    lanes: &mut [f32x4; N],
) {
    let (block, sub_block) = (first / Q::SUB_BLOCKS * Q::BYTES, first % Q::SUB_BLOCKS);
    // Parts of one block, or a block each.
    let each = if Q::SUB_BLOCKS == 1 { Q::BYTES } else { 0 };
    let rows = rows.map(|row| &row[block..][..(COUNT - 1) * each + Q::BYTES]);
    // The second only where halves have scales of their own; else the first are those of both.
    let (mut first_sums, mut second_sums) = ([Lanes::default(); N], [Lanes::default(); N]);
    for lane in 0..COUNT {
        let (blocks, sub_block) = (rows.map(|row| &row[lane * each..][..Q::BYTES]), sub_block + lane);
        let put = |sums: &mut [Lanes; N], found: [i64; N]| {
            sums.iter_mut().zip(found).for_each(|(sums, found)| put_upper_half(sums, lane, found));
        };
        if Q::HALVES {
            let starts = [0, 1].map(|half| start_of::<Q>(x.half_sums[half][lane]));
            let [first, second] = Q::half_sums(blocks, sub_block, &pairs[lane], starts);
            put(&mut first_sums, first);
            put(&mut second_sums, second);
        } else {
            put(&mut first_sums, Q::sums(blocks, sub_block, &pairs[lane], start_of::<Q>(x.sums[lane])));
        }
    }
    for (row, lanes) in lanes.iter_mut().enumerate() {
        let factors = Factors::new::<Q, COUNT>(rows[row], sub_block);
        *lanes += factors.terms::<Q>([first_sums[row], second_sums[row]], x);
    }
}

/// Start of a sum of products, so that its upper half ends as the sum of (level - zero) * level for inputs whose levels
/// have the sum `input_sum`.
#[inline(always)]
fn start_of<Q: WordFormat>(input_sum: i32) -> i64 {
    NO_BORROW - (i64::from(Q::zero() * input_sum) << 32)
}
