//! Spread of measured times.

use alloc::vec::Vec;
use core::fmt;

use serde_json::{Value, json};

/// Statistics of a list of times. All are in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
    /// The time that half of them did not exceed.
    pub p50: u64,
    /// The same for 99 %.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

impl Spread {
    /// All 0 of no times.
    pub fn of(times: impl IntoIterator<Item = u64>) -> Self {
        let mut times: Vec<u64> = times.into_iter().collect();
        times.sort_unstable();
        let count = times.len().max(1) as f64;
        let sum: u64 = times.iter().sum();
        let mean = sum as f64 / count;
        let square = |&time: &u64| (time as f64 - mean) * (time as f64 - mean);
        let squares = times.iter().map(square).fold(0.0, |sum, square| sum + square);
        let percentile = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100);
            times.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        Self {
            mean,
            deviation: libm::sqrt(squares / count),
            p50: percentile(50),
            p99: percentile(99),
            max: percentile(100),
        }
    }

    /// The deviation as a part of the mean.
    pub fn relative(&self) -> f64 {
        if self.mean > 0.0 { self.deviation / self.mean } else { 0.0 }
    }

    /// As a JSON object.
    pub fn json(&self) -> Value {
        let Self { mean, deviation, p50, p99, max } = self;
        let relative = self.relative();
        json!({
            "mean_ns": mean, "deviation_ns": deviation, "relative": relative,
            "p50_ns": p50, "p99_ns": p99, "max_ns": max,
        })
    }
}

/// Heading of [`Spread`]s.
pub const HEADING: &str = "   mean us  deviation  of mean        p50        p99        max";

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |nanoseconds: f64| nanoseconds / 1e3;
        let Self { mean, deviation, p50, p99, max } = *self;
        write!(
            f,
            "{:>10.1} {:>10.1} {:>6.2} % {:>10.1} {:>10.1} {:>10.1}",
            us(mean),
            us(deviation),
            self.relative() * 100.0,
            us(p50 as f64),
            us(p99 as f64),
            us(max as f64),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_known_times() {
        let spread = Spread::of((1..=200).rev());
        assert_eq!((spread.p50, spread.p99, spread.max), (100, 198, 200));
        assert!((spread.mean - 100.5).abs() < 1e-9 && (spread.deviation - 57.734_305).abs() < 1e-6);
        let none = Spread::of([]);
        assert_eq!((none.mean, none.max, none.relative()), (0.0, 0, 0.0));
    }
}
