//! Sixteen rows unpacked: a vector holds four levels of each.

use core::arch::x86_64::*;

use super::{PARTS, RUN};
use crate::activations::GROUP;
use crate::kernels::x86::formats::{DotProduct, QuantVector, both};
use crate::kernels::x86::sixteen::Sixteen;
use crate::matrix::BLOCK;
use crate::tiles::TILE;

/// Unpacked parts of sixteen rows.
#[repr(C, align(64))]
pub(super) struct Unpacked {
    /// For each part and four of its columns: those levels of each row.
    pub(super) levels: [[[[u8; RUN]; TILE]; BLOCK / RUN]; PARTS],
    /// For each part and half the rows' scales.
    pub(super) scales: [[[f32; TILE]; 2]; PARTS],
    pub(super) minima: [[[f32; TILE]; 2]; PARTS],
}

/// Unpacks parts `start .. start + count` of all rows; the last row stands in for those missing.
///
/// Safety: as `quant_tile`; the rows have the parts.
#[inline(always)]
pub(super) unsafe fn unpack<V: Sixteen, Q: QuantVector>(
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
                let rows = &blocks[half * TILE / 2..];
                let (mut first, mut second) = ([_mm256_setzero_si256(); RUN], [_mm256_setzero_si256(); RUN]);
                if let Some(pairs) = Q::PAIRS {
                    // Levels are split when they stand where they belong: half as many moves.
                    for row in 0..TILE / 4 {
                        first[row] = both([rows[row], rows[row + TILE / 4]], pairs);
                    }
                    for (column, pairs) in transpose(first).into_iter().enumerate() {
                        [first[column], second[column]] = Q::split(pairs);
                    }
                } else {
                    for row in 0..TILE / 4 {
                        let levels = Q::load([rows[row], rows[row + TILE / 4]], part);
                        first[row] = levels[0];
                        second[row] = levels[1];
                    }
                    (first, second) = (transpose(first), transpose(second));
                }
                for (run, column) in first.into_iter().chain(second).enumerate() {
                    let to = (&raw mut (*unpacked).levels[index][run]).cast::<__m256i>().add(half);
                    _mm256_store_si256(to, _mm256_xor_si256(column, flip));
                }
            }
            let (scales, minima) = (&raw mut (*unpacked).scales[index], &raw mut (*unpacked).minima[index]);
            if Q::PARTS == 1 {
                store_heads::<Q>(&blocks, scales.cast(), minima.cast());
            } else if part.is_multiple_of(GROUP) {
                for (quad, blocks) in blocks.as_chunks().0.iter().enumerate() {
                    let factors = Q::factors(*blocks, part);
                    for half in 0..if Q::HALVES { 2 } else { 1 } {
                        factors.store(half, 4 * quad, scales, minima);
                    }
                }
            }
        }
    }
}

/// Stores the binary16 of each block's first word as f32, and that of the second where there is a minimum. Safety: AVX2
/// and F16C; a block at each pointer.
#[inline(always)]
unsafe fn store_heads<Q: QuantVector>(
    blocks: &[*const u8; TILE],
    scales: *mut [f32; TILE],
    minima: *mut [f32; TILE],
) {
    // SAFETY: see above; a block has more than four bytes.
    unsafe {
        for (eight, blocks) in blocks.as_chunks::<8>().0.iter().enumerate() {
            let heads = |four: &[*const u8]| {
                let pair = |first: *const u8, second: *const u8| {
                    _mm_unpacklo_epi32(_mm_loadu_si32(first), _mm_loadu_si32(second))
                };
                _mm_unpacklo_epi64(pair(four[0], four[1]), pair(four[2], four[3]))
            };
            let (first, second) = (heads(&blocks[..4]), heads(&blocks[4..]));
            let low = _mm_set1_epi32(0xffff);
            let words = _mm_packus_epi32(_mm_and_si128(first, low), _mm_and_si128(second, low));
            _mm256_storeu_ps((*scales).as_mut_ptr().add(8 * eight), _mm256_cvtph_ps(words));
            if Q::HAS_MINIMUM {
                let words = _mm_packus_epi32(_mm_srli_epi32(first, 16), _mm_srli_epi32(second, 16));
                _mm256_storeu_ps((*minima).as_mut_ptr().add(8 * eight), _mm256_cvtph_ps(words));
            }
        }
    }
}

/// The transpose of 4 rows of 4 words, in both halves. Safety: AVX2.
#[inline(always)]
unsafe fn transpose([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
    // SAFETY: see above.
    unsafe {
        let (ab_first, ab_last) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (cd_first, cd_last) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        [
            _mm256_unpacklo_epi64(ab_first, cd_first),
            _mm256_unpackhi_epi64(ab_first, cd_first),
            _mm256_unpacklo_epi64(ab_last, cd_last),
            _mm256_unpackhi_epi64(ab_last, cd_last),
        ]
    }
}
