//! Distribution of measured times, as the console's benches report it.

use serde::{Deserialize, Serialize};

use super::median;

/// Mean, deviation and percentiles of times, in nanoseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct TimeSpread {
    /// Mean.
    pub mean_ns: f64,
    /// Standard deviation.
    pub deviation_ns: f64,
    /// Deviation / mean.
    pub relative: f64,
    /// Median.
    pub p50_ns: f64,
    /// 99th percentile.
    pub p99_ns: f64,
    /// The longest.
    pub max_ns: f64,
}

impl TimeSpread {
    /// The median of each figure.
    ///
    /// # Panics
    /// When `spreads` is empty.
    pub fn medians(spreads: &[Self]) -> Self {
        let figure = |field: fn(&Self) -> f64| median(spreads.iter().map(field).collect());
        Self {
            mean_ns: figure(|spread| spread.mean_ns),
            deviation_ns: figure(|spread| spread.deviation_ns),
            relative: figure(|spread| spread.relative),
            p50_ns: figure(|spread| spread.p50_ns),
            p99_ns: figure(|spread| spread.p99_ns),
            max_ns: figure(|spread| spread.max_ns),
        }
    }
}
