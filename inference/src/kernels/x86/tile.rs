//! Sixteen rows times many vectors: the rows' levels are unpacked once, interleaved so that a vector holds four
//! levels of each row, and then multiplied with every input.
//!
//! The sums of all four lanes of a few inputs stay in registers over the parts that are unpacked.

mod ahead;
mod unpack;

use core::hint::black_box;
use core::mem::MaybeUninit;
use core::ops::Range;

use super::formats::{Avx2, AvxVnni, QuantVector};
use super::sixteen::{Halves, Sixteen, Whole};
use super::{Isa, check_input};
use crate::activations::{Activations, GROUP, Group, HALF};
use crate::tiles::TILE;
use ahead::Ahead;
use unpack::{Unpacked, unpack};

/// With fewer inputs unpacking does not pay.
pub(super) const FEWEST_INPUTS: usize = 4;

/// Parts of each row unpacked at a time: they stay in the nearest cache.
const PARTS: usize = 20;
/// Inputs whose lanes are held at a time.
const INPUTS: usize = 64;
/// Inputs multiplied with the same registers of weights.
const STEP: usize = 4;
/// Levels of a row that stand together.
pub(super) const RUN: usize = 4;

/// The sums of rows' parts, for each remainder of the part's number.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Lanes([[f32; TILE]; GROUP]);

/// Rows times inputs, by tiles.
pub(super) fn quant_tiles<Q: QuantVector>(
    isa: Isa,
    rows: &[u8],
    row_bytes: usize,
    inputs: &[Activations],
    out: &mut [f32],
) {
    for input in inputs {
        check_input::<Q>(row_bytes, input);
    }
    for (rows, out) in rows.chunks(TILE * row_bytes).zip(out.chunks_mut(TILE * inputs.len())) {
        let count = rows.len() / row_bytes;
        for (inputs, out) in inputs.chunks(INPUTS).zip(out.chunks_mut(INPUTS * count)) {
            // SAFETY: an `Isa` exists only where the processor and the system have its instructions; the inputs
            // have as many parts as a row; `rows` holds 1 to 16 rows.
            unsafe {
                match isa {
                    Isa::Avx2 => tile_avx2::<Q>(rows, row_bytes, inputs, out),
                    Isa::AvxVnni => tile_avx_vnni::<Q>(rows, row_bytes, inputs, out),
                    Isa::Avx512Vnni => tile_avx512_vnni::<Q>(rows, row_bytes, inputs, out),
                }
            }
        }
    }
}

#[target_feature(enable = "avx2,f16c")]
unsafe fn tile_avx2<Q: QuantVector>(rows: &[u8], row_bytes: usize, x: &[Activations], out: &mut [f32]) {
    // SAFETY: passed on to the caller.
    unsafe { quant_tile::<Halves<Avx2>, Q>(rows, row_bytes, x, out) }
}

#[target_feature(enable = "avx2,f16c,avxvnni")]
unsafe fn tile_avx_vnni<Q: QuantVector>(rows: &[u8], row_bytes: usize, x: &[Activations], out: &mut [f32]) {
    // SAFETY: passed on to the caller.
    unsafe { quant_tile::<Halves<AvxVnni>, Q>(rows, row_bytes, x, out) }
}

#[target_feature(enable = "avx2,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile_avx512_vnni<Q: QuantVector>(
    rows: &[u8],
    row_bytes: usize,
    x: &[Activations],
    out: &mut [f32],
) {
    // SAFETY: passed on to the caller.
    unsafe { quant_tile::<Whole, Q>(rows, row_bytes, x, out) }
}

