//! Words with one writer, which any thread may read together as of one moment.

use core::array;
use embodios_seqlock::{Count, SeqLock};

/// `N` words that change together.
#[derive(Debug)]
pub struct Counters<const N: usize>(SeqLock<[Count; N]>);

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self(SeqLock::new(array::from_fn(|_| Count::default())))
    }
}

impl<const N: usize> Counters<N> {
    /// Sets words to what `change` makes of them; no two threads may do so at once.
    pub fn update(&self, change: impl FnOnce(&[Count; N])) {
        self.0.update(change);
    }

    /// Sets all words to 0, as [`Self::update`] does.
    pub fn clear(&self) {
        self.update(|words| words.iter().for_each(|word| word.set(0)));
    }

    /// All words as they were at one moment.
    pub fn read(&self) -> [u64; N] {
        self.0.read(|words| array::from_fn(|index| words[index].get()))
    }
}
