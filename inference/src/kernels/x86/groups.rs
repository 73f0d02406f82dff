//! How four parts of each weight format become 512-bit vectors, a lane of 128 bits for each part, and the factors of
//! four rows.
//!
//! Every `unsafe fn` needs AVX-512 F and BW, AVX2 and F16C, and the blocks' bytes.

use core::arch::x86_64::*;

use super::formats::QuantVector;
use super::heads::heads;
use crate::matrix::*;

/// A quantised format by groups of parts.
pub(in crate::kernels) trait GroupVector: QuantVector {
    /// The levels of four parts from `part`, or of `count` blocks of one part each: those of the first halves, then
    /// those of the second, each as `vpdpbusd` takes them. What stands for missing blocks
    /// is void.
    unsafe fn load_group(block: *const u8, part: usize, count: usize) -> [__m512i; 2];

    /// Scales and minima of four parts from `part`, or of `count` blocks of one part, of four rows: for each part
    /// those of the rows side by side, 0 for missing blocks. Those of the first halves, then those of the second
    /// where halves have their own.
    #[inline(always)]
    unsafe fn quad_factors(blocks: [*const u8; 4], part: usize, count: usize) -> [(__m512, __m512); 2] {
        // SAFETY: see the file's head, here and below; a block of one part begins with its scale, of 2 bytes, and its
        // minimum where there is one.
        unsafe {
            if Self::PARTS > 1 {
                return Self::factors(blocks, part).by_part();
            }
            let (scales, minima) = heads(blocks, Self::BYTES, count);
            [(_mm512_cvtph_ps(scales), _mm512_cvtph_ps(minima)); 2]
        }
    }
}

macro_rules! group_vectors {
    ($($format:ty, |$block:ident, $part:ident, $count:ident| $load:expr;)*) => {$(
        impl GroupVector for $format {
            #[inline(always)]
            unsafe fn load_group($block: *const u8, $part: usize, $count: usize) -> [__m512i; 2] {
                // SAFETY: see above.
                unsafe { $load }
            }
        }
    )*};
}

group_vectors! {
    Q8_0, |block, _part, count| flipped(runs(block.add(2), Self::BYTES, count));
    Q4_0, |block, _part, count| nibbles(lanes(block.add(2), Self::BYTES, count));
    Q4_1, |block, _part, count| nibbles(lanes(block.add(4), Self::BYTES, count));
    Q5_0, |block, _part, count| with_fifth_bits::<2>(
        nibbles(lanes(block.add(6), Self::BYTES, count)),
        lanes(block, Self::BYTES, count),
    );
    Q5_1, |block, _part, count| with_fifth_bits::<4>(
        nibbles(lanes(block.add(8), Self::BYTES, count)),
        lanes(block, Self::BYTES, count),
    );
    IQ4NL, |block, _part, count| uneven(nibbles(lanes(block.add(2), Self::BYTES, count)));
    Q2K, |block, part, _count| bit_pairs::<0>(block.add(16 + 8 * part));
    Q3K, |block, part, _count| with_bits(bit_pairs::<0>(block.add(32 + 8 * part)), block, part, 4);
    Q4K, |block, part, _count| nibbles_by_turns(block.add(16 + 16 * part));
    Q5K, |block, part, _count| {
        with_bits(nibbles_by_turns(block.add(48 + 16 * part)), block.add(16), part, 16)
    };
    Q6K, |block, part, _count| {
        let [low_first, low_second] = nibbles_by_pairs(block.add(16 * part));
        let [high_first, high_second] = bit_pairs::<4>(block.add(128 + 8 * part));
        [
            _mm512_or_si512(low_first, high_first),
            _mm512_or_si512(low_second, high_second),
        ]
    };
    IQ4XS, |block, part, _count| uneven(nibbles(_mm512_loadu_si512(block.add(8 + 16 * part).cast())));
}

/// 16 bytes of each of `count` blocks of `bytes` bytes.
#[inline(always)]
pub(super) unsafe fn lanes(block: *const u8, bytes: usize, count: usize) -> __m512i {
    // SAFETY: see above.
    unsafe {
        let block = |index: usize| block.add(index.min(count - 1) * bytes).cast();
        let first = _mm256_loadu2_m128i(block(1), block(0));
        let second = _mm256_loadu2_m128i(block(3), block(2));
        _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1)
    }
}

/// The halves of 32 bytes of each of `count` blocks of `bytes` bytes.
#[inline(always)]
unsafe fn runs(block: *const u8, bytes: usize, count: usize) -> [__m512i; 2] {
    // SAFETY: see above.
    unsafe {
        let run = |index: usize| _mm256_loadu_si256(block.add(index.min(count - 1) * bytes).cast());
        let first = _mm512_inserti64x4(_mm512_castsi256_si512(run(0)), run(1), 1);
        let second = _mm512_inserti64x4(_mm512_castsi256_si512(run(2)), run(3), 1);
        [
            _mm512_shuffle_i32x4(first, second, 0b10_00_10_00),
            _mm512_shuffle_i32x4(first, second, 0b11_01_11_01),
        ]
    }
}

/// The low halves of bytes, and the high halves.
#[inline(always)]
unsafe fn nibbles(both: __m512i) -> [__m512i; 2] {
    // SAFETY: see above.
    unsafe {
        let mask = _mm512_set1_epi8(15);
        [_mm512_and_si512(both, mask), _mm512_and_si512(_mm512_srli_epi32(both, 4), mask)]
    }
}

