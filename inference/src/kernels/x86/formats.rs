//! How blocks of each weight format become vectors, and the dot product of each instruction set.
//!
//! Everything here is inlined into functions that enable the instructions; that these are there is the
//! condition of every `unsafe fn`, next to the bytes that it reads.

use core::arch::x86_64::*;

use super::factors::Factors;
use super::super_block::heads;
use crate::matrix::*;

/// Products of bytes, as eight sums of neighbours. Signed weights are `weight + SIGNED_ZERO`.
pub(in crate::kernels) trait DotProduct {
    /// What is to be added to signed weights, and taken off again.
    const SIGNED_ZERO: i32;
    /// `128 * high + low` of `N` vectors of weights, which may be below 0 or are below 64.
    unsafe fn products<const N: usize>(
        weights: [__m256i; N],
        high: [__m256i; N],
        low: [__m256i; N],
        signed: bool,
    ) -> __m256i;
    /// `sum` and the products of weights with bytes.
    unsafe fn step(sum: __m256i, weights: __m256i, bytes: __m256i, signed: bool) -> __m256i;
}

/// By `vpmaddubsw`, whose 16-bit sums saturate: 2 * 128 * 127 fits, and so does 4 * 63 * 127.
pub(in crate::kernels) struct Avx2;
/// By the VEX form of `vpdpbusd`.
pub(in crate::kernels) struct AvxVnni;
/// By the EVEX form of `vpdpbusd`.
pub(in crate::kernels) struct Avx512Vnni;

impl DotProduct for Avx2 {
    const SIGNED_ZERO: i32 = 0;

    #[inline(always)]
    unsafe fn products<const N: usize>(
        weights: [__m256i; N],
        high: [__m256i; N],
        low: [__m256i; N],
        signed: bool,
    ) -> __m256i {
        // SAFETY: the caller has AVX2.
        unsafe {
            let sums = |high, low| {
                _mm256_add_epi32(
                    _mm256_madd_epi16(high, _mm256_set1_epi16(128)),
                    _mm256_madd_epi16(low, _mm256_set1_epi16(1)),
                )
            };
            let mut of_signed = _mm256_setzero_si256();
            let mut words = [_mm256_setzero_si256(); 2];
            for ((weights, high), low) in weights.into_iter().zip(high).zip(low) {
                if signed {
                    // The weight's sign moves to the levels; |-128| is 128 as unsigned.
                    let (high, low) = (_mm256_sign_epi8(high, weights), _mm256_sign_epi8(low, weights));
                    let weights = _mm256_sign_epi8(weights, weights);
                    let (high, low) =
                        (_mm256_maddubs_epi16(weights, high), _mm256_maddubs_epi16(weights, low));
                    of_signed = _mm256_add_epi32(of_signed, sums(high, low));
                } else {
                    words[0] = _mm256_add_epi16(words[0], _mm256_maddubs_epi16(weights, high));
                    words[1] = _mm256_add_epi16(words[1], _mm256_maddubs_epi16(weights, low));
                }
            }
            if signed { of_signed } else { sums(words[0], words[1]) }
        }
    }

    #[inline(always)]
    unsafe fn step(sum: __m256i, weights: __m256i, bytes: __m256i, signed: bool) -> __m256i {
        // SAFETY: the caller has AVX2.
        unsafe {
            let products = if signed {
                _mm256_maddubs_epi16(_mm256_sign_epi8(weights, weights), _mm256_sign_epi8(bytes, weights))
            } else {
                _mm256_maddubs_epi16(weights, bytes)
            };
            _mm256_add_epi32(sum, _mm256_madd_epi16(products, _mm256_set1_epi16(1)))
        }
    }
}

macro_rules! vnni {
    ($name:ident, $instruction:ident) => {
        impl DotProduct for $name {
            const SIGNED_ZERO: i32 = 128;

            #[inline(always)]
            unsafe fn products<const N: usize>(
                weights: [__m256i; N],
                high: [__m256i; N],
                low: [__m256i; N],
                _signed: bool,
            ) -> __m256i {
                // SAFETY: the caller has the instruction.
                unsafe {
                    let mut sums = _mm256_setzero_si256();
                    for (weights, high) in weights.into_iter().zip(high) {
                        sums = $instruction(sums, weights, high);
                    }
                    sums = _mm256_slli_epi32(sums, 7);
                    for (weights, low) in weights.into_iter().zip(low) {
                        sums = $instruction(sums, weights, low);
                    }
                    sums
                }
            }

            #[inline(always)]
            unsafe fn step(sum: __m256i, weights: __m256i, bytes: __m256i, _signed: bool) -> __m256i {
                // SAFETY: the caller has the instruction.
                unsafe { $instruction(sum, weights, bytes) }
            }
        }
    };
}

vnni!(AvxVnni, _mm256_dpbusd_avx_epi32);
vnni!(Avx512Vnni, _mm256_dpbusd_epi32);

/// Two blocks, which a vector has side by side.
pub(in crate::kernels) type Two = [*const u8; 2];

/// A quantised format as vectors.
pub(in crate::kernels) trait QuantVector: QuantFormat {
    /// The level that stands for 0 in products: 0 or a power of two.
    fn zero<D: DotProduct>() -> i32 {
        if Self::SIGNED { D::SIGNED_ZERO } else { Self::ZERO }
    }

    /// Where a block of one part has 16 bytes of two levels each, one of either half.
    const PAIRS: Option<usize> = None;

    /// The levels of a part of two blocks: the first halves of both, then the second.
    unsafe fn load(blocks: Two, part: usize) -> [__m256i; 2];

