//! Sixteen rows times many vectors: the rows' levels are unpacked once, interleaved so that a vector holds four
//! levels of each row, and then multiplied with every input.
//!
//! A lane of the results is finished before the next begins, so that one sum for each input is in registers.

use core::arch::x86_64::*;

use super::formats::{Avx2, Avx512Vnni, AvxVnni, DotProduct, QuantVector};
use super::{Isa, check_input};
use crate::activations::{Activations, GROUP, Levels};
use crate::matrix::BLOCK;
use crate::tiles::TILE;

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

/// Unpacked parts of sixteen rows.
#[repr(C, align(64))]
struct Unpacked {
    /// For each part and four of its columns: those levels of each row.
    levels: [[[[u8; RUN]; TILE]; BLOCK / RUN]; PARTS],
    /// For each part and half the rows' scales.
    scales: [[[f32; TILE]; 2]; PARTS],
    minima: [[[f32; TILE]; 2]; PARTS],
}

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

/// Unpacks parts `start .. start + count` of all rows; the last row stands in for those missing.
///
/// Safety: as [`quant_tile`]; the rows have the parts.
#[inline(always)]
unsafe fn unpack<V: Sixteen, Q: QuantVector>(
    rows: &[u8],
    row_bytes: usize,
    start: usize,
    count: usize,
    unpacked: *mut Unpacked,
) {
    let last = rows.len() / row_bytes - 1;
    for index in 0..count {
        let (block, part) = ((start + index) / Q::PARTS * Q::BYTES, (start + index) % Q::PARTS);
        // SAFETY: see above; the rows' blocks lie inside `rows`, and `index` is below `PARTS`.
        unsafe {
            // Loops instead of closures, which would not be compiled for the instructions.
            let mut blocks = [rows.as_ptr(); TILE];
            for (row, block_of_row) in blocks.iter_mut().enumerate() {
                *block_of_row = rows.as_ptr().add(row.min(last) * row_bytes + block);
            }
            let flip = _mm256_set1_epi8(if Q::SIGNED { V::Dot::SIGNED_ZERO as u8 as i8 } else { 0 });
            for half in 0..2 {
                let mut levels = [flip; TILE / 2];
                for (row, levels) in levels.iter_mut().enumerate() {
                    *levels = _mm256_xor_si256(Q::load(blocks[half * TILE / 2 + row], part), flip);
                }
                let columns = transpose(levels);
                for (run, column) in columns.iter().enumerate() {
                    let to = (&raw mut (*unpacked).levels[index][run]).cast::<__m256i>().add(half);
                    _mm256_store_si256(to, *column);
                }
            }
            let (scales, minima) = (&raw mut (*unpacked).scales[index], &raw mut (*unpacked).minima[index]);
            if Q::PARTS == 1 {
                store_halves(scales.cast(), &blocks, 0);
                if Q::HAS_MINIMUM {
                    store_halves(minima.cast(), &blocks, 2);
                }
            } else {
                for (row, block) in blocks.into_iter().enumerate() {
                    let block = core::slice::from_raw_parts(block, Q::BYTES);
                    let (row_scales, row_minima) = (Q::scales(block, part), Q::minima(block, part));
                    for half in 0..if Q::HALVES { 2 } else { 1 } {
                        (*scales)[half][row] = row_scales[half];
                        (*minima)[half][row] = row_minima[half];
                    }
                }
            }
        }
    }
}

/// Stores the binary16 at byte `offset` of each block as f32. Safety: AVX and F16C; a block at each pointer, room
/// for 16 floats.
#[inline(always)]
unsafe fn store_halves(to: *mut f32, blocks: &[*const u8; TILE], offset: usize) {
    // SAFETY: see above.
    unsafe {
        let mut halves = [0u16; TILE];
        for (half, block) in halves.iter_mut().zip(blocks) {
            *half = block.add(offset).cast::<u16>().read_unaligned();
        }
        for eight in 0..2 {
            let eight = eight * 8;
            _mm256_storeu_ps(
                to.add(eight),
                _mm256_cvtph_ps(_mm_loadu_si128(halves.as_ptr().add(eight).cast())),
            );
        }
    }
}

