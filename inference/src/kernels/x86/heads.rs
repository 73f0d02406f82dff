//! The first two words of each of the blocks that four rows have in a group: scale and minimum of formats with one part
//! to a block. For each block those of the rows stand side by side.
//!
//! Every `unsafe fn` needs AVX-512 F, BW and VL, and the blocks' bytes.

use core::arch::x86_64::*;

use super::groups::lanes;
use crate::activations::GROUP;

/// The first words of `count` blocks of `bytes` bytes, and the second; 0 for missing blocks.
#[inline(always)]
pub(super) unsafe fn heads(blocks: [*const u8; 4], bytes: usize, count: usize) -> (__m256i, __m256i) {
    // SAFETY: see the file's head, here and below.
    unsafe {
        match (bytes, count) {
            (18, GROUP) => near_heads::<9>(blocks),
            (20, GROUP) => near_heads::<10>(blocks),
            // Formats with fifth bits, for which the lanes are loaded anyway.
            (22..=24, _) => split(heads_of_lanes(blocks, bytes, count)),
            _ => split(heads_of_any(blocks, bytes, count)),
        }
    }
}

/// The first two words of `count` blocks.
#[inline(always)]
unsafe fn heads_of_any(blocks: [*const u8; 4], bytes: usize, count: usize) -> __m512i {
    // SAFETY: see above.
    unsafe {
        let mut heads = _mm512_setzero_si512();
        for index in 0..count {
            for (row, block) in blocks.iter().enumerate() {
                let head = _mm_loadu_si32(block.add(index * bytes));
                heads = _mm512_mask_broadcastd_epi32(heads, 1 << (index * 4 + row), head);
            }
        }
        heads
    }
}

/// As [`heads_of_any`], from [`lanes`] that are there for the levels' sake.
#[inline(always)]
unsafe fn heads_of_lanes(blocks: [*const u8; 4], bytes: usize, count: usize) -> __m512i {
    // SAFETY: see above.
    unsafe {
        let [r0, r1, r2, r3] = [
            lanes(blocks[0], bytes, count),
            lanes(blocks[1], bytes, count),
            lanes(blocks[2], bytes, count),
            lanes(blocks[3], bytes, count),
        ];
        let (first, second) = (_mm512_unpacklo_epi32(r0, r1), _mm512_unpacklo_epi32(r2, r3));
        let there = ((1_u32 << (2 * count)) - 1) as u8;
        _mm512_maskz_unpacklo_epi64(there, first, second)
    }
}

/// The first words and the second.
#[inline(always)]
unsafe fn split(heads: __m512i) -> (__m256i, __m256i) {
    // SAFETY: see above.
    unsafe { (_mm512_cvtepi32_epi16(heads), _mm512_cvtepi32_epi16(_mm512_srli_epi32(heads, 16))) }
}

/// Those of four blocks of `WORDS` words, [`split`]: all four heads of a row are in one vector.
#[inline(always)]
unsafe fn near_heads<const WORDS: usize>(blocks: [*const u8; 4]) -> (__m256i, __m256i) {
    // SAFETY: 64 bytes are no more than reach into the fourth block.
    unsafe {
        let rows = [
            _mm512_loadu_si512(blocks[0].cast()),
            _mm512_loadu_si512(blocks[1].cast()),
            _mm512_loadu_si512(blocks[2].cast()),
            _mm512_loadu_si512(blocks[3].cast()),
        ];
        let order = const { &head_words(WORDS) };
        let order = _mm512_loadu_si512(order.as_ptr().cast());
        let first = _mm512_permutex2var_epi16(rows[0], order, rows[1]);
        let second = _mm512_permutex2var_epi16(rows[2], order, rows[3]);
        // The third and fourth of each four.
        let heads = _mm512_mask_blend_epi16(0xcccc_cccc, first, second);
        (_mm512_castsi512_si256(heads), _mm512_extracti64x4_epi64(heads, 1))
    }
}

/// Where in two rows, twice, the first words of four blocks of `words` words are, then the second words.
const fn head_words(words: usize) -> [i16; 32] {
    let mut order = [0; 32];
    let mut index = 0;
    while index < order.len() {
        let (block, row, word) = (index % 16 / 4, index % 2, index / 16);
        order[index] = (row * 32 + block * words + word) as i16;
        index += 1;
    }
    order
}
