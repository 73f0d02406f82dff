//! Histogram of times: counts in buckets of 3 % width, in fixed memory.
//!
//! Buckets are log-linear: each power of two is cut into 32 equal ones, and times below 32 ns have one each.

use super::counters::Counters;

/// Buckets a power of two, as a power of two.
const FINE: u32 = 5;
/// Longest time told apart from longer ones: 2^40 ns, 18 minutes.
const LIMIT: u64 = (1 << 40) - 1;
/// Words before the buckets: number of times, their sum, the sum of their squares as the bits of an `f64`, the longest.
const COUNT: usize = 0;
const SUM: usize = 1;
const SQUARES: usize = 2;
const MAX: usize = 3;
const HEAD: usize = 4;
const WORDS: usize = HEAD + bucket(LIMIT) + 1;

/// Times, in nanoseconds. One thread records, any thread reads.
#[derive(Debug, Default)]
pub struct Histogram(Counters<WORDS>);

/// Statistics of a histogram. All times are in nanoseconds, and 0 where nothing was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Number of times.
    pub count: u64,
    /// Their mean.
    pub mean_ns: f64,
    /// Their standard deviation.
    pub deviation_ns: f64,
    /// The time that half of them did not exceed, to 3 %.
    pub p50_ns: u64,
    /// The same for 99 %.
    pub p99_ns: u64,
    /// The same for 99.9 %.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

impl Histogram {
    /// Counts a time.
    pub fn record(&self, nanoseconds: u64) {
        self.0.update(|words| {
            words[COUNT].add(1);
            words[SUM].add(nanoseconds);
            let square = nanoseconds as f64 * nanoseconds as f64;
            words[SQUARES].set((f64::from_bits(words[SQUARES].get()) + square).to_bits());
            words[MAX].set(words[MAX].get().max(nanoseconds));
            words[HEAD + bucket(nanoseconds.min(LIMIT))].add(1);
        });
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.0.clear();
    }

    /// All figures, of several histograms together.
    pub fn summary<'h>(histograms: impl Iterator<Item = &'h Self>) -> Summary {
        let mut total = [0; WORDS];
        let mut squares = 0.0;
        for Self(counters) in histograms {
            let words = counters.read();
            squares += f64::from_bits(words[SQUARES]);
            let max = total[MAX].max(words[MAX]);
            total.iter_mut().zip(words).for_each(|(total, word)| *total = total.wrapping_add(word));
            total[MAX] = max;
        }
        let (count, max) = (total[COUNT], total[MAX]);
        if count == 0 {
            return Summary::default();
        }
        let mean = total[SUM] as f64 / count as f64;
        let percentile = |thousandths: u64| {
            let rank = (count * thousandths).div_ceil(1000);
            let mut seen = 0;
            let reached = total[HEAD..].iter().position(|&times| {
                seen += times;
                seen >= rank
            });
            reached.map_or(max, |bucket| last_of(bucket).min(max))
        };
        Summary {
            count,
            mean_ns: mean,
            deviation_ns: libm::sqrt((squares / count as f64 - mean * mean).max(0.0)),
            p50_ns: percentile(500),
            p99_ns: percentile(990),
            p999_ns: percentile(999),
            max_ns: max,
        }
    }
}

/// The bucket of a time.
const fn bucket(nanoseconds: u64) -> usize {
    let extra = nanoseconds.checked_ilog2();
    match extra {
        Some(log) if log > FINE => {
            let shift = log - FINE;
            ((shift as usize) << FINE) + (nanoseconds >> shift) as usize
        }
        _ => nanoseconds as usize,
    }
}

/// The longest time of a bucket.
const fn last_of(bucket: usize) -> u64 {
    let shift = (bucket >> FINE).saturating_sub(1);
    let first = (bucket - (shift << FINE)) as u64;
    ((first + 1) << shift) - 1
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn figures_of_known_times() {
        let histogram = Histogram::default();
        assert_eq!(Histogram::summary([&histogram].into_iter()), Summary::default());
        (1..=1000).for_each(|time| histogram.record(time * 1000));
        let other = Histogram::default();
        let summary = Histogram::summary([&histogram, &other].into_iter());
        assert_eq!((summary.count, summary.max_ns), (1000, 1_000_000));
        assert!((summary.mean_ns - 500_500.0).abs() < 1e-6, "{summary:?}");
        assert!((summary.deviation_ns - 288_675.0).abs() < 1.0, "{summary:?}");
        for (found, expected) in
            [(summary.p50_ns, 500_000), (summary.p99_ns, 990_000), (summary.p999_ns, 999_000)]
        {
            assert!((expected..=expected + expected / 32).contains(&found), "{summary:?}");
        }
        histogram.reset();
        assert_eq!(Histogram::summary([&histogram].into_iter()), Summary::default());
        histogram.record(u64::MAX);
        assert_eq!(Histogram::summary([&histogram].into_iter()).p50_ns, LIMIT);
    }

    proptest! {
        #[test]
        fn a_time_lies_in_its_bucket(time in 0..=LIMIT) {
            let own = bucket(time);
            prop_assert!(own < WORDS - HEAD);
            prop_assert!(time <= last_of(own));
            prop_assert!(own == 0 || last_of(own - 1) < time);
            prop_assert!((last_of(own) - time) as f64 <= time as f64 / 32.0);
        }
    }
}