/// The nibbles of two runs of 32 bytes: the low ones of the first, its high ones, then those of the second.
#[inline(always)]
unsafe fn nibbles_by_turns(runs: *const u8) -> [__m512i; 2] {
    // SAFETY: see above.
    unsafe {
        let runs = _mm512_loadu_si512(runs.cast());
        let (first, second) = (
            _mm512_shuffle_i32x4(runs, runs, 0b10_10_00_00),
            _mm512_shuffle_i32x4(runs, runs, 0b11_11_01_01),
        );
        let shifts = _mm512_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4, 0, 0, 0, 0, 4, 4, 4, 4);
        let mask = _mm512_set1_epi8(15);
        [
            _mm512_and_si512(_mm512_srlv_epi32(first, shifts), mask),
            _mm512_and_si512(_mm512_srlv_epi32(second, shifts), mask),
        ]
    }
}

/// The low nibbles of two runs of 32 bytes, then the high ones.
#[inline(always)]
unsafe fn nibbles_by_pairs(runs: *const u8) -> [__m512i; 2] {
    // SAFETY: see above.
    unsafe {
        let [low, high] = nibbles(_mm512_loadu_si512(runs.cast()));
        [_mm512_shuffle_i32x4(low, high, 0b10_00_10_00), _mm512_shuffle_i32x4(low, high, 0b11_01_11_01)]
    }
}

/// Two bits of each of 32 bytes, four times, at `SHIFT` of their bytes.
#[inline(always)]
unsafe fn bit_pairs<const SHIFT: i32>(run: *const u8) -> [__m512i; 2] {
    // SAFETY: see above.
    unsafe {
        let [first, second] = halves(run);
        let [t0, t1, t2, t3] = [SHIFT, SHIFT - 2, SHIFT - 4, SHIFT - 6];
        let turns = _mm512_setr_epi32(t0, t0, t0, t0, t1, t1, t1, t1, t2, t2, t2, t2, t3, t3, t3, t3);
        let mask = _mm512_set1_epi8(3 << SHIFT);
        [
            _mm512_and_si512(_mm512_rolv_epi32(first, turns), mask),
            _mm512_and_si512(_mm512_rolv_epi32(second, turns), mask),
        ]
    }
}

/// The halves of a run of 32 bytes, in every lane.
#[inline(always)]
unsafe fn halves(run: *const u8) -> [__m512i; 2] {
    // SAFETY: see above.
    unsafe {
        let half = |half: usize| _mm512_broadcast_i32x4(_mm_loadu_si128(run.add(16 * half).cast()));
        [half(0), half(1)]
    }
}

/// Adds `worth` to the levels of parts from `part` for which the part's bit is set in the run's byte.
#[inline(always)]
unsafe fn with_bits(levels: [__m512i; 2], run: *const u8, part: usize, worth: i8) -> [__m512i; 2] {
    // SAFETY: see above.
    unsafe {
        let bytes = |bit: u8| i32::from_ne_bytes([bit; 4]);
        let [b0, b1, b2, b3] = [bytes(1), bytes(2), bytes(4), bytes(8)];
        let bits = _mm512_setr_epi32(b0, b0, b0, b0, b1, b1, b1, b1, b2, b2, b2, b2, b3, b3, b3, b3);
        let bits = _mm512_sll_epi32(bits, _mm_cvtsi32_si128(part as i32));
        plus_where(levels, halves(run), bits, worth)
    }
}

/// Adds 16 to the levels whose bit is set: the first is that of byte `START` of each lane.
#[inline(always)]
unsafe fn with_fifth_bits<const START: i64>(levels: [__m512i; 2], lanes: __m512i) -> [__m512i; 2] {
    // SAFETY: see above.
    unsafe {
        let of_lane = |byte: i64| {
            let same = |byte: i64| byte * 0x0101_0101_0101_0101;
            _mm512_broadcast_i32x4(_mm_set_epi64x(same(byte + 1), same(byte)))
        };
        let bytes =
            [_mm512_shuffle_epi8(lanes, of_lane(START)), _mm512_shuffle_epi8(lanes, of_lane(START + 2))];
        plus_where(levels, bytes, _mm512_set1_epi64(0x8040_2010_0804_0201_u64 as i64), 16)
    }
}

/// Adds `worth` to the levels whose bit of `bits` is set in `bytes`.
#[inline(always)]
unsafe fn plus_where(levels: [__m512i; 2], bytes: [__m512i; 2], bits: __m512i, worth: i8) -> [__m512i; 2] {
    // SAFETY: see above.
    unsafe {
        let worth = _mm512_set1_epi8(worth);
        let [first, second] = [_mm512_test_epi8_mask(bytes[0], bits), _mm512_test_epi8_mask(bytes[1], bits)];
        [
            _mm512_mask_add_epi8(levels[0], first, levels[0], worth),
            _mm512_mask_add_epi8(levels[1], second, levels[1], worth),
        ]
    }
}

/// The levels with these numbers.
#[inline(always)]
unsafe fn uneven([first, second]: [__m512i; 2]) -> [__m512i; 2] {
    // SAFETY: see above; the table has 16 bytes.
    unsafe {
        let table = _mm512_broadcast_i32x4(_mm_loadu_si128(UNEVEN_LEVELS.as_ptr().cast()));
        flipped([_mm512_shuffle_epi8(table, first), _mm512_shuffle_epi8(table, second)])
    }
}

/// Signed levels as `vpdpbusd` takes them.
#[inline(always)]
unsafe fn flipped([first, second]: [__m512i; 2]) -> [__m512i; 2] {
    // SAFETY: see above.
    unsafe {
        let flip = _mm512_set1_epi8(-128);
        [_mm512_xor_si512(first, flip), _mm512_xor_si512(second, flip)]
    }
}
