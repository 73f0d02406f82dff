//! A number that one thread moves on while others wait for that, looking first and then asleep.
//!
//! No wake-up is lost: who waits announces its sleep in `sleepers` before it waits for the number to change, and who
//! moves on changes the number before it looks at `sleepers`, all sequentially consistent; so either the sleeper is
//! seen and woken, or its wait sees the new number.

use super::pace::Pace;
use super::record::Work;
use crate::sync::atomic::AtomicU32;
use crate::sync::atomic::Ordering::SeqCst;

/// The number, and who waits for it.
#[derive(Default)]
pub struct Epoch {
    /// The futex word.
    number: AtomicU32,
    /// Threads that are about to wait for `number` to change, or do.
    sleepers: AtomicU32,
}

impl Epoch {
    /// The number now.
    pub fn number(&self) -> u32 {
        self.number.load(SeqCst)
    }

    /// Sets the number to 0. Nobody may be waiting.
    pub fn reset(&self) {
        self.number.store(0, SeqCst);
    }

    /// Moves on, for up to `others` threads. What was written before is seen by whoever has seen it. Result: wake-ups
    /// that it took.
    pub fn advance(&self, pace: &Pace, others: u32) -> u64 {
        self.number.fetch_add(1, SeqCst);
        if self.sleepers.load(SeqCst) == 0 {
            return 0;
        }
        pace.platform.wake(&self.number, others);
        1
    }

    /// Waits while the number is `seen`, last looked at at `since`. Result: how, with the time asleep and wake-ups
    /// alone.
    pub fn wait(&self, pace: &Pace, seen: u32, since: u64) -> Work {
        let mut work = Work::default();
        if pace.spin_until(since, || self.number() != seen) {
            return work;
        }
        let asleep = pace.platform.now_ns();
        self.sleepers.fetch_add(1, SeqCst);
        while self.number() == seen {
            pace.platform.wait(&self.number, seen);
            work.wakeups_received = 1;
        }
        self.sleepers.fetch_sub(1, SeqCst);
        work.asleep_ns = pace.platform.now_ns().saturating_sub(asleep);
        work
    }
}
