//! Tiles of sixteen rows times vectors: the bytes side by side in a tile are multiplied with four bytes of each input.
//!
//! The sums of all four lanes of a few inputs stay in registers over a tile's whole length.

mod prefetch;

use core::hint::black_box;
use core::ops::Range;

use super::Isa;
use super::dot::{Avx2, AvxVnni, DotProduct as _};
use super::formats::{RUN, RUNS, TileFormat};
use super::sixteen::{Halves, Sixteen, Whole};
use crate::activations::{Activations, GROUP, Group};
use crate::tiles::TILE;
use crate::{each_tile, portable};
use prefetch::{Prefetch, Rate};

/// Inputs multiplied with the same registers of weights.
const STEP: usize = 4;

/// As [`portable::quant_rows`], for rows in tiles but for the last ones that fill none.
pub(crate) fn quant_rows<Q: TileFormat>(
    isa: Isa,
    rows: &[u8],
    row_bytes: usize,
    inputs: &[Activations],
    out: &mut [f32],
) {
    let blocks = row_bytes / Q::BYTES;
    for input in inputs {
        assert!(input.groups().len() * GROUP >= blocks * Q::SUB_BLOCKS, "blocks of the input");
    }
    assert!(row_bytes * (out.len() / inputs.len()) == rows.len(), "bytes of the rows");
    let whole = out.len() / (TILE * inputs.len());
    let (tiles, rest) = rows.split_at(whole * TILE * row_bytes);
    let (tiles_out, rest_out) = out.split_at_mut(whole * TILE * inputs.len());
    // SAFETY: an `Isa` exists only where the processor and the system have its instructions; the inputs have as many
    // sub-blocks as a row, each tile as many blocks, and its sub-block of `out` sixteen results for each input.
    unsafe {
        match isa {
            Isa::Avx2 => tiles_avx2::<Q>(tiles, blocks, inputs, tiles_out),
            Isa::AvxVnni => tiles_avx_vnni::<Q>(tiles, blocks, inputs, tiles_out),
            Isa::Avx512Vnni => tiles_avx512_vnni::<Q>(tiles, blocks, inputs, tiles_out),
        }
    }
    each_tile(rest, row_bytes, inputs, rest_out, portable::quant_rows::<Q>);
}

// The instances of the function below.
#[target_feature(enable = "avx2,f16c")]
unsafe fn tiles_avx2<Q: TileFormat>(tiles: &[u8], blocks: usize, x: &[Activations], out: &mut [f32]) {
    // SAFETY: passed on to the caller.
    unsafe { quant_tiles::<Halves<Avx2>, Q>(tiles, blocks, x, out) }
}

#[target_feature(enable = "avx2,f16c,avxvnni")]
unsafe fn tiles_avx_vnni<Q: TileFormat>(tiles: &[u8], blocks: usize, x: &[Activations], out: &mut [f32]) {
    // SAFETY: passed on to the caller.
    unsafe { quant_tiles::<Halves<AvxVnni>, Q>(tiles, blocks, x, out) }
}

#[target_feature(enable = "avx2,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tiles_avx512_vnni<Q: TileFormat>(tiles: &[u8], blocks: usize, x: &[Activations], out: &mut [f32]) {
    // SAFETY: passed on to the caller.
    unsafe { quant_tiles::<Whole, Q>(tiles, blocks, x, out) }
}

/// Tiles one after the other. Safety: the processor has `V`'s instructions and F16C; each tile holds sixteen rows of
/// `blocks` blocks of `Q`, each input as many sub-blocks, and `out` sixteen floats for each tile and input.
#[inline(always)]
unsafe fn quant_tiles<V: Sixteen, Q: TileFormat>(
    tiles: &[u8],
    blocks: usize,
    inputs: &[Activations],
    out: &mut [f32],
) {
    // The compiler would make one run of instructions of four sub-blocks if it knew that rows are multiples of them,
    // and load all that these need before it multiplies.
    let sub_blocks = black_box(blocks * Q::SUB_BLOCKS);
    let bytes = TILE * blocks * Q::BYTES;
    let rate = Rate::new(bytes, sub_blocks * inputs.len().div_ceil(STEP));
    for (tile, out) in tiles.chunks_exact(bytes).zip(out.chunks_exact_mut(TILE * inputs.len())) {
        let mut prefetch = Prefetch::behind(tile, rate);
        for (inputs, out) in inputs.chunks(STEP).zip(out.chunks_mut(STEP * TILE)) {
            // SAFETY: see above.
            unsafe {
                match inputs.len() {
                    1 => multiply::<V, Q, 1>(tile.as_ptr(), sub_blocks, inputs, out, &mut prefetch),
                    2 => multiply::<V, Q, 2>(tile.as_ptr(), sub_blocks, inputs, out, &mut prefetch),
                    3 => multiply::<V, Q, 3>(tile.as_ptr(), sub_blocks, inputs, out, &mut prefetch),
                    _ => multiply::<V, Q, STEP>(tile.as_ptr(), sub_blocks, inputs, out, &mut prefetch),
                }
            }
        }
    }
}

