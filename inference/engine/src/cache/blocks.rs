//! Blocks of keys and values under one budget, and who has them: sequences, the pool's prefixes, or nobody.
//!
//! A block holds [`KV_BLOCK`] positions of every layer and head. A sequence takes blocks as it grows, always before a
//! step, so that no step allocates. Full blocks are kept as prefixes by the tokens that they hold: sequences whose
//! texts begin alike share them, and they are retained afterwards until their place is wanted.

use alloc::sync::Arc;
use alloc::vec::Vec;

use embodios_gguf::memory::{OutOfMemory, reserved};
use embodios_kernels::KV_BLOCK;

use super::layout::BlockLayout;
use super::prefixes::{BlockTokens, Prefixes};
use super::sequence::{Block, Sequence};
use super::{CacheError, Limits};
use crate::model::Model;

/// The beginning of a text that blocks are there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Whole blocks of it.
    pub blocks: usize,
    /// Those that a sequence has.
    pub used: usize,
}

/// All blocks.
#[derive(Debug)]
pub struct BlockPool {
    layout: BlockLayout,
    /// Blocks that the budget holds.
    most: usize,
    budget: usize,
    /// Bytes that stay free when a block is made.
    spare: usize,
    /// Positions that the model was trained for.
    trained: usize,
    /// Blocks made so far.
    made: usize,
    free: Vec<Block>,
    prefixes: Prefixes,
}

impl BlockPool {
    /// No blocks yet, of at most `budget` bytes in all.
    ///
    /// # Errors
    /// When a block has more bytes than there are addresses.
    pub fn new(model: &Model<'_>, budget: usize) -> Result<Self, CacheError> {
        Ok(Self::of(BlockLayout::new(model)?, budget, model.config.context))
    }

    fn of(layout: BlockLayout, budget: usize, trained: usize) -> Self {
        let (free, prefixes) = (Vec::new(), Prefixes::default());
        Self { layout, most: budget / layout.block, budget, spare: 0, trained, made: 0, free, prefixes }
    }

    /// The same, but `bytes` of the platform's memory stay free whenever a block is made.
    pub(crate) fn with_spare(self, bytes: usize) -> Self {
        Self { spare: bytes, ..self }
    }

    /// Memory that stays free.
    ///
    /// # Errors
    /// When there is not so much.
    pub(crate) fn reserve_spare(&self) -> Result<Vec<u8>, OutOfMemory> {
        reserved(self.spare, "answer")
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
            return Err(self.too_long(context, fits));
        }
        Ok(context)
    }

    /// Blocks that no sequence has, the retained ones among them.
    #[must_use]
    pub const fn available(&self) -> usize {
        self.most - self.made + self.free.len() + self.prefixes.retained()
    }

    /// Whole blocks that are there of a text with these blocks.
    pub fn find(&self, text: impl IntoIterator<Item = BlockTokens>) -> Found {
        let (mut found, mut last) = (Found::default(), None);
        for tokens in text {
            let Some((place, is_used)) = self.prefixes.find(last, &tokens) else { break };
            last = Some(place);
            found.blocks += 1;
            found.used += usize::from(is_used);
        }
        found
    }

    /// A sequence without room for anything.
    #[must_use]
    pub const fn empty(&self) -> Sequence {
        Sequence { layout: self.layout, blocks: Vec::new(), kept: 0, last: None, context: 0, position: 0 }
    }

    /// A sequence that grows up to `context` positions, with blocks for the first `positions`. It begins with what is
    /// there of a text with these blocks.
    ///
    /// # Errors
    /// As [`Self::extend`].
    pub fn begin(
        &mut self,
        context: usize,
        positions: usize,
        text: impl IntoIterator<Item = BlockTokens>,
    ) -> Result<Sequence, CacheError> {
        let list = reserved(context.div_ceil(KV_BLOCK), "list of blocks");
        let blocks = list.map_err(CacheError::OutOfMemory)?;
        let mut sequence = Sequence { blocks, context, ..self.empty() };
        for tokens in text {
            let Some((place, block)) = self.prefixes.take(sequence.last, &tokens) else { break };
            sequence.last = Some(place);
            sequence.blocks.push(block);
        }
        sequence.kept = sequence.blocks.len();
        sequence.position = sequence.kept * KV_BLOCK;
        match self.extend(&mut sequence, positions) {
            Ok(()) => Ok(sequence),
            Err(error) => {
                self.end(sequence);
                Err(error)
            }
        }
    }

    /// Gives a sequence blocks for its first `positions`. Where none is free and no more can be made, retained prefixes
    /// are evicted. A position must be filled before anything is stored there.
    ///
    /// # Errors
    /// [`CacheError::Budget`] when sequences have all blocks, [`CacheError::OutOfMemory`] when the platform's memory
    /// ends before that. The sequence keeps what it got.
    ///
    /// # Panics
    /// When the sequence's context has not so many positions.
    pub fn extend(&mut self, sequence: &mut Sequence, positions: usize) -> Result<(), CacheError> {
        assert!(positions <= sequence.context, "within the context");
        while sequence.end() < positions {
            let block = self.block().map_err(|lack| match lack {
                Some(error) => CacheError::OutOfMemory(error),
                None => self.too_long(positions, sequence.end()),
            })?;
            sequence.blocks.push(block);
        }
        Ok(())
    }

    /// Keeps the next full block of a sequence among the prefixes; `tokens` are those whose keys and values it holds.
    ///
    /// # Panics
    /// When the next block is not full.
    pub(crate) fn keep(&mut self, sequence: &mut Sequence, tokens: &BlockTokens) {
        let next = sequence.next_to_keep().expect("a full block");
        let (place, other) = self.prefixes.keep(sequence.last, tokens, &mut sequence.blocks[next]);
        sequence.last = Some(place);
        sequence.kept += 1;
        self.free.extend(other);
    }

    /// Takes a sequence's blocks back. Those that are among the prefixes stay there.
    pub fn end(&mut self, sequence: Sequence) {
        let Sequence { mut blocks, kept, last, .. } = sequence;
        // There is room: `block` reserved it.
        self.free.extend(blocks.drain(kept..));
        drop(blocks);
        self.prefixes.let_go(last);
    }

    /// Gives back the memory of at least so many bytes of blocks that no sequence has: the free ones, then those
    /// retained. Result: whether there was any.
    pub(crate) fn release(&mut self, bytes: usize) -> bool {
        let made = self.made;
        while (made - self.made).saturating_mul(self.layout.block) < bytes.max(1)
            && self.free.pop().or_else(|| self.prefixes.evict()).is_some()
        {
            self.made -= 1;
        }
        self.made < made
    }

    /// Bytes of a block.
    #[must_use]
    pub const fn block_bytes(&self) -> usize {
        self.layout.block
    }

    /// Bytes of the blocks that sequences have.
    #[must_use]
    pub const fn used(&self) -> usize {
        (self.made - self.free.len() - self.prefixes.retained()) * self.layout.block
    }

    /// Bytes of the blocks that are retained as prefixes, and no sequence has.
    #[must_use]
    pub const fn retained(&self) -> usize {
        self.prefixes.retained() * self.layout.block
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

    fn too_long(&self, context: usize, fits: usize) -> CacheError {
        let bytes = self.layout.block as u128 * context.div_ceil(KV_BLOCK) as u128;
        CacheError::Budget { context, bytes, budget: self.budget, fits }
    }

    /// A free block, a new one, or one that was retained.
    ///
    /// # Errors
    /// When there is none: the platform's memory ended, or the budget.
    fn block(&mut self) -> Result<Block, Option<OutOfMemory>> {
        if let Some(block) = self.free.pop() {
            return Ok(block);
        }
        let made = if self.made < self.most { self.make().map_err(Some) } else { Err(None) };
        made.or_else(|lack| self.prefixes.evict().ok_or(lack))
    }

    fn make(&mut self) -> Result<Block, OutOfMemory> {
        let _spare = self.reserve_spare()?;
        let all = self.made + 1;
        let lists = self.free.try_reserve(all).and_then(|()| self.prefixes.reserve(all));
        lists.map_err(|_| OutOfMemory { what: "list of blocks", bytes: all * size_of::<Block>() })?;
        let block = reserved(self.layout.block, "cache")?;
        self.made = all;
        Ok(Arc::new(block))
    }
}

