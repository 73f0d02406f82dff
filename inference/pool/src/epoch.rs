//! A number that one thread advances while others wait for that: they poll, then sleep on a futex.
//!
//! No wake-up is lost: a waiter announces its sleep in `sleepers` before it waits for the number to change, and the
//! other thread changes the number before it reads `sleepers`, all sequentially consistent; so either the sleeper is
//! seen and woken, or its wait sees the new number.

use super::record::Work;
use super::wait_policy::WaitPolicy;
use crate::platform::NEVER;
use crate::sync::atomic::AtomicU32;
use crate::sync::atomic::Ordering::SeqCst;

/// The number, and its waiters.
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

    /// Sets the number to 0. No thread may be waiting.
    pub fn reset(&self) {
        self.number.store(0, SeqCst);
    }

    /// Advances, for up to `others` threads. A thread that sees it sees what was written before. Result: wake-ups sent.
    pub fn advance(&self, policy: &WaitPolicy, others: u32) -> u64 {
        self.number.fetch_add(1, SeqCst);
        if self.sleepers.load(SeqCst) == 0 {
            return 0;
        }
        policy.platform.wake(&self.number, others);
        1
    }

    /// Waits while the number is `seen`, last polled at `since`. Result: time asleep and wake-ups received.
    pub fn wait(&self, policy: &WaitPolicy, seen: u32, since: u64) -> Work {
        let mut work = Work::default();
        if policy.spin_until(since, || self.number() != seen) {
            return work;
        }
        let asleep = policy.platform.now_ns();
        self.sleepers.fetch_add(1, SeqCst);
        while self.number() == seen {
            policy.platform.wait(&self.number, seen, NEVER);
            work.wakeups_received = 1;
        }
        self.sleepers.fetch_sub(1, SeqCst);
        work.asleep_ns = policy.platform.now_ns().saturating_sub(asleep);
        work
    }
}
