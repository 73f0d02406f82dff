//! The tensor directory: types, shapes, and the check that every tensor's data is its own and in the file.

use alloc::vec::Vec;
use core::fmt;

use crate::Fault;
use crate::GgufError;
use crate::Subject;
use crate::reader::Reader;

macro_rules! tensor_types {
    ($($variant:ident = $number:literal, $name:literal, $block:literal, $bytes:literal;)*) => {
        /// Element types with their number in the file. Which of them can be computed with is not
        /// decided here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the names are the format's own")]
        pub enum TensorType {
            $($variant,)*
        }

        impl TensorType {
            const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The format's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Elements of a block.
            #[must_use]
            pub const fn block(self) -> u64 {
                match self {
                    $(Self::$variant => $block,)*
                }
            }

            /// Bytes of a block.
            #[must_use]
            pub const fn block_bytes(self) -> u64 {
                match self {
                    $(Self::$variant => $bytes,)*
                }
            }
        }
    };
}

// Numbers, block lengths and block sizes: ggml's `enum ggml_type` and `ggml-common.h`.
tensor_types! {
    F32 = 0, "F32", 1, 4;
    F16 = 1, "F16", 1, 2;
    Q4_0 = 2, "Q4_0", 32, 18;
    Q4_1 = 3, "Q4_1", 32, 20;
    Q5_0 = 6, "Q5_0", 32, 22;
    Q5_1 = 7, "Q5_1", 32, 24;
    Q8_0 = 8, "Q8_0", 32, 34;
    Q8_1 = 9, "Q8_1", 32, 36;
    Q2K = 10, "Q2_K", 256, 84;
    Q3K = 11, "Q3_K", 256, 110;
    Q4K = 12, "Q4_K", 256, 144;
    Q5K = 13, "Q5_K", 256, 176;
    Q6K = 14, "Q6_K", 256, 210;
    Q8K = 15, "Q8_K", 256, 292;
    IQ2XXS = 16, "IQ2_XXS", 256, 66;
    IQ2XS = 17, "IQ2_XS", 256, 74;
    IQ3XXS = 18, "IQ3_XXS", 256, 98;
    IQ1S = 19, "IQ1_S", 256, 50;
    IQ4NL = 20, "IQ4_NL", 32, 18;
    IQ3S = 21, "IQ3_S", 256, 110;
    IQ2S = 22, "IQ2_S", 256, 82;
    IQ4XS = 23, "IQ4_XS", 256, 136;
    I8 = 24, "I8", 1, 1;
    I16 = 25, "I16", 1, 2;
    I32 = 26, "I32", 1, 4;
    I64 = 27, "I64", 1, 8;
    F64 = 28, "F64", 1, 8;
    IQ1M = 29, "IQ1_M", 256, 56;
    BF16 = 30, "BF16", 1, 2;
    TQ1_0 = 34, "TQ1_0", 256, 54;
    TQ2_0 = 35, "TQ2_0", 256, 66;
    MXFP4 = 39, "MXFP4", 32, 17;
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A directory entry as the file has it, its size already known to be computable.
#[derive(Debug)]
pub(super) struct TensorInfo<'a> {
    name: &'a str,
    /// Offset of the entry in the file.
    entry: u64,
    kind: TensorType,
    shape: [u64; 4],
    dimensions: usize,
    /// Bytes of data.
    size: u64,
    /// From the start of the data part.
    data: u64,
}

impl<'a> TensorInfo<'a> {
    /// Reads what follows the name.
    pub(super) fn read(reader: &mut Reader<'a>, name: &'a str, entry: u64) -> Result<Self, Fault> {
        let dimensions = reader.u32()?;
        if !(1..=4).contains(&dimensions) {
            return Err(Fault::Dimensions(dimensions));
        }
        let dimensions = dimensions as usize;
        let mut shape = [1; 4];
        for length in &mut shape[..dimensions] {
            *length = reader.u64()?;
        }
        let number = reader.u32()?;
        let kind = TensorType::from_number(number).ok_or(Fault::UnknownTensorType(number))?;
        let data = reader.u64()?;
        if shape[0] % kind.block() != 0 {
            return Err(Fault::PartialBlock { row: shape[0], kind });
        }
        let row_bytes = (shape[0] / kind.block()).checked_mul(kind.block_bytes());
        let size = shape[1..].iter().try_fold(row_bytes, |size, &n| Some(size?.checked_mul(n))).flatten();
        match size {
            Some(size @ 1..) if size <= i64::MAX as u64 => {
                Ok(Self { name, entry, kind, shape, dimensions, size, data })
            }
            _ => Err(Fault::Shape(shape)),
        }
    }
}

