//! Counters with one writer, which any thread may read together as of one moment: a sequence lock.
//!
//! Orderings after Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012.

use core::array;

use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicU32, AtomicU64, fence};
use crate::sync::spin_loop;

/// `N` words that change together.
#[derive(Debug)]
pub struct Counters<const N: usize> {
    /// Odd while the words change.
    sequence: AtomicU32,
    words: [AtomicU64; N],
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self { sequence: AtomicU32::new(0), words: array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl<const N: usize> Counters<N> {
    /// Sets words to what `change` makes of them; no two threads may do so at once.
    pub fn update(&self, change: impl FnOnce(&Words<'_>)) {
        let sequence = self.sequence.load(Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Relaxed);
        fence(Release);
        change(&Words(&self.words));
        self.sequence.store(sequence.wrapping_add(2), Release);
    }

    /// All words as they were at one moment.
    pub fn read(&self) -> [u64; N] {
        loop {
            let before = self.sequence.load(Acquire);
            let words = array::from_fn(|index| self.words[index].load(Relaxed));
            fence(Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Relaxed) == before {
                return words;
            }
            spin_loop();
        }
    }
}

/// The words, for their one writer.
pub struct Words<'w>(&'w [AtomicU64]);

impl Words<'_> {
    /// The word's value.
    pub fn get(&self, index: usize) -> u64 {
        self.0[index].load(Relaxed)
    }

    /// Sets the word.
    pub fn set(&self, index: usize, value: u64) {
        self.0[index].store(value, Relaxed);
    }

    /// Adds to the word.
    pub fn add(&self, index: usize, value: u64) {
        self.set(index, self.get(index).wrapping_add(value));
    }

    /// Sets all words to 0.
    pub fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Relaxed));
    }
}