#[cfg(test)]
mod tests {
    use embodios_kernels::Precision;

    use super::*;

    /// A pool of up to `most` small blocks.
    fn pool(most: usize) -> BlockPool {
        let (precision, vector) = (Precision::Half, 8);
        let layout = BlockLayout { precision, kv_heads: 1, vector, block: 2 * KV_BLOCK * vector };
        BlockPool::of(layout, most * layout.block, 4 * KV_BLOCK)
    }

    /// For each of its blocks, whether it is filled.
    fn filled(sequence: &Sequence) -> Vec<bool> {
        sequence.blocks.iter().map(|block| !block.is_empty()).collect()
    }

    #[test]
    fn a_block_is_filled_once_it_is_reached() {
        let mut blocks = pool(4);
        let mut sequence = blocks.begin(4 * KV_BLOCK, 4 * KV_BLOCK, []).expect("there is room");
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
        let mut next = blocks.begin(4 * KV_BLOCK, 4 * KV_BLOCK, []).expect("all came back");
        assert_eq!(filled(&next), [false, false, true, true]);
        assert!(!next.is_filled(4 * KV_BLOCK));
        next.fill(4 * KV_BLOCK);
        assert!(next.is_filled(4 * KV_BLOCK) && blocks.used() == blocks.budget());
    }

    #[test]
    fn a_sequence_grows_at_the_cost_of_what_is_retained() {
        let tokens = |block: u32| [block; KV_BLOCK];
        let mut blocks = pool(4);
        let mut first = blocks.begin(4 * KV_BLOCK, 2 * KV_BLOCK + 1, []).expect("there is room");
        first.advance(2 * KV_BLOCK + 1);
        [0, 1].into_iter().for_each(|block| blocks.keep(&mut first, &tokens(block)));
        assert!(first.next_to_keep().is_none() && blocks.available() == 1);
        blocks.end(first);
        let block = blocks.block_bytes();
        assert_eq!((blocks.used(), blocks.retained(), blocks.bytes()), (0, 2 * block, 3 * block));

        // Half of it is found again, and the other half makes place.
        let text = || [tokens(0), tokens(7)].into_iter();
        assert_eq!(blocks.find(text()), Found { blocks: 1, used: 0 });
        let mut second = blocks.begin(4 * KV_BLOCK, KV_BLOCK + 1, text()).expect("there is room");
        assert_eq!((second.position(), second.end()), (KV_BLOCK, 2 * KV_BLOCK));
        assert_eq!((blocks.find(text()), blocks.retained()), (Found { blocks: 1, used: 1 }, block));
        blocks.extend(&mut second, 4 * KV_BLOCK).expect("the retained block makes place");
        assert_eq!((blocks.available(), blocks.retained(), blocks.used()), (0, 0, 4 * block));
        assert!(matches!(blocks.begin(1, 1, []), Err(CacheError::Budget { .. })));
        blocks.end(second);
        assert!(blocks.release(1) && blocks.bytes() == 3 * block);
        assert!(blocks.release(usize::MAX) && blocks.bytes() == 0 && !blocks.release(1));
    }
}
