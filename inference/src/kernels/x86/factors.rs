//! Scales and minima of blocks with several parts: a float of the block times a small integer of the part. Four
//! parts of four rows at once.
//!
//! Every `unsafe fn` needs AVX2 and F16C, and where it says so AVX-512.

use core::arch::x86_64::*;

use crate::activations::GROUP;
use crate::tiles::TILE;

/// Of four parts of four rows.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Factors {
    /// Each row's.
    pub(super) scale: __m128,
    /// Each row's.
    pub(super) minimum: __m128,
    /// Signed bytes that multiply the scale, for the first halves of parts and for the second: each row's parts side
    /// by side.
    pub(super) scales: [__m128i; 2],
    /// The same for the minimum.
    pub(super) minima: [__m128i; 2],
}

/// The scales of some parts and rows, and their minima.
type Both<V> = (V, V);

impl Factors {
    /// Those of the first two rows for each half: each row's parts side by side.
    #[inline(always)]
    pub(super) unsafe fn by_row(&self) -> [Both<__m256>; 2] {
        // SAFETY: see the file's head, here and below.
        unsafe {
            let row = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
            let product = |float: __m128, bytes: __m128i| {
                let float = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(float), row);
                _mm256_mul_ps(float, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)))
            };
            [
                (product(self.scale, self.scales[0]), product(self.minimum, self.minima[0])),
                (product(self.scale, self.scales[1]), product(self.minimum, self.minima[1])),
            ]
        }
    }

    /// Those of all rows for each half: for each part those of the rows side by side. Needs AVX-512 F.
    #[inline(always)]
    pub(super) unsafe fn by_part(&self) -> [Both<__m512>; 2] {
        // SAFETY: see above.
        unsafe {
            let product = |float: __m128, bytes: __m128i| {
                let integers = _mm512_cvtepi8_epi32(parts_first(bytes));
                _mm512_mul_ps(_mm512_broadcast_f32x4(float), _mm512_cvtepi32_ps(integers))
            };
            [
                (product(self.scale, self.scales[0]), product(self.minimum, self.minima[0])),
                (product(self.scale, self.scales[1]), product(self.minimum, self.minima[1])),
            ]
        }
    }

    /// Writes those of half `half`, each part's to the four floats from `row` of its own vector.
    #[inline(always)]
    pub(super) unsafe fn store(
        &self,
        half: usize,
        row: usize,
        scales: *mut [[f32; TILE]; 2],
        minima: *mut [[f32; TILE]; 2],
    ) {
        // SAFETY: see above; the caller has room for four parts.
        unsafe {
            let factors =
                [(self.scale, self.scales[half], scales), (self.minimum, self.minima[half], minima)];
            for (float, bytes, to) in factors {
                let mut bytes = parts_first(bytes);
                for part in 0..GROUP {
                    let products = _mm_mul_ps(float, _mm_cvtepi32_ps(_mm_cvtepi8_epi32(bytes)));
                    _mm_storeu_ps((&raw mut (*to.add(part))[half][row]).cast(), products);
                    bytes = _mm_srli_si128(bytes, 4);
                }
            }
        }
    }
}

/// From each row's parts side by side to each part's rows.
#[inline(always)]
unsafe fn parts_first(bytes: __m128i) -> __m128i {
    // SAFETY: see above.
    unsafe { _mm_shuffle_epi8(bytes, _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)) }
}