/// A tensor: its data lies inside the file, is aligned within it, and belongs to no other tensor.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Name.
    pub name: &'a str,
    /// Element type.
    pub kind: TensorType,
    /// Offset of its directory entry in the file.
    pub offset: u64,
    /// Elements a row, blocks of the type stored one after the other, then rows and further dimensions.
    pub data: &'a [u8],
    shape: [u64; 4],
    dimensions: usize,
}

impl Tensor<'_> {
    /// Lengths of the dimensions, the row's length (the one that varies fastest) first. No length is 0.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.shape[..self.dimensions]
    }
}

/// All tensors, in the file's order and by name.
#[derive(Debug)]
pub(super) struct Directory<'a> {
    tensors: Vec<Tensor<'a>>,
    /// Indices into `tensors`, sorted by name.
    by_name: Vec<usize>,
}

impl<'a> Directory<'a> {
    /// Checks `infos` against the file and against each other. `end` is where the directory ends.
    pub(super) fn new(
        bytes: &'a [u8],
        end: u64,
        alignment: u64,
        infos: Vec<TensorInfo<'a>>,
    ) -> Result<Self, GgufError> {
        // Both are below 2^63: a file's size and a power of two in 32 bits.
        let data_start = end.next_multiple_of(alignment);
        let file = bytes.len() as u64;
        let mut tensors = Vec::new();
        let mut order = Vec::new();
        let out_of_memory = |_| GgufError { subject: Subject::Header, offset: 8, fault: Fault::OutOfMemory };
        tensors.try_reserve_exact(infos.len()).map_err(out_of_memory)?;
        order.try_reserve_exact(infos.len()).map_err(out_of_memory)?;
        for info in &infos {
            let error = |fault| GgufError { subject: Subject::tensor(info.name), offset: info.entry, fault };
            if info.data % alignment != 0 {
                return Err(error(Fault::Misaligned { at: info.data, alignment }));
            }
            let start = data_start.saturating_add(info.data);
            let length = info.size;
            if start.checked_add(length).is_none_or(|end| end > file) {
                return Err(error(Fault::OutOfFile { start, length, file }));
            }
            order.push(tensors.len());
            tensors.push(Tensor {
                name: info.name,
                kind: info.kind,
                offset: info.entry,
                data: &bytes[start as usize..][..length as usize],
                shape: info.shape,
                dimensions: info.dimensions,
            });
        }
        check_overlap(&infos, &mut order)?;
        order.sort_unstable_by(|&a, &b| (tensors[a].name, a).cmp(&(tensors[b].name, b)));
        for pair in order.windows(2) {
            let Tensor { name, offset, .. } = tensors[pair[1]];
            if tensors[pair[0]].name == name {
                let subject = Subject::tensor(name);
                return Err(GgufError { subject, offset, fault: Fault::Duplicate });
            }
        }
        Ok(Self { tensors, by_name: order })
    }

    pub(super) fn iter(&self) -> core::slice::Iter<'_, Tensor<'a>> {
        self.tensors.iter()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Tensor<'a>> {
        let found = self.by_name.binary_search_by(|&index| self.tensors[index].name.cmp(name)).ok()?;
        Some(&self.tensors[self.by_name[found]])
    }
}

/// Refuses tensors that share bytes. Leaves `order` sorted by data offset.
fn check_overlap(infos: &[TensorInfo<'_>], order: &mut [usize]) -> Result<(), GgufError> {
    order.sort_unstable_by_key(|&index| (infos[index].data, index));
    for pair in order.windows(2) {
        let (first, second) = (&infos[pair[0]], &infos[pair[1]]);
        // Inside the file as checked before, so that the sum cannot overflow.
        if first.data + first.size > second.data {
            let fault = Fault::Overlap(first.name.into());
            return Err(GgufError { subject: Subject::tensor(second.name), offset: second.entry, fault });
        }
    }
    Ok(())
}
