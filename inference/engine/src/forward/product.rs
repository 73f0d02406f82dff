//! A product's share for one worker: which rows of the matrix times which inputs a run of its tiles holds.

use embodios_kernels::Kernels;
use embodios_kernels::activations::Activations;
use embodios_kernels::matrix::Matrix;
use embodios_kernels::tiles::TILE;

/// The elements of a product's tiles from `first` on, in whole cells ([`Tiles::cell`]), where inputs stand in bands.
pub(super) fn multiply(
    kernels: Kernels,
    matrix: &Matrix<'_>,
    mut first: usize,
    (inputs, band): (&[Activations], usize),
    mut out: &mut [f32],
) {
    if !matrix.rows().is_multiple_of(TILE) {
        return kernels.multiply(matrix, first / inputs.len(), inputs, out);
    }
    let whole = matrix.rows() * band;
    while !out.is_empty() {
        let inputs = &inputs[first / whole * band..];
        let inputs = &inputs[..band.min(inputs.len())];
        let count = (matrix.rows() * inputs.len() - first % whole).min(out.len());
        let (part, rest) = out.split_at_mut(count);
        multiply_band(kernels, matrix, first % whole, inputs, part);
        (first, out) = (first + count, rest);
    }
}

/// The elements of a band's tiles from `first` on: the first and the last tile may be there for some of the inputs
/// only.
fn multiply_band(
    kernels: Kernels,
    matrix: &Matrix<'_>,
    mut first: usize,
    inputs: &[Activations],
    mut out: &mut [f32],
) {
    let tile = TILE * inputs.len();
    while !out.is_empty() {
        let whole = first.is_multiple_of(tile) && out.len() >= tile;
        let count = if whole { out.len() / tile * tile } else { (tile - first % tile).min(out.len()) };
        let taking = if whole { inputs } else { &inputs[first % tile / TILE..][..count / TILE] };
        let (part, rest) = out.split_at_mut(count);
        kernels.multiply(matrix, first / tile * TILE, taking, part);
        (first, out) = (first + count, rest);
    }
}
