//! Figures with one writer, which anyone reads as of one moment and without stopping it: a sequence lock.
//!
//! The number is odd while the writer changes figures, and a reader whose number changed reads again. Orderings after
//! H.-J. Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012. The kernel's statistics
//! and the pool's are kept in it; the pool's model checker (`--cfg shuttle`) tries it.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(not(shuttle))]
use core::hint::spin_loop;
#[cfg(not(shuttle))]
use core::sync::atomic::{AtomicU32, AtomicU64, fence};
#[cfg(shuttle)]
use shuttle::hint::spin_loop;
#[cfg(shuttle)]
use shuttle::sync::atomic::{AtomicU32, AtomicU64, fence};

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// A figure that one thread or core changes and anyone reads.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Count(AtomicU64);

impl Count {
    /// Its current value.
    #[inline]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Sets it.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Adds to it, wrapping. Its one writer needs no atomic addition.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.set(self.get().wrapping_add(amount));
    }
}

/// `T` is made of [`Count`]s, which change together.
#[derive(Debug, Default)]
#[repr(C)]
pub struct SeqLock<T> {
    /// Odd while they change.
    sequence: AtomicU32,
    counts: T,
}

impl<T> SeqLock<T> {
    /// `counts`, unchanged as yet.
    #[inline]
    #[must_use]
    pub const fn new(counts: T) -> Self {
        Self { sequence: AtomicU32::new(0), counts }
    }

    /// The result of `read` on the figures, all as of one moment. It is called again as long as they change meanwhile.
    #[inline]
    pub fn read<R>(&self, read: impl Fn(&T) -> R) -> R {
        loop {
            let before = self.sequence.load(Acquire);
            let result = read(&self.counts);
            fence(Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Relaxed) == before {
                return result;
            }
            spin_loop();
        }
    }

    /// Changes figures. Only their one writer calls this, and never from inside `change`.
    #[inline]
    pub fn update(&self, change: impl FnOnce(&T)) {
        let sequence = self.sequence.load(Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Relaxed);
        fence(Release);
        change(&self.counts);
        self.sequence.store(sequence.wrapping_add(2), Release);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn a_reader_never_sees_half_a_change() {
        const CHANGES: u64 = 200_000;
        let figures = SeqLock::<[Count; 2]>::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..CHANGES {
                    figures.update(|[ones, threes]| {
                        ones.add(1);
                        threes.add(3);
                    });
                }
            });
            let mut last = 0;
            while last < CHANGES {
                let [ones, threes] = figures.read(|counts| [counts[0].get(), counts[1].get()]);
                assert_eq!(threes, 3 * ones);
                assert!(ones >= last);
                last = ones;
            }
        });
    }
}
