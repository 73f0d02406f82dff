//! Blocks of keys and values under one budget, and the sequences that are made of them.
//!
//! A block holds [`KV_BLOCK`] positions of every layer and head. A sequence owns all the blocks it can come to need
//! from its beginning, so that no step allocates. A block belongs to one sequence while it is written; once it is full
//! it may belong to several whose texts begin alike.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use embodios_gguf::memory::{OutOfMemory, reserved};
use embodios_kernels::{KEYS, KV_BLOCK, Kernels, Precision};

use super::{CacheError, Limits};
use crate::model::Model;

/// Bytes of a block: for each layer and head first [`KV_BLOCK`] keys, in runs of [`KEYS`], then as many values. None of
/// them before [`Sequence::fill`] gets there, but room for them.
type Block = Arc<Vec<u8>>;

/// Layout of a block.
#[derive(Clone, Copy, Debug)]
struct BlockLayout {
    precision: Precision,
    kv_heads: usize,
    /// Bytes of a head's key or value at one position.
    vector: usize,
    /// Bytes of a block.
    block: usize,
}

impl BlockLayout {
    /// Bytes of the keys, or of the values, of a head in a block.
    const fn run(&self) -> usize {
        KV_BLOCK * self.vector
    }

    /// First byte of a head's keys; its values follow.
    const fn start(&self, layer: usize, head: usize) -> usize {
        (layer * self.kv_heads + head) * 2 * self.run()
    }
}

/// Half precision for quantised weights, which are coarser; single for floats.
fn precision_for(model: &Model<'_>) -> Precision {
    let quantized = model.layers.iter().all(|layer| layer.key.kind().is_quantized());
    if quantized { Precision::Half } else { Precision::Single }
}

/// All blocks, and the free ones.
#[derive(Debug)]
pub struct BlockPool {
    layout: BlockLayout,
    /// Blocks that the budget holds.
    most: usize,
    budget: usize,
    /// Positions that the model was trained for.
    trained: usize,
    /// Blocks made so far.
    made: usize,
    free: Vec<Block>,
}

impl BlockPool {
    /// No blocks yet, of at most `budget` bytes in all.
    ///
    /// # Errors
    /// When a block has more bytes than there are addresses.
    pub fn new(model: &Model<'_>, budget: usize) -> Result<Self, CacheError> {
        let (config, precision) = (&model.config, precision_for(model));
        let (kv_heads, vector) = (config.kv_heads, config.head_length * precision.bytes());
        let heads = config.layers.checked_mul(kv_heads);
        let block = heads.and_then(|heads| heads.checked_mul(2 * KV_BLOCK)?.checked_mul(vector));
        let too_much = OutOfMemory { what: "cache", bytes: usize::MAX };
        let block = block.ok_or(CacheError::OutOfMemory(too_much))?;
        let layout = BlockLayout { precision, kv_heads, vector, block };
        Ok(Self { layout, most: budget / block, budget, trained: config.context, made: 0, free: Vec::new() })
    }

    /// Positions of a sequence within `limits`' context and the whole budget.
    ///
    /// # Errors
    /// [`CacheError::Context`] and [`CacheError::Budget`].
    pub fn context(&self, limits: Limits) -> Result<usize, CacheError> {
        let (trained, fits) = (self.trained, self.most.saturating_mul(KV_BLOCK));
        let context = limits.context.unwrap_or_else(|| trained.min(fits.max(1)));
        if context == 0 || context > trained {
            return Err(CacheError::Context { asked: context, trained });
        }
        if context > fits {
            let bytes = self.layout.block as u128 * context.div_ceil(KV_BLOCK) as u128;
            return Err(CacheError::Budget { context, bytes, budget: self.budget, fits });
        }
        Ok(context)
    }

    /// Whether there are blocks for `context` positions of which `shared` whole blocks are another sequence's.
    #[must_use]
    pub const fn has_room(&self, context: usize, shared: usize) -> bool {
        context.div_ceil(KV_BLOCK) - shared <= self.most - self.made + self.free.len()
    }

    /// A sequence without room for anything.
    #[must_use]
    pub const fn empty(&self) -> Sequence {
        Sequence { layout: self.layout, blocks: Vec::new(), context: 0, position: 0 }
    }

