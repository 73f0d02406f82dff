//! Pair merging in one piece of text: always the pair of lowest rank next, the leftmost of equals.
//!
//! A heap of candidate pairs over a linked list of symbols: O(n log n) for n characters. Candidates
//! that an earlier merge made stale are recognised when they come up, not searched for.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// No neighbour.
const NONE: usize = usize::MAX;

/// A piece of the word, in a doubly linked list in text order.
struct Symbol {
    start: usize,
    /// 0 once it was merged into its left neighbour.
    length: usize,
    previous: usize,
    next: usize,
}

/// A pair of neighbours that may merge, ordered by rank, then by place.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    left: usize,
    /// Bytes of the pair: says whether either side has changed since.
    length: usize,
}

/// Working memory, kept between words.
#[derive(Default)]
pub struct Merger {
    symbols: Vec<Symbol>,
    candidates: BinaryHeap<Reverse<Candidate>>,
}

impl Merger {
    /// Splits `word` into characters, merges them by `rank` (of a left and a right piece; lowest
    /// first; `None`: they do not merge) and hands each remaining piece to `emit`, in order.
    pub fn merge<'w>(
        &mut self,
        word: &'w str,
        mut rank: impl FnMut(&str, &str) -> Option<u32>,
        emit: impl FnMut(&'w str),
    ) {
        self.merge_at(word, |pair, middle| rank(&pair[..middle], &pair[middle..]), emit);
    }

    /// As [`Self::merge`], where the rank depends on the joined pair only.
    pub fn merge_pairs<'w>(
        &mut self,
        word: &'w str,
        mut rank: impl FnMut(&str) -> Option<u32>,
        emit: impl FnMut(&'w str),
    ) {
        self.merge_at(word, |pair, _| rank(pair), emit);
    }

    /// `rank` is of a pair and the place inside it where its right piece begins.
    fn merge_at<'w>(
        &mut self,
        word: &'w str,
        mut rank: impl FnMut(&str, usize) -> Option<u32>,
        mut emit: impl FnMut(&'w str),
    ) {
        self.symbols.clear();
        for (index, (start, character)) in word.char_indices().enumerate() {
            let previous = index.checked_sub(1).unwrap_or(NONE);
            self.symbols.push(Symbol { start, length: character.len_utf8(), previous, next: index + 1 });
        }
        let Some(last) = self.symbols.last_mut() else { return };
        last.next = NONE;

        self.candidates.clear();
        for left in 0..self.symbols.len() {
            self.propose(word, &mut rank, left);
        }
        while let Some(Reverse(candidate)) = self.candidates.pop() {
            if let Some(left) = self.apply(&candidate) {
                self.propose(word, &mut rank, left);
                self.propose(word, &mut rank, self.symbols[left].previous);
            }
        }
        let mut index = 0;
        while index != NONE {
            let symbol = &self.symbols[index];
            emit(&word[symbol.start..symbol.start + symbol.length]);
            index = symbol.next;
        }
    }

    /// Queues the pair that begins at symbol `left`, if there is one and it has a rank.
    fn propose(&mut self, word: &str, rank: impl FnOnce(&str, usize) -> Option<u32>, left: usize) {
        let Some(first) = self.symbols.get(left) else { return };
        let Some(second) = self.symbols.get(first.next) else { return };
        let length = first.length + second.length;
        if let Some(rank) = rank(&word[first.start..][..length], first.length) {
            self.candidates.push(Reverse(Candidate { rank, left, length }));
        }
    }

    /// Merges the pair unless it is stale. Result: the symbol that grew.
    fn apply(&mut self, candidate: &Candidate) -> Option<usize> {
        let left = &self.symbols[candidate.left];
        let right = left.next;
        if left.length == 0 || right == NONE || left.length + self.symbols[right].length != candidate.length {
            return None;
        }
        let after = self.symbols[right].next;
        self.symbols[right].length = 0;
        if let Some(after) = self.symbols.get_mut(after) {
            after.previous = candidate.left;
        }
        let left = &mut self.symbols[candidate.left];
        left.length = candidate.length;
        left.next = after;
        Some(candidate.left)
    }
}
