//! The results of a matrix product for several tokens, in the order in which they are made.
//!
//! Rows of the matrix are taken in tiles of [`TILE`]; a tile holds its rows for the first token, then for the
//! second and so on. So each worker writes one run of memory, and a token's rows are whole cache lines.
//! The last tile is as narrow as the rows that are left.

use alloc::vec::Vec;

use crate::memory::{OutOfMemory, filled};

/// Rows of a tile.
pub const TILE: usize = 16;

/// Results of one product.
#[derive(Debug)]
pub struct Tiles {
    values: Vec<f32>,
    layout: Layout,
}

/// Where which result lies.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    rows: usize,
    tokens: usize,
}

impl Tiles {
    /// Room for `rows` rows for up to `tokens` tokens.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn new(rows: usize, tokens: usize) -> Result<Self, OutOfMemory> {
        Ok(Self { values: filled(rows * tokens, 0.0, "activations")?, layout: Layout { rows, tokens } })
    }

    /// All results for `tokens` tokens, to be written. Tiles are `TILE * tokens` elements long.
    pub fn begin(&mut self, tokens: usize) -> &mut [f32] {
        self.layout.tokens = tokens;
        &mut self.values[..self.layout.rows * tokens]
    }

    /// What of the results for `tokens` tokens can be made apart from the rest, in elements: a token's part of a tile,
    /// or whole tiles where the last one is narrow.
    #[must_use]
    pub const fn cell(&self, tokens: usize) -> usize {
        if self.layout.rows.is_multiple_of(TILE) { TILE } else { TILE * tokens }
    }

    /// Where the results for `tokens` tokens lie.
    #[must_use]
    pub const fn layout(&self, tokens: usize) -> Layout {
        Layout { tokens, ..self.layout }
    }

    /// Copies rows `first ..` of a token to `out`.
    pub fn copy_rows(&self, token: usize, first: usize, out: &mut [f32]) {
        self.layout.copy_rows(&self.values, token, first, out);
    }
}

impl Layout {
    /// Of `rows` rows for `tokens` tokens.
    #[must_use]
    pub const fn new(rows: usize, tokens: usize) -> Self {
        Self { rows, tokens }
    }

    /// Copies rows `first ..` of a token from the results `values` to `out`.
    pub fn copy_rows(self, values: &[f32], token: usize, first: usize, out: &mut [f32]) {
        let mut row = first;
        let mut rest = out;
        while !rest.is_empty() {
            let tile = row / TILE;
            let width = TILE.min(self.rows - tile * TILE);
            let start = tile * TILE * self.tokens + token * width;
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
