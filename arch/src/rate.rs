//! The counter's rate, found once by an implementation's clock set-up and read for ever after.

use core::sync::atomic::{AtomicU64, Ordering};

/// Ticks a second of the counter, set once by the implementation's clock set-up.
pub(crate) struct CounterRate(AtomicU64);

impl CounterRate {
    pub(crate) const fn unknown() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn set(&self, hz: u64) {
        self.0.store(hz, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
