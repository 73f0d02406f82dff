//! Nanoseconds of the machine from ticks of its counter.

/// Fraction bits of the factor.
const SHIFT: u32 = 32;

/// A counter with known zero and frequency.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    zero: u64,
    /// Nanoseconds a tick, times 2^[`SHIFT`].
    factor: u64,
}

impl Clock {
    /// A counter that ticks `hz` times a second and read `zero` at time 0; `None` when `hz` is 0.
    pub const fn new(zero: u64, hz: u64) -> Option<Self> {
        match (1_000_000_000u64 << SHIFT).checked_div(hz) {
            Some(factor) => Some(Self { zero, factor }),
            None => None,
        }
    }

    /// Nanoseconds from time 0 to the moment the counter read `ticks`.
    pub const fn nanoseconds(self, ticks: u64) -> u64 {
        self.span(ticks.wrapping_sub(self.zero))
    }

    /// Nanoseconds that so many ticks take.
    pub const fn span(self, ticks: u64) -> u64 {
        ((ticks as u128 * self.factor as u128) >> SHIFT) as u64
    }

    /// The counter's value at the earliest moment that is `nanoseconds` from time 0; `u64::MAX`, where it is never, for
    /// `u64::MAX`.
    pub const fn counter(self, nanoseconds: u64) -> u64 {
        if nanoseconds == u64::MAX { u64::MAX } else { self.zero.saturating_add(self.ticks(nanoseconds)) }
    }

    /// Ticks that take at least so many nanoseconds; `u64::MAX` when they are more than that.
    pub const fn ticks(self, nanoseconds: u64) -> u64 {
        let ticks = ((nanoseconds as u128) << SHIFT).div_ceil(self.factor as u128);
        if ticks > u64::MAX as u128 { u64::MAX } else { ticks as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn scales_without_overflow() {
        for hz in [1_000_000, 62_500_000, 1_000_000_000, 2_599_999_873, 5_000_000_000] {
            let clock = Clock::new(77, hz).unwrap();
            assert_eq!(clock.nanoseconds(77), 0);
            let year = 365 * 86_400;
            let found = clock.nanoseconds(77 + hz * year) as f64;
            let expected = year as f64 * 1e9;
            assert!((found / expected - 1.0).abs() < 1e-8, "{hz} Hz: {found}");
        }
        assert!(Clock::new(0, 0).is_none());
    }

    #[test]
    fn ticks_are_enough_and_not_many_more() {
        for hz in [1_000_000, 62_500_000, 2_599_999_873] {
            let clock = Clock::new(0, hz).unwrap();
            for nanoseconds in [0, 1, 999, 1_000_000, 3_600_000_000_000] {
                let ticks = clock.ticks(nanoseconds);
                assert!(clock.span(ticks) + 1 >= nanoseconds, "{hz} Hz, {nanoseconds} ns");
                assert!(ticks == 0 || clock.span(ticks - 1) <= nanoseconds, "{hz} Hz, {nanoseconds} ns");
            }
            assert_eq!(clock.ticks(u64::MAX) == u64::MAX, hz > 1_000_000_000);
            // Not before that time, and at most a tick after it.
            assert!((7 + hz..=8 + hz).contains(&Clock::new(7, hz).unwrap().counter(1_000_000_000)));
            assert_eq!(clock.counter(u64::MAX), u64::MAX);
        }
    }
}
