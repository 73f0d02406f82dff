//! Takes tensors out of a file by name, with the shape they must have, and knows which were left.

use alloc::string::String;
use alloc::vec::Vec;

use embodios_gguf::memory::{OutOfMemory, filled};
use embodios_gguf::{Gguf, Tensor, TensorType};
use embodios_kernels::matrix::{F32, FloatFormat, Layout, Matrix, WeightType};

use super::ModelError;

/// The tensors of a file.
pub struct TensorSource<'g, 'a> {
    gguf: &'g Gguf<'a>,
    layout: Layout,
    taken: Vec<String>,
}

impl<'g, 'a> TensorSource<'g, 'a> {
    /// All of `gguf`, none taken; its matrices are in `layout`.
    pub const fn new(gguf: &'g Gguf<'a>, layout: Layout) -> Self {
        Self { gguf, layout, taken: Vec::new() }
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.gguf.tensor(name).is_some()
    }

    /// A matrix of `rows` rows of `columns` weights, which stays where it is.
    pub fn matrix(&mut self, name: &str, columns: usize, rows: usize) -> Result<Matrix<'a>, ModelError> {
        let tensor = self.tensor(name, &[columns, rows])?;
        let unsupported = || ModelError::UnsupportedType { tensor: name.into(), kind: tensor.kind };
        let kind = WeightType::of(tensor.kind).ok_or_else(unsupported)?;
        Ok(Matrix::new(kind, columns, rows, tensor.data).with_layout(self.layout))
    }

    /// A copy of a vector of F32.
    pub fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>, ModelError> {
        let tensor = self.tensor(name, &[length])?;
        if tensor.kind != TensorType::F32 {
            return Err(ModelError::NotF32 { tensor: name.into(), kind: tensor.kind });
        }
        let mut vector = filled(length, 0.0, "norms")?;
        for (value, bytes) in vector.iter_mut().zip(tensor.data.chunks_exact(F32::BYTES)) {
            *value = F32::value(bytes);
        }
        Ok(vector)
    }

    /// Ends the taking.
    ///
    /// # Errors
    /// [`ModelError::UnusedTensor`] when a tensor was not taken: without it the file's model would be
    /// computed wrongly.
    pub fn finish(mut self) -> Result<(), ModelError> {
        self.taken.sort_unstable();
        let taken = |name: &str| self.taken.binary_search_by(|taken| taken.as_str().cmp(name)).is_ok();
        match self.gguf.tensors().find(|tensor| !taken(tensor.name)) {
            Some(tensor) => Err(ModelError::UnusedTensor { tensor: tensor.name.into() }),
            None => Ok(()),
        }
    }

    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<&'g Tensor<'a>, ModelError> {
        let tensor = self.gguf.required_tensor(name)?;
        let found = tensor.shape();
        // A trailing dimension of 1 says nothing.
        let length = |dimension: usize| found.get(dimension).map_or(1, |&length| length);
        let wanted = |dimension: usize| shape.get(dimension).map_or(1, |&length| length as u64);
        if (0..4).any(|dimension| length(dimension) != wanted(dimension)) {
            let (found, wanted) = (found.into(), shape.into());
            return Err(ModelError::Shape { tensor: name.into(), found, wanted });
        }
        let what = "names of tensors";
        self.taken.try_reserve(1).map_err(|_| OutOfMemory { what, bytes: size_of::<String>() })?;
        self.taken.push(name.into());
        Ok(tensor)
    }
}
