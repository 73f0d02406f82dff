//! Sixteen rows times many vectors: the rows' levels are unpacked once, interleaved so that a vector holds four
//! levels of each row, and then multiplied with every input.
//!
//! A lane of the results is finished before the next begins, so that one sum for each input is in registers.

mod sixteen;
mod unpack;

use super::formats::{Avx2, AvxVnni, QuantVector};
use super::{Isa, check_input};
use crate::activations::{Activations, GROUP, Levels};
use crate::tiles::TILE;
use sixteen::{Halves, Sixteen, Whole};
use unpack::{Unpacked, unpack};

/// With fewer inputs unpacking does not pay.
pub(super) const FEWEST_INPUTS: usize = 4;

/// Parts of each row unpacked at a time: they stay in the nearest cache.
const PARTS: usize = 16;
/// Inputs whose lanes are held at a time.
const INPUTS: usize = 64;
/// Inputs multiplied with the same registers of weights.
const STEP: usize = 4;
/// Levels of a row that stand together.
const RUN: usize = 4;

/// The sums of a row's parts, for each input and each remainder of the part's number.
type Lanes = [[[f32; TILE]; GROUP]; INPUTS];

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

#[target_feature(enable = "avx2,f16c,avx512f,avx512vnni,avx512vl")]
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
    let mut unpacked = core::mem::MaybeUninit::<Unpacked>::uninit();
    let mut lanes: Lanes = [[[0.0; TILE]; GROUP]; INPUTS];
    for start in (0..parts).step_by(PARTS) {
        let count = PARTS.min(parts - start);
        // SAFETY: see above; what is read below was written by `unpack`.
        unsafe {
            unpack::<V, Q>(rows, row_bytes, start, count, unpacked.as_mut_ptr());
            let unpacked = unpacked.as_ptr();
            for (inputs, lanes) in inputs.chunks(STEP).zip(lanes.chunks_mut(STEP)) {
                match inputs.len() {
                    1 => multiply::<V, Q, 1>(unpacked, start, count, inputs, lanes),
                    2 => multiply::<V, Q, 2>(unpacked, start, count, inputs, lanes),
                    3 => multiply::<V, Q, 3>(unpacked, start, count, inputs, lanes),
                    _ => multiply::<V, Q, STEP>(unpacked, start, count, inputs, lanes),
                }
            }
        }
    }
    for (lanes, out) in lanes.iter().zip(out.chunks_exact_mut(rows.len() / row_bytes)) {
        let [l0, l1, l2, l3] = lanes;
        for (row, out) in out.iter_mut().enumerate() {
            *out = (l0[row] + l2[row]) + (l1[row] + l3[row]);
        }
    }
}

/// Adds the terms of the unpacked parts, the first of which is number `start`, to the lanes of `N` inputs.
///
/// Safety: as [`quant_tile`]; `count` parts are unpacked; `start` is a multiple of [`GROUP`].
#[inline(always)]
unsafe fn multiply<V: Sixteen, Q: QuantVector, const N: usize>(
    unpacked: *const Unpacked,
    start: usize,
    count: usize,
    inputs: &[Activations],
    lanes: &mut [[[f32; TILE]; GROUP]],
) {
    let (Some(inputs), Some(lanes)) = (inputs.first_chunk::<N>(), lanes.first_chunk_mut::<N>()) else {
        return;
    };
    // SAFETY: see above; an input's runs have all `start + count` parts.
    unsafe {
        let levels = inputs.each_ref().map(|input| input.levels().as_ptr().add(start));
        let input_scales = inputs.each_ref().map(|input| input.scales().as_ptr().add(start));
        let sums = inputs.each_ref().map(|input| input.sums().as_ptr().add(start));
        let scaled_sums = inputs.each_ref().map(|input| input.scaled_sums().as_ptr().add(start));
        let half_sums = inputs.each_ref().map(|input| input.half_sums().as_ptr().add(start / GROUP));
        for lane in 0..GROUP.min(count) {
            let mut totals = lanes.each_ref().map(|lanes| V::load(&lanes[lane]));
            for part in (lane..count).step_by(GROUP) {
                let weights = (&raw const (*unpacked).levels[part]).cast::<[[u8; RUN]; TILE]>();
                let scales = &(*unpacked).scales[part];
                let minima = &(*unpacked).minima[part];
                for input in 0..N {
                    let x = &*levels[input].add(part);
                    let input_scale = *input_scales[input].add(part);
                    let term = |half: usize, sum, input_sum: i32, scaled_sum: f32| {
                        let sum = V::floats(sum, input_sum * Q::zero::<V::Dot>());
                        let scale = V::multiply(V::load(&scales[half]), V::splat(input_scale));
                        let term = V::multiply(scale, sum);
                        if !Q::HAS_MINIMUM {
                            return term;
                        }
                        V::add(term, V::multiply(V::load(&minima[half]), V::splat(scaled_sum)))
                    };
                    let term = if Q::HALVES {
                        let halves = &*half_sums[input].add(part / GROUP);
                        let [first, second] = [0, 1].map(|half| {
                            let sum = dot::<V, Q>(weights, x, half * 4, 4);
                            term(half, sum, halves.sums[half][lane], halves.scaled[half][lane])
                        });
                        V::add(first, second)
                    } else {
                        let sum = dot::<V, Q>(weights, x, 0, 8);
                        term(0, sum, *sums[input].add(part), *scaled_sums[input].add(part))
                    };
                    totals[input] = V::add(totals[input], term);
                }
            }
            for (lanes, total) in lanes.iter_mut().zip(totals) {
                V::store(&mut lanes[lane], total);
            }
        }
    }
}

/// Products of `count` runs of weights from run `first` with those of `x`. Safety: `V`'s instructions; eight runs.
#[inline(always)]
unsafe fn dot<V: Sixteen, Q: QuantVector>(
    weights: *const [[u8; RUN]; TILE],
    x: &Levels,
    first: usize,
    count: usize,
) -> V::Integers {
    // SAFETY: see above.
    unsafe {
        let mut sum = V::zero();
        for run in first..first + count {
            sum = V::dot::<Q>(sum, &*weights.add(run), x.high.as_ptr().add(run * RUN));
        }
        sum = V::times_128(sum);
        for run in first..first + count {
            sum = V::dot::<Q>(sum, &*weights.add(run), x.low.as_ptr().add(run * RUN));
        }
        sum
    }
}
