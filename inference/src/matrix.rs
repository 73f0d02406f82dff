//! Weight matrices as they stand in the model file: a row is a run of blocks, whose formats are below.

mod format;
mod super_block;

use crate::gguf::TensorType;
pub use format::{
    BF16, F16, F32, FloatFormat, IQ4NL, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, QuantFormat, UNEVEN_LEVELS, f16_to_f32,
    f32_to_f16,
};
pub use super_block::{IQ4XS, Q2K, Q3K, Q4K, Q5K, Q6K};

/// Weights of a part of a quantised block, and activations of a block.
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

            /// Whether weights are integers in blocks.
            #[must_use]
            pub const fn is_quantized(self) -> bool {
                self.tensor_type().block() > 1
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

weight_types! { F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2K Q3K Q4K Q5K Q6K IQ4NL IQ4XS }

/// Evaluates one of two expressions, with `$Format` naming the format of a [`WeightType`]: the first for
/// formats of floats, the second for quantised ones.
macro_rules! with_format {
    ($kind:expr, $Format:ident => $float:expr, $quantized:expr) => {
        with_format!(@match $kind, $Format, $float, [F32 F16 BF16], $quantized,
            [Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2K Q3K Q4K Q5K Q6K IQ4NL IQ4XS])
    };
    (@match $kind:expr, $Format:ident, $f:expr, [$($float:ident)*], $q:expr, [$($quantized:ident)*]) => {
        match $kind {
            $($crate::matrix::WeightType::$float => {
                type $Format = $crate::matrix::$float;
                with_format!(@value $f)
            })*
            $($crate::matrix::WeightType::$quantized => {
                type $Format = $crate::matrix::$quantized;
                with_format!(@value $q)
            })*
        }
    };
    (@value $value:expr) => { $value };
}
pub(crate) use with_format;

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
        with_format!(self.kind, Format => convert::<Format>(bytes, out), dequantize::<Format>(bytes, out));
    }
}

fn convert<F: FloatFormat>(bytes: &[u8], out: &mut [f32]) {
    for (value, weight) in out.iter_mut().zip(bytes.chunks_exact(F::BYTES)) {
        *value = F::value(weight);
    }
}

fn dequantize<Q: QuantFormat>(bytes: &[u8], out: &mut [f32]) {
    for (index, values) in out.chunks_exact_mut(BLOCK).enumerate() {
        let (block, part) = (&bytes[index / Q::PARTS * Q::BYTES..][..Q::BYTES], index % Q::PARTS);
        let (scales, minima, levels) =
            (Q::scales(block, part), Q::minima(block, part), Q::levels(block, part));
        for (index, (value, level)) in values.iter_mut().zip(levels).enumerate() {
            let half = index / (BLOCK / 2);
            let scaled = scales[half] * (i32::from(level) - Q::ZERO) as f32;
            *value = if Q::HAS_MINIMUM { scaled + minima[half] } else { scaled };
        }
    }
}
