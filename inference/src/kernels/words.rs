//! The arithmetic in 64-bit integer words, for processors that are slow with vectors: an emulated one calls a
//! function for each vector instruction, but multiplies words by an instruction of the machine below it.
//!
//! A word of two weights, 32 bits apart, times a word of two activations in the opposite order has the sum of both
//! products in its upper half. The lower half is a signed number, so that half of its range, added beforehand,
//! keeps it from borrowing.

mod formats;

use super::portable::reduce_group;
use crate::activations::{Activations, GROUP, HALF};
use crate::matrix::BLOCK;
pub(super) use formats::WordFormat;
use formats::halves_to_floats;

/// Rows multiplied with the same activations in registers.
const ROWS: usize = 4;
/// Rows whose lanes are held while activations stay packed.
const HELD: usize = 64;
/// Parts packed at a time.
const PACKED: usize = 32;

/// A part's levels, two a word: for a packed word `8 * w + p` those of elements `e` (upper) and `e + 4` (lower), with
/// `e = 8 * w + p / 2 + 16 * (p % 2)`.
type Pairs = [i64; BLOCK / 2];

/// As `portable::quant_rows`.
pub(super) fn quant_rows<Q: WordFormat>(rows: &[u8], row_bytes: usize, input: &Activations, out: &mut [f32]) {
    let parts = row_bytes / Q::BYTES * Q::PARTS;
    let mut pairs = [[0; BLOCK / 2]; PACKED];
    for (rows, out) in rows.chunks(HELD * row_bytes).zip(out.chunks_mut(HELD)) {
        let mut lanes = [[0.0; GROUP]; HELD];
        for start in (0..parts).step_by(PACKED) {
            let count = PACKED.min(parts - start);
            for (index, pairs) in (start..).zip(&mut pairs[..count]) {
                pack(input.groups()[index / GROUP].levels(index % GROUP), pairs);
            }
            for (rows, lanes) in rows.chunks(ROWS * row_bytes).zip(lanes.chunks_mut(ROWS)) {
                match lanes.first_chunk_mut::<ROWS>().filter(|_| rows.len() == ROWS * row_bytes) {
                    Some(lanes) => {
                        add_terms::<Q, ROWS>(rows, row_bytes, start, &pairs[..count], input, lanes)
                    }
                    None => {
                        for (row, lanes) in rows.chunks_exact(row_bytes).zip(lanes.as_chunks_mut::<1>().0) {
                            add_terms::<Q, 1>(row, row_bytes, start, &pairs[..count], input, lanes);
                        }
                    }
                }
            }
        }
        for (out, lanes) in out.iter_mut().zip(lanes) {
            *out = reduce_group(lanes);
        }
    }
}

fn pack([high, low]: [[&[i8; HALF]; 2]; 2], pairs: &mut Pairs) {
    let level = |index: usize| {
        let [high, low] = [high, low].map(|halves| i64::from(halves[index / HALF][index % HALF]));
        128 * high + low
    };
    for (index, pair) in pairs.iter_mut().enumerate() {
        let (word, nibble) = (index / 8, index % 8);
        let element = 8 * word + nibble / 2 + 16 * (nibble % 2);
        *pair = (level(element) << 32) + level(element + 4);
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
    lanes: &mut [[f32; GROUP]; N],
) {
    let rows: [&[u8]; N] = core::array::from_fn(|row| &rows[row * row_bytes..][..row_bytes]);
    for (group, pairs) in pairs.chunks(GROUP).enumerate() {
        let first = start + group * GROUP;
        let mut sums = [[[0; GROUP]; 2]; N];
        let mut scales = [[[0.0; GROUP]; 2]; N];
        let mut minima = [[[0.0; GROUP]; 2]; N];
        let mut heads = [[0; GROUP]; N];
        for (lane, pairs) in pairs.iter().enumerate() {
            let (block, part) = ((first + lane) / Q::PARTS * Q::BYTES, (first + lane) % Q::PARTS);
            let blocks = rows.map(|row| &row[block..][..Q::BYTES]);
            let found = Q::sums(blocks, part, pairs);
            for row in 0..N {
                sums[row][0][lane] = found[row][0];
                if Q::PARTS == 1 {
                    heads[row][lane] = head::<Q>(blocks[row]);
                    continue;
                }
                let (row_scales, row_minima) = (Q::scales(blocks[row], part), Q::minima(blocks[row], part));
                for half in 0..if Q::HALVES { 2 } else { 1 } {
                    sums[row][half][lane] = found[row][half];
                    scales[row][half][lane] = row_scales[half];
                    minima[row][half][lane] = row_minima[half];
                }
            }
        }
        let x = &input.groups()[first / GROUP];
        for row in 0..N {
            if Q::PARTS == 1 {
                scales[row][0] = halves_to_floats(heads[row].map(|head| head & 0xffff));
                if Q::HAS_MINIMUM {
                    minima[row][0] = halves_to_floats(heads[row].map(|head| head >> 16));
                }
            }
            let term = |half: usize, input_sums: &[i32; GROUP], scaled_sums: &[f32; GROUP]| {
                let mut terms = [0.0; GROUP];
                for lane in 0..GROUP {
                    let sum = Q::float(sums[row][half][lane] - Q::zero() * input_sums[lane]);
                    terms[lane] = (scales[row][half][lane] * x.scales[lane]) * sum;
                    if Q::HAS_MINIMUM {
                        terms[lane] += minima[row][half][lane] * scaled_sums[lane];
                    }
                }
                terms
            };
            let terms = if Q::HALVES {
                let [first, second] =
                    [0, 1].map(|half| term(half, &x.half_sums[half], &x.scaled_half_sums[half]));
                core::array::from_fn(|lane| first[lane] + second[lane])
            } else {
                term(0, &x.sums, &x.scaled_sums)
            };
            for (lane, term) in lanes[row].iter_mut().zip(terms) {
                *lane += term;
            }
        }
    }
}

/// The first bytes of a block of one part: its scale in the lower half and its minimum, where it has one, in the
/// upper.
#[inline(always)]
fn head<Q: WordFormat>(block: &[u8]) -> u32 {
    if Q::HAS_MINIMUM {
        return u32::from_le_bytes(*block.first_chunk().expect("scale and minimum"));
    }
    u16::from_le_bytes(*block.first_chunk().expect("a scale")).into()
}
