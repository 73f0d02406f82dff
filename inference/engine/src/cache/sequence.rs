//! A sequence: a text's keys and values, in blocks that it has from its pool.
//!
//! A block belongs to one sequence while it is written. Once it is full, it may belong to several whose texts begin
//! alike, and to the pool's prefixes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use embodios_kernels::{KEYS, KV_BLOCK, Kernels, Precision};

use super::layout::BlockLayout;

/// Bytes of a block: for each layer and head first [`KV_BLOCK`] keys, in runs of [`KEYS`], then as many values. None of
/// them before [`Sequence::fill`] gets there, but room for them.
pub(super) type Block = Arc<Vec<u8>>;

/// A text's keys and values.
#[derive(Debug)]
pub struct Sequence {
    pub(super) layout: BlockLayout,
    /// There is room for those of the whole context.
    pub(super) blocks: Vec<Block>,
    /// Those in front that are among the pool's prefixes, and the last one's node there.
    pub(super) kept: usize,
    pub(super) last: Option<usize>,
    pub(super) context: usize,
    pub(super) position: usize,
}

impl Sequence {
    /// Whether the blocks of the next `positions` positions are filled.
    #[must_use]
    pub(crate) fn is_filled(&self, positions: usize) -> bool {
        self.blocks[self.ahead(positions)].iter().all(|block| block.len() == self.layout.block)
    }

    /// Fills those blocks of the next `positions` positions with zeros that never were. Many systems give memory when
    /// it is written first, and that takes time: the worker that is going to store there does it, and no sooner than
    /// need be where other workers wait.
    pub(crate) fn fill(&mut self, positions: usize) {
        let ahead = self.ahead(positions);
        for block in self.blocks[ahead].iter_mut().filter_map(Arc::get_mut) {
            block.resize(self.layout.block, 0);
        }
    }

    /// The blocks of the next `positions` positions.
    const fn ahead(&self, positions: usize) -> Range<usize> {
        blocks_of(self.position, self.position + positions)
    }

    /// Positions taken so far.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Positions that it may come to have.
    #[must_use]
    pub const fn context(&self) -> usize {
        self.context
    }

    /// Positions that it has blocks for.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.blocks.len() * KV_BLOCK
    }

    /// Blocks that it lacks for its first `positions`.
    #[must_use]
    pub const fn lacking(&self, positions: usize) -> usize {
        positions.div_ceil(KV_BLOCK).saturating_sub(self.blocks.len())
    }

    /// The index of its first block that is not among the prefixes, if that is full.
    #[must_use]
    pub(crate) const fn next_to_keep(&self) -> Option<usize> {
        if self.kept < self.position / KV_BLOCK { Some(self.kept) } else { None }
    }

    /// The precision of keys and values.
    #[must_use]
    pub const fn precision(&self) -> Precision {
        self.layout.precision
    }

    /// Forgets what comes after `position`, if anything does. Blocks that are among the prefixes must not be written:
    /// call it on a sequence that has none there.
    pub fn rewind(&mut self, position: usize) {
        self.position = self.position.min(position);
    }

    /// Counts positions as taken whose keys and values have been stored in every layer.
    pub(crate) const fn advance(&mut self, positions: usize) {
        self.position += positions;
    }

    /// Stores the keys and the values of all heads at one position.
    ///
    /// # Panics
    /// When the position is on a block that is among the prefixes.
    #[inline(always)]
    pub(crate) fn store(
        &mut self,
        kernels: Kernels,
        layer: usize,
        position: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        let BlockLayout { precision, vector, .. } = self.layout;
        let block = Arc::get_mut(&mut self.blocks[position / KV_BLOCK])
            .expect("a block that is written has one owner");
        let (length, offset) = (vector / precision.bytes(), position % KV_BLOCK * vector);
        for (head, (key, value)) in keys.chunks_exact(length).zip(values.chunks_exact(length)).enumerate() {
            let start = self.layout.start(layer, head);
            let run = &mut block[start + position % KV_BLOCK / KEYS * KEYS * vector..][..KEYS * vector];
            kernels.encode_in_run(precision, key, position % KEYS, run);
            kernels.encode(precision, value, &mut block[start + self.layout.run() + offset..][..vector]);
        }
    }

    /// A head's keys on a block, in whole runs from the block's first to the last of these positions, and its values at
    /// these positions.
    ///
    /// # Panics
    /// When the positions are not of one block, or not all the sequence's.
    #[inline(always)]
    pub(crate) fn vectors(&self, layer: usize, head: usize, positions: Range<usize>) -> [&[u8]; 2] {
        let BlockLayout { vector, .. } = self.layout;
        let (start, run) = (self.layout.start(layer, head), self.layout.run());
        let first = positions.start % KV_BLOCK;
        let end = first + positions.len();
        let (keys, values) = self.blocks[positions.start / KV_BLOCK][start..][..2 * run].split_at(run);
        [&keys[..end.next_multiple_of(KEYS) * vector], &values[first * vector..end * vector]]
    }
}

/// The blocks of the positions `start..end`.
const fn blocks_of(start: usize, end: usize) -> Range<usize> {
    start / KV_BLOCK..end.div_ceil(KV_BLOCK)
}

/// Positions, block by block.
pub(crate) fn by_block(positions: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    blocks_of(positions.start, positions.end)
        .map(move |block| positions.start.max(block * KV_BLOCK)..positions.end.min((block + 1) * KV_BLOCK))
}
