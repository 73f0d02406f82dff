//! How long a thread looks for a change in shared memory before it sleeps.

use crate::platform::{Platform, is_after};
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::atomic::{AtomicU32, AtomicU64};
use crate::sync::spin_loop;

/// Looks between two questions for the time.
const LOOKS: u32 = 64;

/// What the members of all teams wait by.
pub struct Pace {
    /// Clock, wait and wake.
    pub platform: &'static dyn Platform,
    /// Nanoseconds of looking.
    spin_ns: AtomicU64,
    /// Interrupts that have had their effect.
    heeded: AtomicU32,
}

impl Pace {
    /// Looks for `spin_ns` nanoseconds; 0 for one look, `u64::MAX` to look for ever.
    pub fn new(platform: &'static dyn Platform, spin_ns: u64) -> Self {
        Self { platform, spin_ns: AtomicU64::new(spin_ns), heeded: AtomicU32::new(platform.interrupts()) }
    }

    /// Whether there was an interrupt after those heeded.
    pub fn interrupted(&self) -> bool {
        is_after(self.platform.interrupts(), self.heeded.load(Relaxed))
    }

    /// Takes so many interrupts for heeded.
    pub fn heed(&self, interrupts: u32) {
        self.heeded.store(interrupts, Relaxed);
    }

    /// Nanoseconds of looking.
    pub fn spin_ns(&self) -> u64 {
        self.spin_ns.load(Relaxed)
    }

    /// Changes how long threads look, also those that do now.
    pub fn set_spin_ns(&self, nanoseconds: u64) {
        self.spin_ns.store(nanoseconds, Relaxed);
    }

    /// Looks at `done` until it holds, but not longer after `since` than the pace allows. Result: whether it holds.
    pub fn spin_until(&self, since: u64, done: impl Fn() -> bool) -> bool {
        while self.spin_ns() > 0 {
            for _ in 0..LOOKS {
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
