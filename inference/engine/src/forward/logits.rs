//! The logits of a step: the output matrix times the output rows.

use embodios_kernels::Kernels;
use embodios_kernels::activations::Activations;
use embodios_kernels::matrix::Matrix;
use embodios_kernels::tiles::{TILE, TilesLayout};
use embodios_pool::Pool;

use super::{Forward, Slot};

/// Most inputs of one product for logits.
const MOST_INPUTS: usize = 64;
/// Results for several inputs that stay in the nearest cache until they are put in order.
const CACHED: usize = 2 * TILE * MOST_INPUTS;

impl Forward<'_> {
    /// Computes the logits that slots want.
    pub(super) fn logits<P: AsMut<Slot> + Send>(&mut self, pool: &mut Pool, slots: &mut [P]) {
        let Self { model, config, kernels, rows, inputs, x, .. } = self;
        let (width, outputs) = (config.embedding, rows.outputs());
        let inputs = &mut inputs[..outputs.len()];
        pool.split(inputs, 1, |first, inputs| {
            for (input, output) in inputs.iter_mut().zip(&outputs[first..]) {
                let x = &x[output.row * 2 * width..][..width];
                let norm = |out: &mut [f32]| kernels.rms_norm(x, &model.output_norm, config.epsilon, out);
                input.set(*kernels, width, norm);
            }
        });
        let wants = |slot: usize| outputs.binary_search_by_key(&slot, |output| output.slot).is_ok();
        let wanting = slots.iter_mut().enumerate().filter(|&(index, _)| wants(index));
        let mut logits = wanting.map(|(_, slot)| &mut *slot.as_mut().logits);
        for inputs in inputs.chunks(MOST_INPUTS) {
            pool.split_across::<_, MOST_INPUTS>(logits.by_ref().take(inputs.len()), TILE, |first, out| {
                multiply_across(*kernels, &model.output, first, inputs, out);
            });
        }
    }
}

/// Rows of a matrix from `first` on times each of up to [`MOST_INPUTS`] inputs, into a slice for each.
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
    let mut tiles = [0.0; CACHED];
    let rows = out.first().map_or(0, |out| out.len());
    let step = CACHED / (TILE * inputs.len()) * TILE;
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
