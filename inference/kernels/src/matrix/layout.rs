//! Layouts of a quantised matrix's rows in memory: one after the other as in the model file, or sixteen of them
//! interleaved, so that a vector's part of each row stands side by side.
//!
//! A tile takes the bytes that its rows took. It is a run of blocks, each of sixteen times the format's bytes: for each
//! of the format's numbers of 16 bits those of all rows, then for each of its words of 32 bits those of all rows.
//! Rows that fill no tile stay as they were.

use embodios_gguf::memory::{OutOfMemory, reserved};

use super::{FloatFormat, MOST_BYTES, QuantFormat, WeightType, with_format};
use crate::tiles::TILE;

/// Layout of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One after the other.
    Rows,
    /// Quantised ones in tiles of [`TILE`].
    Tiles,
}

impl Layout {
    /// Brings a matrix with rows of `columns` weights into this layout, in place.
    ///
    /// # Errors
    /// When there is no memory for a tile.
    ///
    /// # Panics
    /// When a row is no whole number of blocks.
    pub fn apply(self, kind: WeightType, columns: usize, data: &mut [u8]) -> Result<(), OutOfMemory> {
        let row_bytes = kind.row_bytes(columns);
        if self == Self::Rows || row_bytes == 0 || data.len() / row_bytes < TILE {
            return Ok(());
        }
        let lay: fn(&[u8], usize, &mut [u8]) =
            with_format!(kind, Format => keep::<Format>, interleave::<Format>);
        let mut rows = reserved(TILE * row_bytes, "tile of weights")?;
        for tile in data.chunks_exact_mut(TILE * row_bytes) {
            rows.clear();
            rows.extend_from_slice(tile);
            lay(&rows, row_bytes, tile);
        }
        Ok(())
    }
}

/// Bytes of a word.
const WORD: usize = 4;
/// Bytes of half a word.
const SHORT: usize = 2;

/// Rows of floats are never in tiles.
const fn keep<F: FloatFormat>(_rows: &[u8], _row_bytes: usize, _tile: &mut [u8]) {}

/// Sixteen rows as a tile.
fn interleave<Q: QuantFormat>(rows: &[u8], row_bytes: usize, tile: &mut [u8]) {
    for (index, tile) in tile.chunks_exact_mut(TILE * Q::BYTES).enumerate() {
        let (shorts, words) = tile.split_at_mut(TILE * Q::SHORTS.len());
        for row in 0..TILE {
            let block = &rows[row * row_bytes + index * Q::BYTES..][..Q::BYTES];
            let values = block[Q::SHORTS].as_chunks::<SHORT>().0;
            for (value, short) in
                values.iter().zip(shorts.as_chunks_mut().0.iter_mut().skip(row).step_by(TILE))
            {
                *short = *value;
            }
            let (before, after) = (&block[..Q::SHORTS.start], &block[Q::SHORTS.end..]);
            let values = before.as_chunks::<WORD>().0.iter().chain(after.as_chunks().0);
            for (value, word) in values.zip(words.as_chunks_mut().0.iter_mut().skip(row).step_by(TILE)) {
                *word = *value;
            }
        }
    }
}

/// Block `index` of row `row` of a tile, as it was before it became part of that.
pub(super) fn block_of_tile<Q: QuantFormat>(tile: &[u8], row: usize, index: usize) -> [u8; MOST_BYTES] {
    let mut block = [0; MOST_BYTES];
    let (shorts, words) = tile[index * TILE * Q::BYTES..][..TILE * Q::BYTES].split_at(TILE * Q::SHORTS.len());
    let values = shorts.as_chunks::<SHORT>().0.iter().skip(row).step_by(TILE);
    for (short, value) in block[Q::SHORTS].as_chunks_mut().0.iter_mut().zip(values) {
        *short = *value;
    }
    let mut values = words.as_chunks::<WORD>().0.iter().skip(row).step_by(TILE);
    let (before, after) = block[..Q::BYTES].split_at_mut(Q::SHORTS.end);
    let words = before[..Q::SHORTS.start].as_chunks_mut().0.iter_mut().chain(after.as_chunks_mut().0);
    for (word, value) in words.zip(&mut values) {
        *word = *value;
    }
    block
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::matrix::Matrix;

    #[test]
    fn rows_of_tiles_have_their_weights() {
        for &kind in WeightType::ALL {
            let columns = 2 * kind.tensor_type().block().max(32) as usize;
            let (rows, row_bytes) = (2 * TILE + 3, kind.row_bytes(columns));
            let data: Vec<u8> = (0..rows * row_bytes).map(|index| (index * 167 % 251) as u8 & 0xbf).collect();
            let mut repacked = data.clone();
            Layout::Tiles.apply(kind, columns, &mut repacked).unwrap();
            assert_eq!(repacked == data, !kind.is_quantized(), "{kind:?}");
            let rows_of = |data: &[u8], layout| -> Vec<u32> {
                let matrix = Matrix::new(kind, columns, rows, data).with_layout(layout);
                let mut weights = alloc::vec![0.0f32; columns];
                let row = |row| {
                    matrix.dequantize_row(row, &mut weights);
                    weights.iter().map(|weight| weight.to_bits()).collect::<Vec<_>>()
                };
                (0..rows).flat_map(row).collect()
            };
            assert_eq!(rows_of(&repacked, Layout::Tiles), rows_of(&data, Layout::Rows), "{kind:?}");
        }
    }
}