/// A tile of `sub_blocks` sub-blocks times `N` inputs. Safety: as [`quant_tiles`], for this tile.
#[inline(always)]
unsafe fn multiply<V: Sixteen, Q: TileFormat, const N: usize>(
    tile: *const u8,
    sub_blocks: usize,
    inputs: &[Activations],
    out: &mut [f32],
    prefetch: &mut Prefetch,
) {
    let Some(inputs) = inputs.first_chunk::<N>() else { return };
    // SAFETY: see above; an input has all sub-blocks, in whole groups.
    unsafe {
        let groups = inputs.each_ref().map(|input| input.groups().as_ptr());
        let mut totals = [[V::splat(0.0); N]; GROUP];
        let [totals_0, totals_1, totals_2, totals_3] = &mut totals;
        for first in (0..sub_blocks).step_by(GROUP) {
            let x = groups.map(|groups| &*groups.add(first / GROUP));
            // Not as a loop, so that all sums stay in registers.
            add_part::<V, Q, N>(tile, first, x, 0, totals_0);
            prefetch.issue();
            if first + 1 == sub_blocks {
                break;
            }
            add_part::<V, Q, N>(tile, first + 1, x, 1, totals_1);
            prefetch.issue();
            if first + 2 == sub_blocks {
                break;
            }
            add_part::<V, Q, N>(tile, first + 2, x, 2, totals_2);
            prefetch.issue();
            if first + 3 == sub_blocks {
                break;
            }
            add_part::<V, Q, N>(tile, first + 3, x, 3, totals_3);
            prefetch.issue();
        }
        for (input, out) in out.as_chunks_mut().0.iter_mut().enumerate().take(N) {
            let even = V::add(totals[0][input], totals[2][input]);
            let total = V::add(even, V::add(totals[1][input], totals[3][input]));
            V::store(out, V::multiply(total, V::splat(inputs[input].scale())));
        }
    }
}

/// Adds the terms of sub-block `sub_block` of the rows to the sums of `N` inputs, in whose groups it is sub-block
/// `lane`.
///
/// Safety: as [`multiply`]; the sub-block is there.
#[inline(always)]
unsafe fn add_part<V: Sixteen, Q: TileFormat, const N: usize>(
    tile: *const u8,
    sub_block: usize,
    inputs: [&Group; N],
    lane: usize,
    totals: &mut [V::Floats; N],
) {
    // SAFETY: see above.
    unsafe {
        let (block, sub_block) =
            (tile.add(sub_block / Q::SUB_BLOCKS * TILE * Q::BYTES), sub_block % Q::SUB_BLOCKS);
        if Q::HALVES {
            let first = products::<V, Q, N>(block, sub_block, inputs, lane, 0..1);
            let first = terms::<V, Q, N>(block, sub_block, 0, first, inputs.map(|x| x.half_sums[0][lane]));
            let second = products::<V, Q, N>(block, sub_block, inputs, lane, 1..2);
            let second = terms::<V, Q, N>(block, sub_block, 1, second, inputs.map(|x| x.half_sums[1][lane]));
            for input in 0..N {
                totals[input] = V::add(totals[input], V::add(first[input], second[input]));
            }
        } else {
            let products = products::<V, Q, N>(block, sub_block, inputs, lane, 0..2);
            let terms = terms::<V, Q, N>(block, sub_block, 0, products, inputs.map(|x| x.sums[lane]));
            for input in 0..N {
                totals[input] = V::add(totals[input], terms[input]);
            }
        }
    }
}

/// The terms of `N` inputs' products of a half, or of both, with the factors of half `half`: `sums` are those of the
/// inputs' levels there.
///
/// Safety: as [`add_part`].
#[inline(always)]
unsafe fn terms<V: Sixteen, Q: TileFormat, const N: usize>(
    block: *const u8,
    sub_block: usize,
    half: usize,
    products: [V::Words; N],
    sums: [i32; N],
) -> [V::Floats; N] {
    // SAFETY: see above.
    unsafe {
        let factors = Q::factors::<V>(block, sub_block, half);
        let mut terms = [V::splat(0.0); N];
        for input in 0..N {
            let zeros = V::splat_word(sums[input] * Q::zero::<V::Dot>());
            let term = V::multiply(factors.scales, V::to_floats(V::subtract(products[input], zeros)));
            terms[input] = match Q::HAS_MINIMUM {
                true => V::add(term, V::multiply(factors.minima, V::splat(sums[input] as f32))),
                false => term,
            };
        }
        terms
    }
}

/// The products of some halves of a sub-block with those of block `lane` of `N` inputs, each row's summed.
///
/// Input by input within a run of columns: their sums do not wait for each other.
///
/// Safety: as [`add_part`].
#[inline(always)]
unsafe fn products<V: Sixteen, Q: TileFormat, const N: usize>(
    block: *const u8,
    sub_block: usize,
    inputs: [&Group; N],
    lane: usize,
    halves: Range<usize>,
) -> [V::Words; N] {
    // SAFETY: see above.
    unsafe {
        let flip =
            V::splat_word(if Q::SIGNED { i32::from_ne_bytes([V::Dot::SIGNED_ZERO as u8; 4]) } else { 0 });
        let (mut high, mut low) = ([V::splat_word(0); N], [V::splat_word(0); N]);
        for run in 0..RUNS {
            for half in halves.clone() {
                let levels = V::xor(Q::load::<V>(block, sub_block, half, run), flip);
                for input in 0..N {
                    let x = inputs[input].high[half][lane].as_ptr().add(run * RUN);
                    high[input] = V::dot(high[input], levels, x, Q::SIGNED);
                }
                for input in 0..N {
                    let x = inputs[input].low[half][lane].as_ptr().add(run * RUN);
                    low[input] = V::dot(low[input], levels, x, Q::SIGNED);
                }
            }
        }
        for input in 0..N {
            high[input] = V::add_words(V::shift_left(high[input], 7), low[input]);
        }
        high
    }
}
