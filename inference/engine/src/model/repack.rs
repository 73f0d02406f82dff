//! Brings the matrices of a whole file into the layout that kernels want.

use alloc::vec::Vec;

use embodios_gguf::Gguf;
use embodios_gguf::memory::{OutOfMemory, reserved};
use embodios_kernels::matrix::{Layout, WeightType};

use super::ModelError;

/// A quantised tensor of a model's file, in rows.
pub struct Quantized<'f> {
    kind: WeightType,
    columns: usize,
    data: &'f mut [u8],
}

impl Quantized<'_> {
    /// Brings it into `layout`, in place.
    ///
    /// # Errors
    /// When there is no memory for a tile.
    pub fn repack(self, layout: Layout) -> Result<(), OutOfMemory> {
        layout.apply(self.kind, self.columns, self.data)
    }
}

/// All quantised tensors of a model's file, in the order of their data. Each may be laid out by a thread of its own;
/// all else has to stay as it is, so that the file can be read as before.
///
/// # Errors
/// When it is no such file, or there is no memory for the list.
pub fn quantized(mut file: &mut [u8]) -> Result<Vec<Quantized<'_>>, ModelError> {
    let start = file.as_ptr().addr();
    let gguf = Gguf::parse(file)?;
    let mut places: Vec<_> = reserved(gguf.tensors().len(), "directory of tensors")?;
    for tensor in gguf.tensors() {
        let kind = WeightType::of(tensor.kind).filter(|kind| kind.is_quantized());
        if let (Some(kind), [columns, ..]) = (kind, tensor.shape()) {
            let first = tensor.data.as_ptr().addr() - start;
            places.push((first..first + tensor.data.len(), kind, *columns as usize));
        }
    }
    places.sort_unstable_by_key(|(place, ..)| place.start);
    let mut tensors = reserved(places.len(), "directory of tensors")?;
    let mut taken = 0;
    for (place, kind, columns) in places {
        // A file whose tensors overlap is not read.
        let (data, rest) = file.split_at_mut(place.end - taken);
        tensors.push(Quantized { kind, columns, data: &mut data[place.start - taken..] });
        (file, taken) = (rest, place.end);
    }
    Ok(tensors)
}

/// Brings all quantised tensors of a model's file from rows into `layout`, in place.
///
/// # Errors
/// When it is no such file, or there is no memory for the list or a tile.
pub fn repack(file: &mut [u8], layout: Layout) -> Result<(), ModelError> {
    if layout == Layout::Rows {
        return Ok(());
    }
    quantized(file)?.into_iter().try_for_each(|tensor| Ok(tensor.repack(layout)?))
}
