//! The choice of kernels by a short timing of a model's own weights. All give the same bits, so any choice is right.

use alloc::vec::Vec;
use core::slice;

use embodios_gguf::Gguf;
use embodios_gguf::memory::{OutOfMemory, reserved};
use embodios_kernels::Kernels;
use embodios_kernels::activations::Activations;
use embodios_kernels::matrix::{Layout, Matrix};
use embodios_kernels::tiles::TILE;

use super::{Model, ModelError};

/// Inputs of the product that stands for a prompt. One input stands for generation.
const INPUTS: usize = 4;
/// Timings of each variant, of which the shortest counts; the first of them warms up. Variants take turns, so that
/// something else that runs in between does not slow all timings of one of them.
const REPETITIONS: usize = 4;
/// By how much of its time a variant must beat those before it, in per cent: timings are not exact.
const MARGIN: u64 = 10;

impl Model<'_> {
    /// The kernels that take the shortest time for a tile of rows, which lie as in the file, by `now`, a clock in
    /// nanoseconds.
    ///
    /// # Errors
    /// When there is no memory for a few vectors.
    pub fn fastest_kernels(&self, now: &dyn Fn() -> u64) -> Result<Kernels, OutOfMemory> {
        let matrix = self.layers.first().map_or(&self.output, |layer| &layer.query);
        let rows = TILE.min(matrix.rows());
        let columns = matrix.columns();
        let mut inputs = Vec::new();
        for _ in 0..INPUTS {
            let mut input = Activations::new(columns)?;
            input.set(Kernels::PORTABLE, columns, |values| {
                values.iter_mut().enumerate().for_each(|(index, value)| *value = (index % 97) as f32 - 48.0);
            });
            inputs.push(input);
        }
        let mut out = [0.0; TILE * INPUTS];
        let mut time = |kernels: Kernels, matrix: &Matrix<'_>| {
            let start = now();
            for input in &inputs {
                kernels.multiply(matrix, 0, slice::from_ref(input), &mut out[..rows]);
            }
            kernels.multiply(matrix, 0, &inputs, &mut out[..rows * INPUTS]);
            now() - start
        };
        let mut variants = Vec::new();
        for kernels in Kernels::available() {
            let mut data = reserved(rows * matrix.row_bytes(), "tile of weights")?;
            data.extend_from_slice(matrix.row_range(0, rows));
            kernels.layout().apply(matrix.kind(), columns, &mut data)?;
            variants.push((kernels, data, u64::MAX));
        }
        for _ in 0..REPETITIONS {
            for (kernels, data, shortest) in &mut variants {
                let matrix = Matrix::new(matrix.kind(), columns, rows, data).with_layout(kernels.layout());
                *shortest = time(*kernels, &matrix).min(*shortest);
            }
        }
        let mut fastest = (Kernels::best(), u64::MAX);
        for (kernels, _, time) in variants {
            if time < fastest.1 / 100 * (100 - MARGIN) {
                fastest = (kernels, time);
            }
        }
        Ok(fastest.0)
    }
}

/// The fastest kernels for the model of a file, by a short timing with `now`, a clock in nanoseconds.
///
/// # Errors
/// When the file holds no model that can be used, or there is no memory for a few vectors.
pub fn fastest_kernels(file: &[u8], now: &dyn Fn() -> u64) -> Result<Kernels, ModelError> {
    Ok(Model::load(&Gguf::parse(file)?, Layout::Rows)?.fastest_kernels(now)?)
}
