//! A worker's queue of consecutive pieces of a loop: it takes them at the front, others steal at the back.
//!
//! The pieces not yet begun are always one range, so both ends fit into one word, and taking or stealing is one
//! compare-and-exchange of it: nothing is allocated and nothing overflows. (A deque of arbitrary tasks needs an
//! array and more care: Chase and Lev, "Dynamic circular work-stealing deque", SPAA 2005.) The word says
//! everything, so it does no harm when it changes and comes back between a look and the exchange.

use core::ops::Range;

use crate::sync::atomic::AtomicU64;
use crate::sync::atomic::Ordering::Relaxed;

/// Pieces `start..end`, as `end << 32 | start`. The worker that fills it and the reader of the pieces' results meet the
/// others by a fork or a join, so the word itself orders nothing.
#[derive(Debug, Default)]
pub struct Queue(AtomicU64);

impl Queue {
    /// Puts pieces in; the queue must be empty or out of the others' sight.
    pub fn fill(&self, pieces: Range<u32>) {
        self.0.store(packed(&pieces), Relaxed);
    }

    /// The first piece, for the owner.
    pub fn take(&self) -> Option<u32> {
        self.change(|Range { start, end }| (start + 1..end, start))
    }

    /// The later half of the pieces, or the only one, for another worker.
    pub fn steal(&self) -> Option<Range<u32>> {
        self.change(|Range { start, end }| {
            let middle = start + (end - start) / 2;
            (start..middle, middle..end)
        })
    }

    /// Changes the pieces, unless there are none, to the first part of the result, and returns the second.
    fn change<R>(&self, change: impl Fn(Range<u32>) -> (Range<u32>, R)) -> Option<R> {
        let mut word = self.0.load(Relaxed);
        loop {
            let pieces = word as u32..(word >> 32) as u32;
            if pieces.is_empty() {
                return None;
            }
            let (rest, result) = change(pieces);
            match self.0.compare_exchange_weak(word, packed(&rest), Relaxed, Relaxed) {
                Ok(_) => return Some(result),
                Err(now) => word = now,
            }
        }
    }
}

fn packed(pieces: &Range<u32>) -> u64 {
    u64::from(pieces.end) << 32 | u64::from(pieces.start)
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn the_owner_takes_in_front_and_others_halve_the_rest() {
        let queue = Queue::default();
        assert_eq!((queue.take(), queue.steal()), (None, None));
        queue.fill(3..10);
        assert_eq!(queue.take(), Some(3));
        assert_eq!(queue.steal(), Some(7..10));
        assert_eq!(queue.steal(), Some(5..7));
        assert_eq!(queue.take(), Some(4));
        assert_eq!((queue.take(), queue.steal()), (None, None));
        queue.fill(u32::MAX - 1..u32::MAX);
        assert_eq!(queue.steal(), Some(u32::MAX - 1..u32::MAX));
        assert_eq!(queue.take(), None);
    }
}
