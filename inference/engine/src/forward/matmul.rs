//! One worker's share of a matrix product: the rows of the matrix and the inputs that a run of its tiles holds.

use embodios_kernels::Kernels;
use embodios_kernels::activations::Activations;
use embodios_kernels::matrix::Matrix;
use embodios_kernels::tiles::TILE;

/// The elements of a product's tiles from `first` on, in whole N blocks ([`Tiles::n_block`]), where inputs form M
/// blocks.
pub(super) fn multiply(
    kernels: Kernels,
    matrix: &Matrix<'_>,
    mut first: usize,
    (inputs, m_block): (&[Activations], usize),
    mut out: &mut [f32],
) {
    if !matrix.rows().is_multiple_of(TILE) {
        return kernels.multiply(matrix, first / inputs.len(), inputs, out);
    }
    let whole = matrix.rows() * m_block;
    while !out.is_empty() {
        let inputs = &inputs[first / whole * m_block..];
        let inputs = &inputs[..m_block.min(inputs.len())];
        let count = (matrix.rows() * inputs.len() - first % whole).min(out.len());
        let (run, rest) = out.split_at_mut(count);
        multiply_m_block(kernels, matrix, first % whole, inputs, run);
        (first, out) = (first + count, rest);
    }
}

/// The elements of an M block's tiles from `first` on: the first and the last tile may be those of some inputs only.
fn multiply_m_block(
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
        let (run, rest) = out.split_at_mut(count);
        kernels.multiply(matrix, first / tile * TILE, taking, run);
        (first, out) = (first + count, rest);
    }
}
