//! Figures of a load: tokens a second, time to the first token, gaps between tokens.

use serde::Serialize;
use std::time::Instant;

use super::load::Stream;
use crate::bench::median;

/// Figures of one load, or the medians of several.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LoadFigures {
    /// Tokens made a second, from the first request to the last event.
    pub tokens_per_second: f64,
    /// Milliseconds from a request to its first token.
    pub first_ms: Percentiles,
    /// Milliseconds between two tokens of a stream.
    pub gap_ms: Percentiles,
}

/// Percentiles of times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
}

impl LoadFigures {
    /// The figures of streams of `generate` tokens each.
    pub fn of(streams: &[Stream], generate: u32) -> Self {
        let begun = streams.iter().map(|stream| stream.begun).min();
        let ended = streams.iter().map(|stream| stream.ended).max();
        let whole = begun.zip(ended).map_or(f64::NAN, |(begun, ended)| milliseconds(begun, ended));
        let first = |stream: &Stream| Some(milliseconds(stream.begun, *stream.tokens.first()?));
        let gaps = |stream: &Stream| -> Vec<f64> {
            stream.tokens.windows(2).map(|two| milliseconds(two[0], two[1])).collect()
        };
        Self {
            tokens_per_second: (streams.len() as f64 * f64::from(generate)) / (whole / 1e3),
            first_ms: Percentiles::of(streams.iter().filter_map(first).collect()),
            gap_ms: Percentiles::of(streams.iter().flat_map(gaps).collect()),
        }
    }

    /// The median of each figure.
    pub fn medians(runs: &[Self]) -> Self {
        let figure = |select: fn(&Self) -> f64| median(runs.iter().map(select).collect());
        Self {
            tokens_per_second: figure(|run| run.tokens_per_second),
            first_ms: Percentiles {
                p50: figure(|run| run.first_ms.p50),
                p99: figure(|run| run.first_ms.p99),
            },
            gap_ms: Percentiles { p50: figure(|run| run.gap_ms.p50), p99: figure(|run| run.gap_ms.p99) },
        }
    }
}

impl Percentiles {
    /// Percentiles by rank: the least value that so many are not above.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let rank = |part: f64| (values.len() as f64 * part).ceil() as usize;
        let at = |part| values.get(rank(part).saturating_sub(1)).copied().unwrap_or(f64::NAN);
        Self { p50: at(0.5), p99: at(0.99) }
    }
}

/// Time from one to the other.
pub fn milliseconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn percentiles_are_values_by_their_rank() {
        let values = (1..=200).rev().map(f64::from).collect();
        assert_eq!(Percentiles::of(values), Percentiles { p50: 100.0, p99: 198.0 });
        assert_eq!(Percentiles::of(vec![3.0]), Percentiles { p50: 3.0, p99: 3.0 });
        assert!(Percentiles::of(Vec::new()).p50.is_nan());
    }

    #[test]
    fn figures_are_over_all_streams() {
        let begun = Instant::now();
        let at = |milliseconds| begun + Duration::from_millis(milliseconds);
        let stream = |sent, tokens: &[u64], ended| Stream {
            begun: at(sent),
            tokens: tokens.iter().map(|&token| at(token)).collect(),
            ended: at(ended),
        };
        let streams = [stream(0, &[10, 20, 40], 50), stream(5, &[25, 35, 95], 100)];
        let figures = LoadFigures::of(&streams, 3);
        assert!((figures.tokens_per_second - 60.0).abs() < 1e-6);
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-6;
        assert!(near(figures.first_ms.p50, 10.0) && near(figures.first_ms.p99, 20.0), "{figures:?}");
        assert!(near(figures.gap_ms.p50, 10.0) && near(figures.gap_ms.p99, 60.0), "{figures:?}");
        let faster = LoadFigures { tokens_per_second: 100.0, ..figures };
        assert_eq!(LoadFigures::medians(&[figures, faster, faster]), faster);
    }
}
