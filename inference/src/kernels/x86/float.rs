//! Rows of float weights times vectors.

use core::arch::x86_64::*;

use super::formats::FloatVector;
use super::{Isa, PAIR, check_rows};
use crate::activations::Activations;
use crate::kernels::{each_tile, portable};

/// As [`portable::float_rows`].
pub(in crate::kernels) fn float_rows<F: FloatVector>(
    _: Isa,
    rows: &[u8],
    row_bytes: usize,
    inputs: &[Activations],
    out: &mut [f32],
) {
    each_tile(rows, row_bytes, inputs, out, |rows, row_bytes, input, out| {
        check_rows(rows, row_bytes, out);
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