    /// The levels that bytes of [`Self::PAIRS`] hold: those of the first half, then of the second.
    #[inline(always)]
    unsafe fn split(pairs: __m256i) -> [__m256i; 2] {
        // SAFETY: the caller has AVX2.
        unsafe { nibbles(pairs) }
    }

    /// Scales and minima of the four parts from `first`, which is 0 or 4, of four blocks. A block of one part has the
    /// same four times.
    #[inline(always)]
    unsafe fn factors(blocks: [*const u8; 4], _first: usize) -> Factors {
        // SAFETY: the caller has AVX2 and the blocks' bytes.
        unsafe {
            let (scale, minimum) = heads(blocks, 0);
            let same = [_mm_set1_epi8(1); 2];
            Factors { scale, minimum, scales: same, minima: same }
        }
    }
}

macro_rules! quant_vectors {
    ($($format:ty, |$blocks:ident| $load:expr;)*) => {$(
        impl QuantVector for $format {
            #[inline(always)]
            unsafe fn load($blocks: Two, _part: usize) -> [__m256i; 2] {
                // SAFETY: the caller has AVX2 and the blocks' bytes.
                unsafe { $load }
            }
        }
    )*};
}

quant_vectors! {
    Q8_0, |blocks| [both(blocks, 2), both(blocks, 18)];
    Q5_0, |blocks| with_fifth_bits(nibbles(both(blocks, 6)), both(blocks, 2));
    Q5_1, |blocks| with_fifth_bits(nibbles(both(blocks, 8)), both(blocks, 4));
}

macro_rules! pair_vectors {
    ($($format:ty, $offset:literal, |$pairs:ident| $split:expr;)*) => {$(
        impl QuantVector for $format {
            const PAIRS: Option<usize> = Some($offset);

            #[inline(always)]
            unsafe fn load(blocks: Two, _part: usize) -> [__m256i; 2] {
                // SAFETY: the caller has AVX2 and the blocks' bytes.
                unsafe { Self::split(both(blocks, $offset)) }
            }

            #[inline(always)]
            unsafe fn split($pairs: __m256i) -> [__m256i; 2] {
                // SAFETY: the caller has AVX2.
                unsafe { $split }
            }
        }
    )*};
}

pair_vectors! {
    Q4_0, 2, |pairs| nibbles(pairs);
    Q4_1, 4, |pairs| nibbles(pairs);
    IQ4NL, 2, |pairs| uneven(nibbles(pairs));
}

/// 16 bytes from byte `offset` of each block. Safety: AVX2; the bytes.
#[inline(always)]
pub(super) unsafe fn both([first, second]: Two, offset: usize) -> __m256i {
    // SAFETY: see above.
    unsafe { _mm256_loadu2_m128i(second.add(offset).cast(), first.add(offset).cast()) }
}

/// The levels with these numbers. Safety: AVX2.
#[inline(always)]
pub(super) unsafe fn uneven([first, second]: [__m256i; 2]) -> [__m256i; 2] {
    // SAFETY: see above; the table has 16 bytes.
    unsafe {
        let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(UNEVEN_LEVELS.as_ptr().cast()));
        [_mm256_shuffle_epi8(table, first), _mm256_shuffle_epi8(table, second)]
    }
}

/// The low halves of bytes, then the high halves. Safety: AVX2.
#[inline(always)]
pub(super) unsafe fn nibbles(bytes: __m256i) -> [__m256i; 2] {
    // SAFETY: see above.
    unsafe {
        let mask = _mm256_set1_epi8(15);
        [_mm256_and_si256(bytes, mask), _mm256_and_si256(_mm256_srli_epi16(bytes, 4), mask)]
    }
}

/// Adds 16 to the levels whose bit is set: the first is that of the first byte of each 16. Safety: AVX2.
#[inline(always)]
unsafe fn with_fifth_bits([first, second]: [__m256i; 2], bits: __m256i) -> [__m256i; 2] {
    // SAFETY: see above.
    unsafe {
        let bit_of_lane = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
        let sixteens = |byte: i64| {
            let same = |byte: i64| byte * 0x0101_0101_0101_0101;
            let order = _mm256_broadcastsi128_si256(_mm_set_epi64x(same(byte + 1), same(byte)));
            let bits = _mm256_and_si256(_mm256_shuffle_epi8(bits, order), bit_of_lane);
            _mm256_and_si256(_mm256_cmpeq_epi8(bits, bit_of_lane), _mm256_set1_epi8(16))
        };
        [_mm256_or_si256(first, sixteens(0)), _mm256_or_si256(second, sixteens(2))]
    }
}

/// A float format as vectors.
pub(in crate::kernels) trait FloatVector: FloatFormat {
    /// Eight weights.
    unsafe fn load(weights: *const u8) -> __m256;
}

impl FloatVector for F32 {
    #[inline(always)]
    unsafe fn load(weights: *const u8) -> __m256 {
        // SAFETY: the caller has AVX and 32 bytes there.
        unsafe { _mm256_loadu_ps(weights.cast()) }
    }
}

impl FloatVector for F16 {
    #[inline(always)]
    unsafe fn load(weights: *const u8) -> __m256 {
        // SAFETY: the caller has F16C and 16 bytes there.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(weights.cast())) }
    }
}

impl FloatVector for BF16 {
    #[inline(always)]
    unsafe fn load(weights: *const u8) -> __m256 {
        // SAFETY: the caller has AVX2 and 16 bytes there.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(weights.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))
        }
    }
}
