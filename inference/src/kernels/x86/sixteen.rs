//! Sixteen numbers side by side, as one vector of 512 bits or two of 256: one for each row of a tile, for each of as many
//! keys, or elements of a value.

use core::arch::x86_64::*;

use super::formats::{Avx512Vnni, DotProduct, FloatVector, QuantVector};
use super::tile::RUN;
use crate::tiles::TILE;

/// Sixteen numbers. All functions need the instructions.
pub(super) trait Sixteen {
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
    /// `128 * high + low`.
    unsafe fn sum_128(high: Self::Integers, low: Self::Integers) -> Self::Integers;
    /// `sum - offset`, as floats.
    unsafe fn floats(sum: Self::Integers, offset: i32) -> Self::Floats;
    unsafe fn splat(value: f32) -> Self::Floats;
    /// Sixteen numbers of a format at `values`.
    unsafe fn widen<F: FloatVector>(values: *const u8) -> Self::Floats;
    unsafe fn load(values: &[f32; TILE]) -> Self::Floats;
    unsafe fn store(values: &mut [f32; TILE], floats: Self::Floats);
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats;
}

/// A 512-bit vector.
pub(super) struct Whole;
/// Two 256-bit vectors.
pub(super) struct Halves<D>(core::marker::PhantomData<D>);

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
    unsafe fn sum_128(high: __m512i, low: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_add_epi32(_mm512_slli_epi32(high, 7), low) }
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
    unsafe fn widen<F: FloatVector>(values: *const u8) -> __m512 {
        // SAFETY: passed on.
        unsafe {
            let low = _mm512_castpd256_pd512(_mm256_castps_pd(F::load(values)));
            let high = _mm256_castps_pd(F::load(values.add(8 * F::BYTES)));
            _mm512_castpd_ps(_mm512_insertf64x4::<1>(low, high))
        }
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
    unsafe fn sum_128(high: [__m256i; 2], low: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: see above.
        core::array::from_fn(|i| unsafe { _mm256_add_epi32(_mm256_slli_epi32(high[i], 7), low[i]) })
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
    unsafe fn widen<F: FloatVector>(values: *const u8) -> [__m256; 2] {
        // SAFETY: passed on.
        unsafe { [F::load(values), F::load(values.add(8 * F::BYTES))] }
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
