//! Spin, then park: how long a thread polls shared memory before it sleeps.

use crate::platform::{Platform, is_after};
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::atomic::{AtomicU32, AtomicU64};
use crate::sync::spin_loop;

/// Polls between two readings of the clock.
const POLLS_PER_CLOCK_READ: u32 = 64;

/// The policy of all teams' members.
pub struct WaitPolicy {
    /// Clock, wait and wake.
    pub platform: &'static dyn Platform,
    /// Nanoseconds of polling.
    spin_ns: AtomicU64,
    /// Interrupts that have had their effect.
    acknowledged: AtomicU32,
}

impl WaitPolicy {
    /// Polls for `spin_ns` nanoseconds; 0 for one poll, `u64::MAX` to poll for ever.
    pub fn new(platform: &'static dyn Platform, spin_ns: u64) -> Self {
        Self {
            platform,
            spin_ns: AtomicU64::new(spin_ns),
            acknowledged: AtomicU32::new(platform.interrupts()),
        }
    }

    /// Whether there was an interrupt since the acknowledged ones.
    pub fn interrupted(&self) -> bool {
        is_after(self.platform.interrupts(), self.acknowledged.load(Relaxed))
    }

    /// Acknowledges so many interrupts.
    pub fn acknowledge(&self, interrupts: u32) {
        self.acknowledged.store(interrupts, Relaxed);
    }

    /// Nanoseconds of polling.
    pub fn spin_ns(&self) -> u64 {
        self.spin_ns.load(Relaxed)
    }

    /// Changes how long threads poll, also those that do now.
    pub fn set_spin_ns(&self, nanoseconds: u64) {
        self.spin_ns.store(nanoseconds, Relaxed);
    }

    /// Polls `done` until it holds, but not longer after `since` than the policy allows. Result: whether it holds.
    pub fn spin_until(&self, since: u64, done: impl Fn() -> bool) -> bool {
        while self.spin_ns() > 0 {
            for _ in 0..POLLS_PER_CLOCK_READ {
                if done() {
                    return true;
                }
                spin_loop();
            }
            if self.platform.now_ns().saturating_sub(since) >= self.spin_ns() {
                break;
            }
        }
        done()
    }
}
