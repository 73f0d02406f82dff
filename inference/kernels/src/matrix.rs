//! Weight matrices: a row is a run of blocks, whose formats are below, and rows lie as the kernels want them.

mod format;
mod layout;
mod super_block;

use embodios_gguf::TensorType;

use crate::tiles::TILE;
pub use format::{
    BF16, F16, F32, FloatFormat, IQ4NL, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, QuantFormat, UNEVEN_LEVELS, f16_to_f32,
    f32_to_f16,
};
pub use layout::Layout;
use layout::block_of_tile;
pub use super_block::{IQ4XS, Q2K, Q3K, Q4K, Q5K, Q6K};

/// Weights of a sub-block of a quantised block, and activations of a block.
pub const BLOCK: usize = 32;

/// Bytes of the largest quantised block, [`Q6K`]'s.
const MOST_BYTES: usize = 210;

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

            /// Bytes of a row of `columns` weights, a whole number of blocks.
            ///
            /// # Panics
            /// When it is none.
            #[must_use]
            pub const fn row_bytes(self, columns: usize) -> usize {
                let kind = self.tensor_type();
                assert!(columns.is_multiple_of(kind.block() as usize), "whole blocks");
                columns / kind.block() as usize * kind.block_bytes() as usize
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

/// A matrix: `rows` rows of `columns` weights.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    kind: WeightType,
    layout: Layout,
    rows: usize,
    columns: usize,
    row_bytes: usize,
    data: &'a [u8],
}

impl<'a> Matrix<'a> {
    /// The matrix in `data`, one row after the other.
    ///
    /// # Panics
    /// When `data` is not exactly `rows` rows of whole blocks.
    #[must_use]
    pub fn new(kind: WeightType, columns: usize, rows: usize, data: &'a [u8]) -> Self {
        let row_bytes = kind.row_bytes(columns);
        assert!(row_bytes.checked_mul(rows) == Some(data.len()), "whole rows");
        Self { kind, layout: Layout::Rows, rows, columns, row_bytes, data }
    }

    /// The matrix whose data [`Layout::apply`] was called for.
    #[must_use]
    pub fn with_layout(self, layout: Layout) -> Self {
        Self { layout: if self.kind.is_quantized() { layout } else { Layout::Rows }, ..self }
    }

    /// The layout of its rows.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
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

    /// Bytes of `count` rows from `first`, in tiles whole ones up to the last.
    ///
    /// # Panics
    /// When there are no such rows, or they begin or end within a tile.
    #[must_use]
    pub fn row_range(&self, first: usize, count: usize) -> &'a [u8] {
        if self.layout == Layout::Tiles {
            let whole = |row: usize| row.is_multiple_of(TILE) || row >= self.rows / TILE * TILE;
            assert!(whole(first) && whole(first + count), "whole tiles");
        }
        &self.data[first * self.row_bytes..][..count * self.row_bytes]
    }

    /// Writes row `row` as f32 into `out`, `columns` long.
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        with_format!(self.kind, Format => {
            convert::<Format>(self.row_range(row, 1), out);
        }, self.dequantize::<Format>(row, out));
    }

    fn dequantize<Q: QuantFormat>(&self, row: usize, out: &mut [f32]) {
        let tile = row / TILE * TILE;
        let in_tile = self.layout == Layout::Tiles && tile + TILE <= self.rows;
        for (index, weights) in out.chunks_exact_mut(Q::SUB_BLOCKS * BLOCK).enumerate() {
            let block = if in_tile {
                &block_of_tile::<Q>(self.row_range(tile, TILE), row % TILE, index)[..Q::BYTES]
            } else {
                &self.data[row * self.row_bytes + index * Q::BYTES..][..Q::BYTES]
            };
            for (sub_block, weights) in weights.as_chunks_mut().0.iter_mut().enumerate() {
                dequantize_part::<Q>(block, sub_block, weights);
            }
        }
    }
}

fn convert<F: FloatFormat>(bytes: &[u8], out: &mut [f32]) {
    for (value, weight) in out.iter_mut().zip(bytes.chunks_exact(F::BYTES)) {
        *value = F::value(weight);
    }
}

fn dequantize_part<Q: QuantFormat>(block: &[u8], sub_block: usize, out: &mut [f32; BLOCK]) {
    let (scales, minima) = (Q::scales(block, sub_block), Q::minima(block, sub_block));
    for (index, (weight, level)) in out.iter_mut().zip(Q::levels(block, sub_block)).enumerate() {
        let half = index / (BLOCK / 2);
        let scaled = scales[half] * (i32::from(level) - Q::ZERO) as f32;
        *weight = if Q::HAS_MINIMUM { scaled + minima[half] } else { scaled };
    }
}
