//! Time as a type: points on the machine's monotonic counter and spans between them.

use core::ops::Add;
use core::time::Duration;
use embodios_arch::{Arch, Architecture};

/// A point in time, in ticks of the architecture's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self(Arch::counter())
    }

    /// The point at which the counter shows `ticks`.
    #[must_use]
    pub const fn from_counter(ticks: u64) -> Self {
        Self(ticks)
    }

    /// Its counter value.
    #[must_use]
    pub const fn counter(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to this point; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let ticks = u128::from(self.0.saturating_sub(earlier.0));
        let nanoseconds = ticks * 1_000_000_000 / u128::from(Arch::counter_hz().max(1));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// Time from this point until now.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now().since(self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let ticks = span.as_nanos() * u128::from(Arch::counter_hz()) / 1_000_000_000;
        Self(self.0.saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_a_span_and_measuring_it_agree() {
        let start = Instant::now();
        let later = start + Duration::from_micros(12_345);
        assert_eq!(later.since(start), Duration::from_micros(12_345));
        assert_eq!(start.since(later), Duration::ZERO);
        assert_eq!(Instant::from_counter(u64::MAX) + Duration::from_secs(1), Instant::from_counter(u64::MAX));
    }
}