/// One tile. Safety: the processor has `V`'s instructions and F16C; `rows` holds 1 to 16 rows of whole blocks of
/// `Q`, and each of at most [`INPUTS`] inputs as many parts as a row.
#[inline(always)]
unsafe fn quant_tile<V: Sixteen, Q: QuantVector>(
    rows: &[u8],
    row_bytes: usize,
    inputs: &[Activations],
    out: &mut [f32],
) {
    let parts = row_bytes / Q::BYTES * Q::PARTS;
    let height = rows.len() / row_bytes;
    let mut unpacked = MaybeUninit::<Unpacked>::uninit();
    let mut lanes = [const { MaybeUninit::<Lanes>::uninit() }; INPUTS];
    for start in (0..parts).step_by(PARTS) {
        // The compiler would unroll the loops below if it knew how few parts these are, and leave no room in the cache.
        let count = black_box(PARTS.min(parts - start));
        // SAFETY: see above; what is read below was written by `unpack`.
        unsafe {
            unpack::<V, Q>(rows, row_bytes, start, count, unpacked.as_mut_ptr());
            let unpacked = unpacked.as_ptr();
            let mut ahead = Ahead::new::<Q>(rows, start, count, inputs.len().div_ceil(STEP));
            let steps = inputs.chunks(STEP).zip(lanes.chunks_mut(STEP));
            for ((inputs, lanes), out) in steps.zip(out.chunks_mut(STEP * height)) {
                let sums = if start + count == parts { Sums::Total(out, height) } else { Sums::Lanes };
                match inputs.len() {
                    1 => multiply::<V, Q, 1>(unpacked, start, count, inputs, lanes, sums, &mut ahead),
                    2 => multiply::<V, Q, 2>(unpacked, start, count, inputs, lanes, sums, &mut ahead),
                    3 => multiply::<V, Q, 3>(unpacked, start, count, inputs, lanes, sums, &mut ahead),
                    _ => multiply::<V, Q, STEP>(unpacked, start, count, inputs, lanes, sums, &mut ahead),
                }
            }
        }
    }
}

/// Where sums go.
enum Sums<'o> {
    /// Into the lanes: parts are left.
    Lanes,
    /// As results, so many rows of each input.
    Total(&'o mut [f32], usize),
}

/// Adds the terms of the unpacked parts, the first of which is number `start`, to the lanes of `N` inputs, which nobody has
/// written before the first.
///
/// Safety: as [`quant_tile`]; `count` parts are unpacked; `start` is a multiple of [`GROUP`]; if it is not 0, this has been
/// called for the parts before.
#[inline(always)]
unsafe fn multiply<V: Sixteen, Q: QuantVector, const N: usize>(
    unpacked: *const Unpacked,
    start: usize,
    count: usize,
    inputs: &[Activations],
    lanes: &mut [MaybeUninit<Lanes>],
    sums: Sums<'_>,
    ahead: &mut Ahead,
) {
    let (Some(inputs), Some(lanes)) = (inputs.first_chunk::<N>(), lanes.first_chunk_mut::<N>()) else {
        return;
    };
    // SAFETY: see above; an input has all parts from `start`, in whole groups.
    unsafe {
        let groups = inputs.each_ref().map(|input| input.groups().as_ptr().add(start / GROUP));
        let mut totals = [[V::splat(0.0); N]; GROUP];
        if start > 0 {
            for (input, lanes) in lanes.iter().enumerate() {
                for (totals, lane) in totals.iter_mut().zip(&lanes.assume_init_ref().0) {
                    totals[input] = V::load(lane);
                }
            }
        }
        let [totals_0, totals_1, totals_2, totals_3] = &mut totals;
        for first in (0..count).step_by(GROUP) {
            let x = groups.map(|groups| &*groups.add(first / GROUP));
            // Not as a loop, so that all sums stay in registers.
            add_part::<V, Q, N>(unpacked, first, x, 0, totals_0);
            ahead.fetch::<Q>();
            if first + 1 == count {
                break;
            }
            add_part::<V, Q, N>(unpacked, first + 1, x, 1, totals_1);
            ahead.fetch::<Q>();
            if first + 2 == count {
                break;
            }
            add_part::<V, Q, N>(unpacked, first + 2, x, 2, totals_2);
            ahead.fetch::<Q>();
            if first + 3 == count {
                break;
            }
            add_part::<V, Q, N>(unpacked, first + 3, x, 3, totals_3);
            ahead.fetch::<Q>();
        }
        match sums {
            Sums::Lanes => {
                for (input, lanes) in lanes.iter_mut().enumerate() {
                    let Lanes(lanes) = lanes.write(Lanes([[0.0; TILE]; GROUP]));
                    for (totals, lane) in totals.iter().zip(lanes) {
                        V::store(lane, totals[input]);
                    }
                }
            }
            Sums::Total(out, height) => {
                for (input, out) in out.chunks_exact_mut(height).enumerate() {
                    let even = V::add(totals[0][input], totals[2][input]);
                    let total = V::add(even, V::add(totals[1][input], totals[3][input]));
                    let total = V::multiply(total, V::splat(inputs[input].scale()));
                    match out.as_chunks_mut() {
                        ([out], []) => V::store(out, total),
                        (_, out) => {
                            let mut rows = [0.0; TILE];
                            V::store(&mut rows, total);
                            out.copy_from_slice(&rows[..out.len()]);
                        }
                    }
                }
            }
        }
    }
}

