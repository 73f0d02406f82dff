//! The logits of a step: the output matrix times what the wanted rows have come to.

use embodios_kernels::Kernels;
use embodios_kernels::activations::Activations;
use embodios_kernels::matrix::Matrix;
use embodios_kernels::tiles::{TILE, TilesLayout};
use embodios_pool::Pool;

use super::{Forward, Part};

/// Most inputs for logits at once.
const TOGETHER: usize = 64;
/// Results for several inputs that stay in the nearest cache until they are put in order.
const NEAR: usize = 2 * TILE * TOGETHER;

impl Forward<'_> {
    /// Computes the logits that parts want.
    pub(super) fn logits<P: AsMut<Part> + Send>(&mut self, pool: &mut Pool, parts: &mut [P]) {
        let Self { model, config, kernels, rows, inputs, x, .. } = self;
        let (width, wanted) = (config.embedding, rows.wanted());
        let inputs = &mut inputs[..wanted.len()];
        pool.split(inputs, 1, |first, inputs| {
            for (input, wanted) in inputs.iter_mut().zip(&wanted[first..]) {
                let x = &x[wanted.row * 2 * width..][..width];
                let norm = |out: &mut [f32]| kernels.rms_norm(x, &model.output_norm, config.epsilon, out);
                input.set(*kernels, width, norm);
            }
        });
        let wants = |part: usize| wanted.binary_search_by_key(&part, |wanted| wanted.part).is_ok();
        let wanting = parts.iter_mut().enumerate().filter(|&(index, _)| wants(index));
        let mut logits = wanting.map(|(_, part)| &mut *part.as_mut().logits);
        for inputs in inputs.chunks(TOGETHER) {
            pool.split_across::<_, TOGETHER>(logits.by_ref().take(inputs.len()), TILE, |first, out| {
                multiply_across(*kernels, &model.output, first, inputs, out);
            });
        }
    }
}

/// Rows of a matrix from `first` on times each of up to [`TOGETHER`] inputs, into a slice for each.
fn multiply_across(
    kernels: Kernels,
    matrix: &Matrix<'_>,
    first: usize,
    inputs: &[Activations],
    out: &mut [&mut [f32]],
) {
    if let ([_], [out]) = (inputs, &mut *out) {
        return kernels.multiply(matrix, first, inputs, out);
    }
    let mut tiles = [0.0; NEAR];
    let rows = out.first().map_or(0, |out| out.len());
    let step = NEAR / (TILE * inputs.len()) * TILE;
    for start in (0..rows).step_by(step) {
        let count = step.min(rows - start);
        let tiles = &mut tiles[..count * inputs.len()];
        kernels.multiply(matrix, first + start, inputs, tiles);
        let layout = TilesLayout::new(count, inputs.len());
        for (token, out) in out.iter_mut().enumerate() {
            layout.copy_rows(tiles, token, 0, &mut out[start..start + count]);
        }
    }
}
