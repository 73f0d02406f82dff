//! A histogram with fixed bounds.

/// Upper bounds of times in seconds: three to a power of ten, from a step of a small model to a long answer of a large
/// one.
const TIMES: &[f64] = &[
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0,
    50.0, 100.0, 200.0, 500.0,
];

/// Upper bounds of numbers of requests: those of a batch.
const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// Counts of values up to each bound.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// Values up to each bound and above the one before it; values above all bounds are only in `count`.
    counts: [u64; TIMES.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    /// A histogram of times in seconds.
    pub const fn of_times() -> Self {
        Self { bounds: TIMES, counts: [0; TIMES.len()], count: 0, sum: 0.0 }
    }

    /// A histogram of numbers of requests.
    pub const fn of_counts() -> Self {
        Self { bounds: COUNTS, ..Self::of_times() }
    }

    /// Counts a value.
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        let bucket = self.bounds.iter().position(|&bound| value <= bound);
        if let Some(count) = bucket.and_then(|bucket| self.counts.get_mut(bucket)) {
            *count += 1;
        }
    }

    /// Each bound with the number of values up to it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        self.bounds.iter().zip(&self.counts).scan(0, |sum, (&bound, &count)| {
            *sum += count;
            Some((bound, *sum))
        })
    }

    /// Number of values.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    pub const fn sum(&self) -> f64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn buckets_are_cumulative() {
        let mut histogram = Histogram::of_counts();
        [1.0, 2.0, 3.0, 64.0, 65.0].into_iter().for_each(|value| histogram.add(value));
        let counts: Vec<u64> = histogram.cumulative().map(|(_, count)| count).collect();
        assert_eq!(counts, [1, 2, 3, 3, 3, 3, 4]);
        assert_eq!((histogram.count(), histogram.sum()), (5, 135.0));
    }
}
