//! Float weights as vectors, and rows of them times vectors.

use core::arch::x86_64::*;

use super::Isa;
use crate::activations::Activations;
use crate::matrix::{BF16, F16, F32, FloatFormat};
use crate::{each_tile, portable};

/// Rows worked at once.
const PAIR: usize = 2;

/// A float format as vectors.
pub(crate) trait FloatVector: FloatFormat {
    /// Eight weights.
    unsafe fn load(weights: *const u8) -> __m256;
    /// Sixteen weights. Needs AVX-512.
    unsafe fn load_sixteen(weights: *const u8) -> __m512;
}

impl FloatVector for F32 {
    #[inline(always)]
    unsafe fn load(weights: *const u8) -> __m256 {
        // SAFETY: the caller has AVX and 32 bytes there.
        unsafe { _mm256_loadu_ps(weights.cast()) }
    }

    #[inline(always)]
    unsafe fn load_sixteen(weights: *const u8) -> __m512 {
        // SAFETY: the caller has AVX-512 and 64 bytes there.
        unsafe { _mm512_loadu_ps(weights.cast()) }
    }
}

impl FloatVector for F16 {
    #[inline(always)]
    unsafe fn load(weights: *const u8) -> __m256 {
        // SAFETY: the caller has F16C and 16 bytes there.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(weights.cast())) }
    }

    #[inline(always)]
    unsafe fn load_sixteen(weights: *const u8) -> __m512 {
        // SAFETY: the caller has AVX-512 and 32 bytes there.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(weights.cast())) }
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

    #[inline(always)]
    unsafe fn load_sixteen(weights: *const u8) -> __m512 {
        // SAFETY: the caller has AVX-512 and 32 bytes there.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(weights.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))
        }
    }
}

/// As [`portable::float_rows`].
pub(crate) fn float_rows<F: FloatVector>(
    _: Isa,
    rows: &[u8],
    row_bytes: usize,
    inputs: &[Activations],
    out: &mut [f32],
) {
    each_tile(rows, row_bytes, inputs, out, |rows, row_bytes, input, out| {
        assert!(row_bytes.checked_mul(out.len()) == Some(rows.len()), "bytes of the rows");
        assert!(input.values().len() * F::BYTES == row_bytes, "length of the input");
        // SAFETY: every `Isa` includes AVX2 and F16C; lengths were checked above.
        unsafe { float_rows_avx2::<F>(rows, row_bytes, input.values(), out) }
    });
}

#[target_feature(enable = "avx2,f16c")]
unsafe fn float_rows_avx2<F: FloatVector>(rows: &[u8], row_bytes: usize, values: &[f32], out: &mut [f32]) {
    for (results, pair) in out.chunks_mut(PAIR).zip(rows.chunks(PAIR * row_bytes)) {
        let (first, second) = pair.split_at(row_bytes);
        // An odd last row is its own partner.
        let second = if second.is_empty() { first } else { second };
        let mut lanes = [_mm256_setzero_ps(); PAIR];
        let (whole, rest) = values.as_chunks::<8>();
        for (index, values) in whole.iter().enumerate() {
            // SAFETY: a row has as many weights as there are values; 8 are read from each.
            unsafe {
                let x = _mm256_loadu_ps(values.as_ptr());
                for (lanes, row) in lanes.iter_mut().zip([first, second]) {
                    let weights = F::load(row.as_ptr().add(index * 8 * F::BYTES));
                    *lanes = _mm256_add_ps(*lanes, _mm256_mul_ps(weights, x));
                }
            }
        }
        for ((result, lanes), row) in results.iter_mut().zip(lanes).zip([first, second]) {
            let mut lanes = to_array(lanes);
            let weights = row[whole.len() * 8 * F::BYTES..].chunks_exact(F::BYTES);
            for (lane, (weight, value)) in weights.zip(rest).enumerate() {
                lanes[lane] += F::value(weight) * value;
            }
            *result = portable::reduce(lanes);
        }
    }
}

#[target_feature(enable = "avx")]
fn to_array(lanes: __m256) -> [f32; 8] {
    let mut array = [0.0; 8];
    // SAFETY: the array holds the 8 floats written.
    unsafe { _mm256_storeu_ps(array.as_mut_ptr(), lanes) };
    array
}