/// Adds the terms of the unpacked part `index` to the sums of `N` inputs, in whose groups it is part `lane`.
///
/// Safety: as [`multiply`]; the part is there.
#[inline(always)]
unsafe fn add_part<V: Sixteen, Q: QuantVector, const N: usize>(
    unpacked: *const Unpacked,
    index: usize,
    inputs: [&Group; N],
    lane: usize,
    totals: &mut [V::Floats; N],
) {
    // SAFETY: see above.
    unsafe {
        if Q::HALVES {
            let first = products::<V, Q, N>(unpacked, index, inputs, lane, 0..1);
            let second = products::<V, Q, N>(unpacked, index, inputs, lane, 1..2);
            for (input, x) in inputs.into_iter().enumerate() {
                let [first_sum, second_sum] = x.half_sums.map(|sums| sums[lane]);
                let [first_float, second_float] = x.float_half_sums.map(|sums| sums[lane]);
                let first = term::<V, Q>(unpacked, index, 0, first[input], first_sum, first_float);
                let second = term::<V, Q>(unpacked, index, 1, second[input], second_sum, second_float);
                totals[input] = V::add(totals[input], V::add(first, second));
            }
        } else {
            let products = products::<V, Q, N>(unpacked, index, inputs, lane, 0..2);
            for (input, x) in inputs.into_iter().enumerate() {
                let (sum, float_sum) = (x.sums[lane], x.float_sums[lane]);
                let term = term::<V, Q>(unpacked, index, 0, products[input], sum, float_sum);
                totals[input] = V::add(totals[input], term);
            }
        }
    }
}

/// The term of the products of a half, or of both, with the factors of half `half`: `sum` is that of the input's levels
/// there, and `float_sum` the same number.
///
/// Safety: as [`add_part`].
#[inline(always)]
unsafe fn term<V: Sixteen, Q: QuantVector>(
    unpacked: *const Unpacked,
    index: usize,
    half: usize,
    products: V::Integers,
    sum: i32,
    float_sum: f32,
) -> V::Floats {
    // SAFETY: see above.
    unsafe {
        let (scales, minima) = (&(*unpacked).scales[index][half], &(*unpacked).minima[index][half]);
        let term = V::multiply(V::load(scales), V::floats(products, sum * Q::zero::<V::Dot>()));
        if !Q::HAS_MINIMUM {
            return term;
        }
        V::add(term, V::multiply(V::load(minima), V::splat(float_sum)))
    }
}

/// The products of some halves of part `index` with those of block `block` of `N` inputs, each row's summed.
///
/// Input by input within a run of columns: their sums do not wait for each other.
///
/// Safety: as [`add_part`].
#[inline(always)]
unsafe fn products<V: Sixteen, Q: QuantVector, const N: usize>(
    unpacked: *const Unpacked,
    index: usize,
    inputs: [&Group; N],
    block: usize,
    halves: Range<usize>,
) -> [V::Integers; N] {
    const RUNS: usize = HALF / RUN;
    // SAFETY: see above; half a block has as many runs.
    unsafe {
        let weights = &(*unpacked).levels[index];
        let (mut high, mut low) = ([V::zero(); N], [V::zero(); N]);
        for half in halves {
            for (run, weights) in weights[half * RUNS..][..RUNS].iter().enumerate() {
                for input in 0..N {
                    let x = inputs[input].high[half][block].as_ptr().add(run * RUN);
                    high[input] = V::dot::<Q>(high[input], weights, x);
                }
                for input in 0..N {
                    let x = inputs[input].low[half][block].as_ptr().add(run * RUN);
                    low[input] = V::dot::<Q>(low[input], weights, x);
                }
            }
        }
        core::array::from_fn(|input| V::sum_128(high[input], low[input]))
    }
}
