//! How four parts of each weight format become 512-bit vectors, and the factors of four rows.
//!
//! Every `unsafe fn` needs AVX-512 F, AVX2 and F16C, and the blocks' bytes.

use core::arch::x86_64::*;

use super::formats::QuantVector;
use crate::activations::GROUP;
use crate::matrix::*;

/// A quantised format by groups of parts.
pub(in crate::kernels) trait GroupVector: QuantVector {
    /// The levels of four parts from `part`, or of `count` blocks of one part each: those of the first halves, then
    /// those of the second, each as `vpdpbusd` takes them. What stands for missing blocks
    /// is void.
    #[inline(always)]
    unsafe fn load_group(block: *const u8, part: usize, count: usize) -> [__m512i; 2] {
        // SAFETY: see the file's head, here and below.
        unsafe {
            let flip = _mm256_set1_epi8(if Self::SIGNED { -128 } else { 0 });
            let mut parts = [flip; GROUP];
            for (index, levels) in parts.iter_mut().enumerate() {
                let loaded = match Self::PARTS {
                    1 => Self::load(block.add(index.min(count - 1) * Self::BYTES), 0),
                    _ => Self::load(block, part + index),
                };
                *levels = _mm256_xor_si256(loaded, flip);
            }
            let [p0, p1, p2, p3] = parts;
            let first = _mm512_inserti64x4(_mm512_castsi256_si512(p0), p1, 1);
            let second = _mm512_inserti64x4(_mm512_castsi256_si512(p2), p3, 1);
            [
                _mm512_shuffle_i32x4(first, second, 0b10_00_10_00),
                _mm512_shuffle_i32x4(first, second, 0b11_01_11_01),
            ]
        }
    }

    /// Scales and minima of four parts from `part`, or of `count` blocks of one part, of four rows: for each part
    /// those of the rows side by side, 0 for missing blocks. Those of the first halves, then those of the second
    /// where halves have their own.
    #[inline(always)]
    unsafe fn quad_factors(blocks: [*const u8; 4], part: usize, count: usize) -> [(__m512, __m512); 2] {
        // SAFETY: see above; a block of one part begins with its scale, of 2 bytes, and its minimum where there is
        // one.
        unsafe {
            if Self::PARTS == 1 {
                let heads = match Self::BYTES {
                    20 if count == GROUP => heads_of_words::<5>(blocks),
                    _ => heads(blocks, Self::BYTES, count),
                };
                let scales = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(heads));
                let minima = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(heads, 16)));
                return [(scales, minima); 2];
            }
            let [f0, f1, f2, f3] = [
                Self::group_factors(blocks[0], part),
                Self::group_factors(blocks[1], part),
                Self::group_factors(blocks[2], part),
                Self::group_factors(blocks[3], part),
            ];
            let scales = transpose([f0.0, f1.0, f2.0, f3.0]);
            let minima = transpose([f0.1, f1.1, f2.1, f3.1]);
            [(scales[0], minima[0]), (scales[1], minima[1])]
        }
    }
}

macro_rules! groups {
    ($($format:ty $(, nibbles at $offset:literal)?;)*) => {$(
        impl GroupVector for $format {
            $(
                #[inline(always)]
                unsafe fn load_group(block: *const u8, _part: usize, count: usize) -> [__m512i; 2] {
                    // SAFETY: see above.
                    unsafe { nibbles_of_group(block.add($offset), Self::BYTES, count) }
                }
            )?
        }
    )*};
}

groups! {
    Q8_0;
    Q4_0, nibbles at 2;
    Q4_1, nibbles at 4;
    Q5_0;
    Q5_1;
    IQ4NL;
    Q2K;
    Q3K;
    Q4K;
    Q5K;
    Q6K;
    IQ4XS;
}

/// The low halves of 16 bytes of each of `count` blocks of `bytes` bytes, and the high halves.
#[inline(always)]
unsafe fn nibbles_of_group(block: *const u8, bytes: usize, count: usize) -> [__m512i; 2] {
    // SAFETY: see above.
    unsafe {
        let levels = |index: usize| _mm_loadu_si128(block.add(index.min(count - 1) * bytes).cast());
        let both = _mm512_castsi128_si512(levels(0));
        let both = _mm512_inserti32x4(both, levels(1), 1);
        let both = _mm512_inserti32x4(both, levels(2), 2);
        let both = _mm512_inserti32x4(both, levels(3), 3);
        let mask = _mm512_set1_epi8(15);
        [_mm512_and_si512(both, mask), _mm512_and_si512(_mm512_srli_epi32(both, 4), mask)]
    }
}

/// The first four bytes of `count` blocks of each row: for each block those of the rows side by side.
#[inline(always)]
unsafe fn heads(blocks: [*const u8; 4], bytes: usize, count: usize) -> __m512i {
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

/// As [`heads`], of four blocks of up to five words each: all four heads of a row are in one vector.
#[inline(always)]
unsafe fn heads_of_words<const WORDS: i32>(blocks: [*const u8; 4]) -> __m512i {
    // SAFETY: 64 bytes are no more than reach into the fourth block.
    unsafe {
        let rows = [
            _mm512_loadu_si512(blocks[0].cast()),
            _mm512_loadu_si512(blocks[1].cast()),
            _mm512_loadu_si512(blocks[2].cast()),
            _mm512_loadu_si512(blocks[3].cast()),
        ];
        let of_block = |index: i32| index * WORDS;
        let (b1, b2, b3) = (of_block(1), of_block(2), of_block(3));
        let order = _mm512_setr_epi32(
            0,
            16,
            0,
            16,
            b1,
            b1 + 16,
            b1,
            b1 + 16,
            b2,
            b2 + 16,
            b2,
            b2 + 16,
            b3,
            b3 + 16,
            b3,
            b3 + 16,
        );
        let first = _mm512_permutex2var_epi32(rows[0], order, rows[1]);
        let second = _mm512_permutex2var_epi32(rows[2], order, rows[3]);
        // The third and fourth of each four.
        _mm512_mask_blend_epi32(0b1100_1100_1100_1100, first, second)
    }
}

/// From four numbers of each row, twice, to those of all rows side by side.
#[inline(always)]
unsafe fn transpose([r0, r1, r2, r3]: [__m256; 4]) -> [__m512; 2] {
    // SAFETY: see above.
    unsafe {
        let join = |low, high| {
            let low = _mm512_castpd256_pd512(_mm256_castps_pd(low));
            _mm512_castpd_ps(_mm512_insertf64x4(low, _mm256_castps_pd(high), 1))
        };
        let (first, second) = (join(r0, r1), join(r2, r3));
        let order = _mm512_setr_epi32(0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27);
        let next = _mm512_add_epi32(order, _mm512_set1_epi32(4));
        [_mm512_permutex2var_ps(first, order, second), _mm512_permutex2var_ps(first, next, second)]
    }
}
