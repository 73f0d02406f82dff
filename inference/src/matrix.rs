//! Weight matrices as they stand in the model file, and the formats of their blocks.
//!
//! A row is a run of blocks; a block holds 32 weights `d * (level - zero)`, or `d * level + m`, with
//! small integer levels. Layouts: ggml's `ggml-common.h`.

use crate::gguf::TensorType;

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

/// A format of plain floats.
pub trait FloatFormat {
    /// Bytes of one weight.
    const BYTES: usize;
    /// The weight in its [`Self::BYTES`] bytes, exactly.
    fn value(bytes: &[u8]) -> f32;
}

/// IEEE 754 binary32.
pub struct F32;
/// IEEE 754 binary16.
pub struct F16;
/// The upper half of binary32.
pub struct BF16;

impl FloatFormat for F32 {
    const BYTES: usize = 4;
    fn value(bytes: &[u8]) -> f32 {
        f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

impl FloatFormat for F16 {
    const BYTES: usize = 2;
    fn value(bytes: &[u8]) -> f32 {
        f16_to_f32(u16::from_le_bytes([bytes[0], bytes[1]]))
    }
}

impl FloatFormat for BF16 {
    const BYTES: usize = 2;
    fn value(bytes: &[u8]) -> f32 {
        f32::from_le_bytes([0, 0, bytes[0], bytes[1]])
    }
}

/// binary16 to binary32, exactly and without branches: the exponents' biases differ by 112, which a
/// multiplication puts right for subnormal numbers too.
#[inline]
#[must_use]
pub fn f16_to_f32(half: u16) -> f32 {
    const TWO_TO_112: f32 = f32::from_bits((127 + 112) << 23);
    let magnitude = u32::from(half & 0x7fff) << 13;
    let finite = (f32::from_bits(magnitude) * TWO_TO_112).to_bits();
    let not_finite = magnitude | 0x7f80_0000;
    let sign = u32::from(half & 0x8000) << 16;
    f32::from_bits(sign | if half & 0x7c00 == 0x7c00 { not_finite } else { finite })
}

/// A format of quantised blocks. Every block begins with the scale `d` in F16, followed by the minimum
/// `m` in F16 where there is one.
pub trait QuantFormat {
    /// Bytes of one block.
    const BYTES: usize;
    /// The level that stands for 0.
    const ZERO: i32;
    /// Whether blocks have a minimum.
    const HAS_MINIMUM: bool;

    /// The block's levels in order.
    fn levels(block: &[u8]) -> [i8; BLOCK];

    /// The block's scale.
    #[inline]
    fn scale(block: &[u8]) -> f32 {
        F16::value(block)
    }

    /// The block's minimum; 0 where the format has none.
    #[inline]
    fn minimum(block: &[u8]) -> f32 {
        if Self::HAS_MINIMUM { F16::value(&block[2..]) } else { 0.0 }
    }
}

/// Scale, 32 signed bytes.
pub struct Q8_0;
/// Scale, 16 bytes of two levels (element `i` in the low half of byte `i`, `i + 16` in the high half).
pub struct Q4_0;
/// Scale, minimum, nibbles as [`Q4_0`].
pub struct Q4_1;
/// Scale, 32 fifth bits, nibbles as [`Q4_0`].
pub struct Q5_0;
/// Scale, minimum, 32 fifth bits, nibbles as [`Q4_0`].
pub struct Q5_1;

impl QuantFormat for Q8_0 {
    const BYTES: usize = 34;
    const ZERO: i32 = 0;
    const HAS_MINIMUM: bool = false;
    #[inline]
    fn levels(block: &[u8]) -> [i8; BLOCK] {
        let mut levels = [0; BLOCK];
        for (level, byte) in levels.iter_mut().zip(&block[2..]) {
            *level = *byte as i8;
        }
        levels
    }
}

impl QuantFormat for Q4_0 {
    const BYTES: usize = 18;
    const ZERO: i32 = 8;
    const HAS_MINIMUM: bool = false;
    #[inline]
    fn levels(block: &[u8]) -> [i8; BLOCK] {
        nibbles(&block[2..18])
    }
}

impl QuantFormat for Q4_1 {
    const BYTES: usize = 20;
    const ZERO: i32 = 0;
    const HAS_MINIMUM: bool = true;
    #[inline]
    fn levels(block: &[u8]) -> [i8; BLOCK] {
        nibbles(&block[4..20])
    }
}

impl QuantFormat for Q5_0 {
    const BYTES: usize = 22;
    const ZERO: i32 = 16;
    const HAS_MINIMUM: bool = false;
    #[inline]
    fn levels(block: &[u8]) -> [i8; BLOCK] {
        with_fifth_bits(nibbles(&block[6..22]), &block[2..6])
    }
}

impl QuantFormat for Q5_1 {
    const BYTES: usize = 24;
    const ZERO: i32 = 0;
    const HAS_MINIMUM: bool = true;
    #[inline]
    fn levels(block: &[u8]) -> [i8; BLOCK] {
        with_fifth_bits(nibbles(&block[8..24]), &block[4..8])
    }
}

#[inline]
fn nibbles(bytes: &[u8]) -> [i8; BLOCK] {
    let mut levels = [0; BLOCK];
    let (low, high) = levels.split_at_mut(BLOCK / 2);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
        *low = (byte & 15) as i8;
        *high = (byte >> 4) as i8;
    }
    levels
}

#[inline]
fn with_fifth_bits(mut levels: [i8; BLOCK], bits: &[u8]) -> [i8; BLOCK] {
    for (levels, bits) in levels.as_chunks_mut::<8>().0.iter_mut().zip(bits) {
        for (bit, level) in levels.iter_mut().enumerate() {
            *level |= (((bits >> bit) & 1) << 4) as i8;
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::f16_to_f32;

    #[test]
    fn every_half_is_exact() {
        for bits in 0..=u16::MAX {
            let (found, wanted) = (f16_to_f32(bits), half::f16::from_bits(bits).to_f32());
            assert!(
                found.to_bits() == wanted.to_bits() || (found.is_nan() && wanted.is_nan()),
                "{bits:#06x}"
            );
        }
    }
}
