//! Weight matrices as they stand in the model file: a row is a run of blocks, whose formats are below.

mod format;

use crate::gguf::TensorType;
pub use format::{BF16, F16, F32, FloatFormat, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, QuantFormat, f16_to_f32};

/// Weights of a quantised block, and activations of a block.
pub const BLOCK: usize = 32;

macro_rules! weight_types {
    ($($name:ident)*) => {
        /// Weight types that the kernels compute with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the names are the format's own")]
        pub enum WeightType {
            $($name,)*
        }

        impl WeightType {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// `None` when the kernels do not know the type.
            #[must_use]
            pub const fn of(kind: TensorType) -> Option<Self> {
                match kind {
                    $(TensorType::$name => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The format's type.
            #[must_use]
            pub const fn tensor_type(self) -> TensorType {
                match self {
                    $(Self::$name => TensorType::$name,)*
                }
            }
        }
    };
}

weight_types! { F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 }

/// A matrix of the model file: `rows` rows of `columns` weights, one row after the other.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    kind: WeightType,
    rows: usize,
    columns: usize,
    row_bytes: usize,
    data: &'a [u8],
}

impl<'a> Matrix<'a> {
    /// The matrix in `data`.
    ///
    /// # Panics
    /// When `data` is not exactly `rows` rows of whole blocks.
    #[must_use]
    pub fn new(kind: WeightType, columns: usize, rows: usize, data: &'a [u8]) -> Self {
        let (block, block_bytes) = (kind.tensor_type().block(), kind.tensor_type().block_bytes());
        let row_bytes = columns / block as usize * block_bytes as usize;
        assert!(columns.is_multiple_of(block as usize) && row_bytes.checked_mul(rows) == Some(data.len()));
        Self { kind, rows, columns, row_bytes, data }
    }

    /// Type of the weights.
    #[must_use]
    pub const fn kind(&self) -> WeightType {
        self.kind
    }

    /// Number of rows, the length of a product.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns, the length of the vector it is multiplied with.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes of one row.
    #[must_use]
    pub const fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Bytes of `count` rows from `first`.
    #[must_use]
    pub fn row_range(&self, first: usize, count: usize) -> &'a [u8] {
        &self.data[first * self.row_bytes..][..count * self.row_bytes]
    }

    /// Writes row `row` as f32 into `out`, `columns` long.
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        let bytes = self.row_range(row, 1);
        match self.kind {
            WeightType::F32 => convert::<F32>(bytes, out),
            WeightType::F16 => convert::<F16>(bytes, out),
            WeightType::BF16 => convert::<BF16>(bytes, out),
            WeightType::Q4_0 => dequantize::<Q4_0>(bytes, out),
            WeightType::Q4_1 => dequantize::<Q4_1>(bytes, out),
            WeightType::Q5_0 => dequantize::<Q5_0>(bytes, out),
            WeightType::Q5_1 => dequantize::<Q5_1>(bytes, out),
            WeightType::Q8_0 => dequantize::<Q8_0>(bytes, out),
        }
    }
}

fn convert<F: FloatFormat>(bytes: &[u8], out: &mut [f32]) {
    for (value, weight) in out.iter_mut().zip(bytes.chunks_exact(F::BYTES)) {
        *value = F::value(weight);
    }
}

fn dequantize<Q: QuantFormat>(bytes: &[u8], out: &mut [f32]) {
    for (values, block) in out.chunks_exact_mut(BLOCK).zip(bytes.chunks_exact(Q::BYTES)) {
        let (d, m) = (Q::scale(block), Q::minimum(block));
        for (value, level) in values.iter_mut().zip(Q::levels(block)) {
            let scaled = d * (i32::from(level) - Q::ZERO) as f32;
            *value = if Q::HAS_MINIMUM { scaled + m } else { scaled };
        }
    }
}
