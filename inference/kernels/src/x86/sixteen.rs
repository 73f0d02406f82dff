//! Sixteen numbers side by side, as one vector of 512 bits or two of 256: one for each row of a tile, for each of as
//! many keys, or elements of a value.
//!
//! Every `unsafe fn` needs the instructions, and the bytes that it reads.

use core::arch::x86_64::*;

use super::dot::{Avx512Vnni, DotProduct};
use super::float::FloatVector;
use crate::tiles::TILE;

/// Sixteen numbers: words of 32 bits or of four bytes, and floats.
pub(crate) trait Sixteen {
    /// The dot product it is made of.
    type Dot: DotProduct;
    type Words: Copy;
    type Floats: Copy;

    /// The words at `words`.
    unsafe fn words(words: *const u8) -> Self::Words;
    /// The words whose lower halves are at `shorts`, and whose upper halves are 0.
    unsafe fn shorts(shorts: *const u8) -> Self::Words;
    unsafe fn splat_word(word: i32) -> Self::Words;
    unsafe fn and(a: Self::Words, b: Self::Words) -> Self::Words;
    unsafe fn or(a: Self::Words, b: Self::Words) -> Self::Words;
    unsafe fn xor(a: Self::Words, b: Self::Words) -> Self::Words;
    unsafe fn add_words(a: Self::Words, b: Self::Words) -> Self::Words;
    unsafe fn subtract(a: Self::Words, b: Self::Words) -> Self::Words;
    unsafe fn shift_left(words: Self::Words, bits: usize) -> Self::Words;
    unsafe fn shift_right(words: Self::Words, bits: usize) -> Self::Words;
    /// With copies of the sign.
    unsafe fn shift_right_signed(words: Self::Words, bits: usize) -> Self::Words;
    /// For each byte, a number below 16, that of the table.
    unsafe fn look_up(table: &[i8; 16], numbers: Self::Words) -> Self::Words;
    /// Adds the products of each row's four levels with the four bytes at `x`.
    unsafe fn dot(sum: Self::Words, levels: Self::Words, x: *const i8, signed: bool) -> Self::Words;
    unsafe fn to_floats(words: Self::Words) -> Self::Floats;

    unsafe fn splat(value: f32) -> Self::Floats;
    /// Sixteen numbers of a format at `values`.
    unsafe fn widen<F: FloatVector>(values: *const u8) -> Self::Floats;
    unsafe fn store(values: &mut [f32; TILE], floats: Self::Floats);
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats;
}

/// A 512-bit vector.
pub(super) struct Whole;
/// Two 256-bit vectors.
pub(super) struct Halves<D>(core::marker::PhantomData<D>);

/// Operations that are one instruction for a vector: of 512 bits, or of 256.
macro_rules! operations {
    (whole: $($name:ident($($operand:ident),+): $kind:ident = $whole:ident, $half:ident;)*) => {$(
        #[inline(always)]
        unsafe fn $name($($operand: Self::$kind),+) -> Self::$kind {
            // SAFETY: the caller has AVX-512.
            unsafe { $whole($($operand),+) }
        }
    )*};
    (halves: $($name:ident($($operand:ident),+): $kind:ident = $whole:ident, $half:ident;)*) => {$(
        #[inline(always)]
        unsafe fn $name($($operand: Self::$kind),+) -> Self::$kind {
            // SAFETY: the caller has AVX2.
            unsafe { [$half($($operand[0]),+), $half($($operand[1]),+)] }
        }
    )*};
}

/// The same with a number of bits.
macro_rules! shifts {
    (whole: $($name:ident = $whole:ident, $half:ident;)*) => {$(
        #[inline(always)]
        unsafe fn $name(words: Self::Words, bits: usize) -> Self::Words {
            // SAFETY: the caller has AVX-512.
            unsafe { $whole(words, _mm_cvtsi32_si128(bits as i32)) }
        }
    )*};
    (halves: $($name:ident = $whole:ident, $half:ident;)*) => {$(
        #[inline(always)]
        unsafe fn $name(words: Self::Words, bits: usize) -> Self::Words {
            // SAFETY: the caller has AVX2.
            unsafe {
                let bits = _mm_cvtsi32_si128(bits as i32);
                [$half(words[0], bits), $half(words[1], bits)]
            }
        }
    )*};
}

