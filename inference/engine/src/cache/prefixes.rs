//! Prefixes: full blocks by the tokens that they hold, while sequences have them and afterwards.
//!
//! A block's keys and values follow from its tokens and all those before. So blocks are nodes of a tree: one is found
//! behind the block before it, by its own tokens, every one of which is compared. Blocks that no sequence has any more
//! are retained until they are evicted, least recently used first. A sequence lets go of its last block first, so that
//! what is evicted has nothing behind it.

use alloc::collections::TryReserveError;
use alloc::sync::Arc;
use alloc::vec::Vec;

use embodios_kernels::KV_BLOCK;

use super::sequence::Block;

/// The tokens of a block.
pub type BlockTokens = [u32; KV_BLOCK];

/// A full block.
#[derive(Debug)]
struct Node {
    /// The node of the block before it.
    before: Option<usize>,
    tokens: BlockTokens,
    block: Block,
    /// Neighbours in the order of eviction, where no sequence has the block.
    older: Option<usize>,
    newer: Option<usize>,
}

impl Node {
    /// Whether no sequence has the block.
    fn is_retained(&self) -> bool {
        Arc::strong_count(&self.block) == 1
    }
}

/// The tree of full blocks.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    nodes: Vec<Option<Node>>,
    vacant: Vec<usize>,
    /// The nodes, sorted by the block before and the tokens.
    order: Vec<usize>,
    oldest: Option<usize>,
    newest: Option<usize>,
    retained: usize,
}

impl Prefixes {
    /// Makes room for `blocks` blocks in all.
    pub(super) fn reserve(&mut self, blocks: usize) -> Result<(), TryReserveError> {
        self.nodes.try_reserve(blocks.saturating_sub(self.nodes.len()))?;
        self.vacant.try_reserve(blocks.saturating_sub(self.vacant.len()))?;
        self.order.try_reserve(blocks.saturating_sub(self.order.len()))
    }

    /// Blocks that no sequence has.
    pub(super) const fn retained(&self) -> usize {
        self.retained
    }

    /// The node behind `before` with these tokens, and whether a sequence has its block.
    pub(super) fn find(&self, before: Option<usize>, tokens: &BlockTokens) -> Option<(usize, bool)> {
        let place = self.order[self.search(before, tokens).ok()?];
        Some((place, !self.node(place).is_retained()))
    }

    /// Takes the block behind `before` with these tokens for a sequence.
    pub(super) fn take(&mut self, before: Option<usize>, tokens: &BlockTokens) -> Option<(usize, Block)> {
        let (place, has_owner) = self.find(before, tokens)?;
        if !has_owner {
            self.unlink(place);
        }
        Some((place, self.node(place).block.clone()))
    }

