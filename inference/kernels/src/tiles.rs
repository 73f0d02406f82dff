//! The results of a matrix product for several tokens, in the order in which they are made.
//!
//! Rows of the matrix are taken in tiles of [`TILE`]; a tile holds its rows for the first token, then for the
//! second and so on. So each worker writes one run of memory, and a token's rows are whole cache lines.
//! The last tile is as narrow as the rows that are left. Tokens may form M blocks, one after the other, each with all
//! its tiles: for workers that take all rows for some of the tokens each.

use alloc::vec::Vec;

use embodios_gguf::memory::{OutOfMemory, filled};

/// Rows of a tile.
pub const TILE: usize = 16;

/// Results of one product.
#[derive(Debug)]
pub struct Tiles {
    values: Vec<f32>,
    layout: TilesLayout,
}

/// Layout of the results.
#[derive(Clone, Copy, Debug)]
pub struct TilesLayout {
    rows: usize,
    tokens: usize,
    /// Tokens of an M block; the last may have fewer.
    m_block: usize,
}

impl Tiles {
    /// Room for `rows` rows for up to `tokens` tokens.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn new(rows: usize, tokens: usize) -> Result<Self, OutOfMemory> {
        Ok(Self {
            values: filled(rows * tokens, 0.0, "activations")?,
            layout: TilesLayout::new(rows, tokens),
        })
    }

    /// All results for `tokens` tokens in M blocks of `m_block`, to be written. An M block's tiles are `TILE` elements
    /// long for each of its tokens.
    pub fn begin(&mut self, tokens: usize, m_block: usize) -> &mut [f32] {
        self.layout = self.layout(tokens, m_block);
        &mut self.values[..self.layout.rows * tokens]
    }

    /// Elements of an N block, the smallest share of the results for `tokens` tokens: a token's part of a tile, or a
    /// whole tile where the last one is narrow.
    #[must_use]
    pub const fn n_block(&self, tokens: usize) -> usize {
        if self.layout.rows.is_multiple_of(TILE) { TILE } else { TILE * tokens }
    }

    /// The layout of the results for `tokens` tokens in M blocks of `m_block`. Where the last tile is narrow there is
    /// one M block.
    #[must_use]
    pub const fn layout(&self, tokens: usize, m_block: usize) -> TilesLayout {
        let m_block = if self.layout.rows.is_multiple_of(TILE) { m_block } else { tokens };
        TilesLayout { tokens, m_block, ..self.layout }
    }

    /// Copies rows `first ..` of a token to `out`.
    pub fn copy_rows(&self, token: usize, first: usize, out: &mut [f32]) {
        self.layout.copy_rows(&self.values, token, first, out);
    }
}

impl TilesLayout {
    /// Of `rows` rows for `tokens` tokens in a single M block.
    #[must_use]
    pub const fn new(rows: usize, tokens: usize) -> Self {
        Self { rows, tokens, m_block: tokens }
    }

    /// Copies rows `first ..` of a token from the results `values` to `out`.
    pub fn copy_rows(self, values: &[f32], token: usize, first: usize, out: &mut [f32]) {
        if self.tokens == 1 {
            // Tiles of a single token are its rows.
            return out.copy_from_slice(&values[first..][..out.len()]);
        }
        let (before, token) = (token / self.m_block * self.m_block, token % self.m_block);
        let (values, tokens) = (&values[self.rows * before..], self.m_block.min(self.tokens - before));
        let mut row = first;
        let mut rest = out;
        while !rest.is_empty() {
            let tile = row / TILE;
            let width = TILE.min(self.rows - tile * TILE);
            let start = tile * TILE * tokens + token * width;
            let count = (width - row % TILE).min(rest.len());
            let (part, next) = rest.split_at_mut(count);
            let values = &values[start + row % TILE..][..count];
            match (part.as_chunks_mut::<TILE>(), values.as_chunks::<TILE>()) {
                // A few moves, for which a call costs more.
                (([part], []), ([values], [])) => *part = *values,
                ((_, part), (_, values)) => part.copy_from_slice(values),
            }
            row += count;
            rest = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    /// Tile by tile within an M block, token by token within a tile.
    fn numbered(tiles: &mut Tiles, rows: usize, tokens: usize, m_block: usize) {
        let mut places = Vec::new();
        for start in (0..tokens).step_by(m_block) {
            for tile in (0..rows).step_by(TILE) {
                for token in start..tokens.min(start + m_block) {
                    places.extend((tile..rows.min(tile + TILE)).map(|row| (row * tokens + token) as f32));
                }
            }
        }
        tiles.begin(tokens, m_block).copy_from_slice(&places);
    }

    #[test]
    fn a_tokens_rows_are_found_in_every_m_block() {
        for (rows, tokens, m_block) in
            [(48, 7, 7), (48, 7, 3), (16, 5, 1), (64, 64, 32), (40, 6, 6), (40, 1, 1)]
        {
            let mut tiles = Tiles::new(rows, 64).unwrap();
            numbered(&mut tiles, rows, tokens, m_block);
            for token in 0..tokens {
                for first in [0, 5, 16, rows - 1] {
                    let mut found = vec![0.0; rows - first];
                    tiles.copy_rows(token, first, &mut found);
                    let expected = (first..rows).map(|row| (row * tokens + token) as f32);
                    assert_eq!(found, expected.collect::<Vec<_>>(), "{rows} {tokens} {m_block} {token}");
                }
            }
        }
    }

    #[test]
    fn a_narrow_last_tile_leaves_one_m_block() {
        let mut tiles = Tiles::new(40, 64).unwrap();
        numbered(&mut tiles, 40, 6, 6);
        let values = tiles.values.clone();
        tiles.begin(6, 2);
        let mut found = [0.0; 40];
        tiles.copy_rows(5, 0, &mut found);
        assert_eq!(tiles.values, values);
        assert!(found.iter().enumerate().all(|(row, value)| *value == (row * 6 + 5) as f32));
    }
}