    /// A sequence with room for `context` positions that begins with the first `shared` blocks of another one, which
    /// are full. A position must be filled before anything is stored there.
    ///
    /// # Errors
    /// [`CacheError::Budget`] when the free blocks do not suffice, [`CacheError::OutOfMemory`] when the memory
    /// does not.
    ///
    /// # Panics
    /// When the other sequence has not that many full blocks, or the context not so many positions.
    pub fn begin(
        &mut self,
        context: usize,
        prefix: Option<(&Sequence, usize)>,
    ) -> Result<Sequence, CacheError> {
        let shared = prefix.map_or(0, |(_, shared)| shared);
        if !self.has_room(context, shared) {
            let bytes = self.layout.block as u128 * (context.div_ceil(KV_BLOCK) - shared) as u128;
            let fits = (self.most - self.made + self.free.len() + shared) * KV_BLOCK;
            return Err(CacheError::Budget { context, bytes, budget: self.budget, fits });
        }
        let count = context.div_ceil(KV_BLOCK);
        let mut blocks = reserved(count, "list of blocks").map_err(CacheError::OutOfMemory)?;
        if let Some((other, shared)) = prefix {
            assert!(shared * KV_BLOCK <= other.position.min(context), "full blocks");
            blocks.extend(other.blocks[..shared].iter().cloned());
        }
        let mut sequence = Sequence { layout: self.layout, blocks, context, position: shared * KV_BLOCK };
        while sequence.blocks.len() < count {
            match self.block() {
                Ok(block) => sequence.blocks.push(block),
                Err(error) => {
                    self.end(sequence);
                    return Err(error);
                }
            }
        }
        Ok(sequence)
    }

    /// Takes a sequence's blocks back. Those that another sequence still has stay with it.
    pub fn end(&mut self, sequence: Sequence) {
        for mut block in sequence.blocks {
            if Arc::get_mut(&mut block).is_some() {
                // There is room: `block` reserved it.
                self.free.push(block);
            }
        }
    }

    /// Gives back the memory of free blocks.
    pub(crate) fn give_back(&mut self) {
        self.made -= self.free.len();
        self.free = Vec::new();
    }

    /// Bytes of a block.
    #[must_use]
    pub const fn block_bytes(&self) -> usize {
        self.layout.block
    }

    /// Bytes of the blocks that sequences have.
    #[must_use]
    pub const fn used(&self) -> usize {
        (self.made - self.free.len()) * self.layout.block
    }

    /// Bytes of all blocks made so far: at most the budget.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.made * self.layout.block
    }

    /// Bytes that blocks may take.
    #[must_use]
    pub const fn budget(&self) -> usize {
        self.budget
    }

    fn block(&mut self) -> Result<Block, CacheError> {
        if let Some(block) = self.free.pop() {
            return Ok(block);
        }
        let no_list = OutOfMemory { what: "list of blocks", bytes: size_of::<Block>() };
        self.free.try_reserve(self.made + 1).map_err(|_| CacheError::OutOfMemory(no_list))?;
        let block = reserved(self.layout.block, "cache").map_err(CacheError::OutOfMemory)?;
        self.made += 1;
        Ok(Arc::new(block))
    }
}

/// A text's keys and values.
#[derive(Debug)]
pub struct Sequence {
    layout: BlockLayout,
    blocks: Vec<Block>,
    context: usize,
    position: usize,
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

    /// Positions there is room for.
    #[must_use]
    pub const fn context(&self) -> usize {
        self.context
    }

    /// The precision of keys and values.
    #[must_use]
    pub const fn precision(&self) -> Precision {
        self.layout.precision
    }

    /// Forgets what comes after `position`, if anything does. Blocks that another sequence has too must not be written,
    /// so it keeps them: call it on a sequence that began by itself.
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
    /// When the position is on a block that another sequence has too.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// For each of its blocks, whether it is filled.
    fn filled(sequence: &Sequence) -> Vec<bool> {
        sequence.blocks.iter().map(|block| !block.is_empty()).collect()
    }

    #[test]
    fn a_block_is_filled_once_it_is_reached() {
        let (precision, vector) = (Precision::Half, 8);
        let layout = BlockLayout { precision, kv_heads: 1, vector, block: 2 * KV_BLOCK * vector };
        let budget = 4 * layout.block;
        let mut blocks =
            BlockPool { layout, most: 4, budget, trained: 4 * KV_BLOCK, made: 0, free: Vec::new() };
        let mut sequence = blocks.begin(4 * KV_BLOCK, None).expect("there is room");
        assert!(sequence.is_filled(0) && !sequence.is_filled(1));
        sequence.fill(1);
        assert_eq!(filled(&sequence), [true, false, false, false]);
        assert!(sequence.is_filled(KV_BLOCK) && !sequence.is_filled(KV_BLOCK + 1));
        sequence.advance(KV_BLOCK - 1);
        assert!(sequence.is_filled(1) && !sequence.is_filled(2));
        sequence.fill(2);
        assert_eq!(filled(&sequence), [true, true, false, false]);

        // A block that comes back stays filled, and the next sequence to have it asks for each block.
        blocks.end(sequence);
        let mut next = blocks.begin(4 * KV_BLOCK, None).expect("all came back");
        assert_eq!(filled(&next), [false, false, true, true]);
        assert!(!next.is_filled(4 * KV_BLOCK));
        next.fill(4 * KV_BLOCK);
        assert!(next.is_filled(4 * KV_BLOCK) && blocks.used() == budget);
    }
}
