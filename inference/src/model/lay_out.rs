//! Brings the matrices of a whole file into the layout that kernels want.

use alloc::vec::Vec;

use super::{Model, ModelError};
use crate::gguf::Gguf;
use crate::kernels::Kernels;
use crate::matrix::{Layout, WeightType};
use crate::memory::reserved;

/// Brings all quantised tensors of a model file from rows into `layout`, in place. All else stays as it is, so that the
/// file can be read as before.
///
/// # Errors
/// When it is no such file, or there is no memory for a tile.
pub fn lay_out(file: &mut [u8], layout: Layout) -> Result<(), ModelError> {
    if layout == Layout::Rows {
        return Ok(());
    }
    let start = file.as_ptr().addr();
    let gguf = Gguf::parse(file)?;
    let mut tensors: Vec<_> = reserved(gguf.tensors().len(), "directory of tensors")?;
    for tensor in gguf.tensors() {
        let kind = WeightType::of(tensor.kind).filter(|kind| kind.is_quantized());
        if let (Some(kind), [columns, ..]) = (kind, tensor.shape()) {
            let first = tensor.data.as_ptr().addr() - start;
            tensors.push((kind, *columns as usize, first..first + tensor.data.len()));
        }
    }
    for (kind, columns, range) in tensors {
        layout.apply(kind, columns, &mut file[range])?;
    }
    Ok(())
}

/// Chooses the fastest kernels for a model by a short timing with `now`, a clock in nanoseconds, and brings the matrices of its
/// file into their layout, in place.
///
/// # Errors
/// When the file holds no model that can be used, or there is no memory for a few vectors.
pub fn lay_out_for_fastest(file: &mut [u8], now: &dyn Fn() -> u64) -> Result<Kernels, ModelError> {
    let kernels = Kernels::fastest(&Model::load(&Gguf::parse(file)?, Layout::Rows)?, now)?;
    lay_out(file, kernels.layout())?;
    Ok(kernels)
}
