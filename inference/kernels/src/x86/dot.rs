//! The dot product of each instruction set: levels times bytes of activations.
//!
//! Every function is inlined into others that enable the instructions; that these are there is the condition of every
//! `unsafe fn`.

use core::arch::x86_64::*;

/// Products of bytes, as eight sums of four neighbours.
pub(crate) trait DotProduct {
    /// Bias of levels that may be below 0, to be added and taken off again.
    const SIGNED_ZERO: i32;
    /// `sum` and the products of levels with bytes. Levels that are not signed are below 64.
    unsafe fn step(sum: __m256i, levels: __m256i, bytes: __m256i, signed: bool) -> __m256i;
}

/// By `vpmaddubsw`, whose 16-bit sums saturate: 2 * 128 * 127 fits.
pub(crate) struct Avx2;
/// By the VEX form of `vpdpbusd`.
pub(crate) struct AvxVnni;
/// By the EVEX form of `vpdpbusd`.
pub(crate) struct Avx512Vnni;

impl DotProduct for Avx2 {
    const SIGNED_ZERO: i32 = 0;

    #[inline(always)]
    unsafe fn step(sum: __m256i, levels: __m256i, bytes: __m256i, signed: bool) -> __m256i {
        // SAFETY: the caller has AVX2.
        unsafe {
            let products = if signed {
                // The level's sign moves to the byte; |-128| is 128 as unsigned.
                _mm256_maddubs_epi16(_mm256_sign_epi8(levels, levels), _mm256_sign_epi8(bytes, levels))
            } else {
                _mm256_maddubs_epi16(levels, bytes)
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
            unsafe fn step(sum: __m256i, levels: __m256i, bytes: __m256i, _signed: bool) -> __m256i {
                // SAFETY: the caller has the instruction.
                unsafe { $instruction(sum, levels, bytes) }
            }
        }
    };
}

vnni!(AvxVnni, _mm256_dpbusd_avx_epi32);
vnni!(Avx512Vnni, _mm256_dpbusd_epi32);