macro_rules! all {
    ($size:ident) => {
        operations! { $size:
            and(a, b): Words = _mm512_and_si512, _mm256_and_si256;
            or(a, b): Words = _mm512_or_si512, _mm256_or_si256;
            xor(a, b): Words = _mm512_xor_si512, _mm256_xor_si256;
            add_words(a, b): Words = _mm512_add_epi32, _mm256_add_epi32;
            subtract(a, b): Words = _mm512_sub_epi32, _mm256_sub_epi32;
            multiply(a, b): Floats = _mm512_mul_ps, _mm256_mul_ps;
            add(a, b): Floats = _mm512_add_ps, _mm256_add_ps;
        }
        shifts! { $size:
            shift_left = _mm512_sll_epi32, _mm256_sll_epi32;
            shift_right = _mm512_srl_epi32, _mm256_srl_epi32;
            shift_right_signed = _mm512_sra_epi32, _mm256_sra_epi32;
        }
    };
}

impl Sixteen for Whole {
    type Dot = Avx512Vnni;
    type Words = __m512i;
    type Floats = __m512;

    all! { whole }

    #[inline(always)]
    unsafe fn words(words: *const u8) -> __m512i {
        // SAFETY: the caller has AVX-512 and the bytes, here and below.
        unsafe { _mm512_loadu_si512(words.cast()) }
    }

    #[inline(always)]
    unsafe fn shorts(shorts: *const u8) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_cvtepu16_epi32(_mm256_loadu_si256(shorts.cast())) }
    }

    #[inline(always)]
    unsafe fn splat_word(word: i32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_set1_epi32(word) }
    }

    #[inline(always)]
    unsafe fn look_up(table: &[i8; 16], numbers: __m512i) -> __m512i {
        // SAFETY: see above; the table has 16 bytes.
        unsafe {
            let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
            _mm512_shuffle_epi8(table, numbers)
        }
    }

    #[inline(always)]
    unsafe fn dot(sum: __m512i, levels: __m512i, x: *const i8, _signed: bool) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_dpbusd_epi32(sum, levels, _mm512_set1_epi32(x.cast::<i32>().read_unaligned())) }
    }

    #[inline(always)]
    unsafe fn to_floats(words: __m512i) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(words) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn widen<F: FloatVector>(values: *const u8) -> __m512 {
        // SAFETY: see above.
        unsafe { F::load_sixteen(values) }
    }

    #[inline(always)]
    unsafe fn store(values: &mut [f32; TILE], floats: __m512) {
        // SAFETY: see above; sixteen floats.
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), floats) }
    }
}

impl<D: DotProduct> Sixteen for Halves<D> {
    type Dot = D;
    type Words = [__m256i; 2];
    type Floats = [__m256; 2];

    all! { halves }

    #[inline(always)]
    unsafe fn words(words: *const u8) -> [__m256i; 2] {
        // SAFETY: the caller has AVX2 and the bytes, here and below.
        unsafe { [_mm256_loadu_si256(words.cast()), _mm256_loadu_si256(words.add(32).cast())] }
    }

    #[inline(always)]
    unsafe fn shorts(shorts: *const u8) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe {
            [
                _mm256_cvtepu16_epi32(_mm_loadu_si128(shorts.cast())),
                _mm256_cvtepu16_epi32(_mm_loadu_si128(shorts.add(16).cast())),
            ]
        }
    }

    #[inline(always)]
    unsafe fn splat_word(word: i32) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_set1_epi32(word); 2] }
    }

    #[inline(always)]
    unsafe fn look_up(table: &[i8; 16], numbers: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: see above; the table has 16 bytes.
        unsafe {
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
            [_mm256_shuffle_epi8(table, numbers[0]), _mm256_shuffle_epi8(table, numbers[1])]
        }
    }

    #[inline(always)]
    unsafe fn dot(sum: [__m256i; 2], levels: [__m256i; 2], x: *const i8, signed: bool) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe {
            let x = _mm256_set1_epi32(x.cast::<i32>().read_unaligned());
            [D::step(sum[0], levels[0], x, signed), D::step(sum[1], levels[1], x, signed)]
        }
    }

    #[inline(always)]
    unsafe fn to_floats(words: [__m256i; 2]) -> [__m256; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_cvtepi32_ps(words[0]), _mm256_cvtepi32_ps(words[1])] }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> [__m256; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_set1_ps(value); 2] }
    }

    #[inline(always)]
    unsafe fn widen<F: FloatVector>(values: *const u8) -> [__m256; 2] {
        // SAFETY: see above.
        unsafe { [F::load(values), F::load(values.add(8 * F::BYTES))] }
    }

    #[inline(always)]
    unsafe fn store(values: &mut [f32; TILE], [first, second]: [__m256; 2]) {
        // SAFETY: see above; sixteen floats.
        unsafe {
            _mm256_storeu_ps(values.as_mut_ptr(), first);
            _mm256_storeu_ps(values.as_mut_ptr().add(8), second);
        }
    }
}