    /// Takes up a sequence's block behind its block `before`. Where another sequence was first, both have that one's
    /// block from now on. Result: the node, and the block that the sequence had instead. There must be room.
    pub(super) fn keep(
        &mut self,
        before: Option<usize>,
        tokens: &BlockTokens,
        block: &mut Block,
    ) -> (usize, Option<Block>) {
        if let Some((place, same)) = self.take(before, tokens) {
            return (place, Some(core::mem::replace(block, same)));
        }
        let index = self.search(before, tokens).unwrap_or_else(|index| index);
        let node = Node { before, tokens: *tokens, block: block.clone(), older: None, newer: None };
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            self.nodes.len() - 1
        });
        self.nodes[place] = Some(node);
        self.order.insert(index, place);
        (place, None)
    }

    /// Takes note that a sequence no longer has the blocks up to node `last`.
    pub(super) fn let_go(&mut self, mut last: Option<usize>) {
        while let Some(place) = last {
            let node = self.node(place);
            last = node.before;
            if node.is_retained() {
                self.link(place);
            }
        }
    }

    /// Takes out the block that no sequence has had for longest.
    pub(super) fn evict(&mut self) -> Option<Block> {
        let place = self.oldest?;
        self.unlink(place);
        let node = self.node(place);
        if let Ok(index) = self.search(node.before, &node.tokens) {
            self.order.remove(index);
        }
        self.vacant.push(place);
        self.nodes[place].take().map(|node| node.block)
    }

    fn node(&self, place: usize) -> &Node {
        self.nodes[place].as_ref().expect(IS_TAKEN)
    }

    fn node_mut(&mut self, place: usize) -> &mut Node {
        self.nodes[place].as_mut().expect(IS_TAKEN)
    }

    /// The index in `order` of the node behind `before` with these tokens, or where it would be.
    fn search(&self, before: Option<usize>, tokens: &BlockTokens) -> Result<usize, usize> {
        self.order.binary_search_by(|&place| {
            let node = self.node(place);
            (node.before, &node.tokens).cmp(&(before, tokens))
        })
    }

    /// Puts a node last in the order of eviction.
    fn link(&mut self, place: usize) {
        let older = self.newest.replace(place);
        let node = self.node_mut(place);
        (node.older, node.newer) = (older, None);
        match older {
            Some(older) => self.node_mut(older).newer = Some(place),
            None => self.oldest = Some(place),
        }
        self.retained += 1;
    }

    /// Takes a node out of the order of eviction.
    fn unlink(&mut self, place: usize) {
        let &Node { older, newer, .. } = self.node(place);
        match older {
            Some(older) => self.node_mut(older).newer = newer,
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => self.node_mut(newer).older = older,
            None => self.newest = older,
        }
        self.retained -= 1;
    }
}

/// Proof for [`Prefixes::node`].
const IS_TAKEN: &str = "places that are named have a node: what is evicted has nothing behind it";

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn tokens(first: u32) -> BlockTokens {
        core::array::from_fn(|index| first + index as u32)
    }

    /// The sequence's blocks, each with its first byte, and the last one's node.
    fn text(prefixes: &mut Prefixes, blocks: &[u32]) -> (Vec<Block>, Option<usize>) {
        let (mut own, mut last) = (Vec::new(), None);
        for &first in blocks {
            prefixes.reserve(prefixes.order.len() + 1).expect("there is memory");
            let mut block = Arc::new(vec![first as u8]);
            last = Some(prefixes.keep(last, &tokens(first), &mut block).0);
            own.push(block);
        }
        (own, last)
    }

    fn evicted(prefixes: &mut Prefixes) -> Option<u8> {
        prefixes.evict().map(|block| block[0])
    }

    #[test]
    fn what_was_used_last_is_evicted_last_and_leaves_go_first() {
        let mut prefixes = Prefixes::default();
        let (first, first_last) = text(&mut prefixes, &[1, 2, 3]);
        let (second, second_last) = text(&mut prefixes, &[1, 5]);
        assert!(Arc::ptr_eq(&first[0], &second[0]) && prefixes.order.len() == 4);
        assert_eq!((evicted(&mut prefixes), prefixes.retained()), (None, 0));
        drop(first);
        prefixes.let_go(first_last);
        assert_eq!(prefixes.retained(), 2, "the second has the block 1");
        drop(second);
        prefixes.let_go(second_last);
        assert_eq!(prefixes.retained(), 4);

        // The same tokens behind other ones are another block.
        assert!(prefixes.find(None, &tokens(2)).is_none());
        let (one, block) = prefixes.take(None, &tokens(1)).expect("it is retained");
        assert_eq!((prefixes.find(Some(one), &tokens(2)).map(|found| found.1), block[0]), (Some(false), 1));
        drop(block);
        prefixes.let_go(Some(one));
        let order: Vec<_> = core::iter::from_fn(|| evicted(&mut prefixes)).collect();
        assert_eq!(order, [3, 2, 5, 1]);
        assert!(prefixes.order.is_empty() && prefixes.retained() == 0 && prefixes.newest.is_none());
    }
}