/// The transpose of 8 rows of 8 words. Safety: AVX2.
#[inline(always)]
unsafe fn transpose(rows: [__m256i; 8]) -> [__m256i; 8] {
    // SAFETY: see above.
    unsafe {
        let mut out = rows;
        // Words of two rows, then of four, by turns, then the halves of both fours.
        for i in 0..4 {
            let (a, b) = (rows[2 * i], rows[2 * i + 1]);
            (out[2 * i], out[2 * i + 1]) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        }
        let pairs = out;
        for i in 0..2 {
            for j in 0..2 {
                let (a, b) = (pairs[4 * i + j], pairs[4 * i + 2 + j]);
                out[4 * i + 2 * j] = _mm256_unpacklo_epi64(a, b);
                out[4 * i + 2 * j + 1] = _mm256_unpackhi_epi64(a, b);
            }
        }
        let fours = out;
        for i in 0..4 {
            out[i] = _mm256_permute2x128_si256(fours[i], fours[4 + i], 0x20);
            out[4 + i] = _mm256_permute2x128_si256(fours[i], fours[4 + i], 0x31);
        }
        out
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

/// One number for each of sixteen rows. All functions need the instructions.
trait Sixteen {
    /// The dot product it is made of.
    type Dot: DotProduct;
    type Integers: Copy;
    type Floats: Copy;

    unsafe fn zero() -> Self::Integers;
    /// Adds the products of each row's four levels with the four bytes at `x`.
    unsafe fn dot<Q: QuantVector>(
        sum: Self::Integers,
        weights: &[[u8; RUN]; TILE],
        x: *const i8,
    ) -> Self::Integers;
    unsafe fn times_128(sum: Self::Integers) -> Self::Integers;
    /// `sum - offset`, as floats.
    unsafe fn floats(sum: Self::Integers, offset: i32) -> Self::Floats;
    unsafe fn splat(value: f32) -> Self::Floats;
    unsafe fn load(values: &[f32; TILE]) -> Self::Floats;
    unsafe fn store(values: &mut [f32; TILE], floats: Self::Floats);
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats;
}

/// A 512-bit vector.
struct Whole;
/// Two 256-bit vectors.
struct Halves<D>(core::marker::PhantomData<D>);

impl Sixteen for Whole {
    type Dot = Avx512Vnni;
    type Integers = __m512i;
    type Floats = __m512;

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        // SAFETY: the caller has AVX-512, here and below.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn dot<Q: QuantVector>(sum: __m512i, weights: &[[u8; RUN]; TILE], x: *const i8) -> __m512i {
        // SAFETY: 64 bytes of weights, four of `x`.
        unsafe {
            let x = _mm512_set1_epi32(x.cast::<i32>().read_unaligned());
            _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(weights.as_ptr().cast()), x)
        }
    }

    #[inline(always)]
    unsafe fn times_128(sum: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_slli_epi32(sum, 7) }
    }

    #[inline(always)]
    unsafe fn floats(sum: __m512i, offset: i32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, _mm512_set1_epi32(offset))) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(values: &[f32; TILE]) -> __m512 {
        // SAFETY: sixteen floats.
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store(values: &mut [f32; TILE], floats: __m512) {
        // SAFETY: sixteen floats.
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), floats) }
    }

    #[inline(always)]
    unsafe fn multiply(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_add_ps(a, b) }
    }
}

impl<D: DotProduct> Sixteen for Halves<D> {
    type Dot = D;
    type Integers = [__m256i; 2];
    type Floats = [__m256; 2];

    #[inline(always)]
    unsafe fn zero() -> [__m256i; 2] {
        // SAFETY: the caller has AVX2, here and below.
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    #[inline(always)]
    unsafe fn dot<Q: QuantVector>(
        [first, second]: [__m256i; 2],
        weights: &[[u8; RUN]; TILE],
        x: *const i8,
    ) -> [__m256i; 2] {
        // SAFETY: 64 bytes of weights, four of `x`.
        unsafe {
            let x = _mm256_set1_epi32(x.cast::<i32>().read_unaligned());
            let weights = weights.as_ptr().cast::<__m256i>();
            [
                D::step(first, _mm256_loadu_si256(weights), x, Q::SIGNED),
                D::step(second, _mm256_loadu_si256(weights.add(1)), x, Q::SIGNED),
            ]
        }
    }

    #[inline(always)]
    unsafe fn times_128(sum: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: see above.
        sum.map(|sum| unsafe { _mm256_slli_epi32(sum, 7) })
    }

    #[inline(always)]
    unsafe fn floats(sum: [__m256i; 2], offset: i32) -> [__m256; 2] {
        // SAFETY: see above.
        sum.map(|sum| unsafe { _mm256_cvtepi32_ps(_mm256_sub_epi32(sum, _mm256_set1_epi32(offset))) })
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> [__m256; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_set1_ps(value); 2] }
    }

    #[inline(always)]
    unsafe fn load(values: &[f32; TILE]) -> [__m256; 2] {
        // SAFETY: sixteen floats.
        unsafe { [_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(8))] }
    }

    #[inline(always)]
    unsafe fn store(values: &mut [f32; TILE], [first, second]: [__m256; 2]) {
        // SAFETY: sixteen floats.
        unsafe {
            _mm256_storeu_ps(values.as_mut_ptr(), first);
            _mm256_storeu_ps(values.as_mut_ptr().add(8), second);
        }
    }

    #[inline(always)]
    unsafe fn multiply(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }

    #[inline(always)]
    unsafe fn add(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
    }
}
