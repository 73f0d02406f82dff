//! Times of the latest steps, and how they spread.

/// Steps that are looked back on.
const STEPS: usize = 256;

/// Times of the latest steps, or bursts of steps.
#[derive(Debug)]
pub struct Recent {
    nanoseconds: [u64; STEPS],
    /// All that there were.
    count: usize,
}

/// How times spread, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Number of times.
    pub count: usize,
    pub mean: u64,
    pub median: u64,
    /// 99 of 100 are no longer.
    pub p99: u64,
    pub longest: u64,
}

impl Recent {
    pub const fn new() -> Self {
        Self { nanoseconds: [0; STEPS], count: 0 }
    }

    /// Takes note of a step.
    pub const fn add(&mut self, nanoseconds: u64) {
        self.nanoseconds[self.count % STEPS] = nanoseconds;
        self.count += 1;
    }

    /// How they spread; `None` before the first step.
    pub fn spread(&self) -> Option<Spread> {
        let mut times = self.nanoseconds;
        let times = times.get_mut(..self.count.min(STEPS))?;
        times.sort_unstable();
        let count = times.len();
        // The shortest time that so many of a hundred do not exceed.
        let rank =
            |hundredths: usize| times.get((count * hundredths).div_ceil(100).saturating_sub(1)).copied();
        Some(Spread {
            count,
            mean: times.iter().sum::<u64>().checked_div(count as u64)?,
            median: rank(50)?,
            p99: rank(99)?,
            longest: rank(100)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_steps_count() {
        let mut recent = Recent::new();
        assert_eq!(recent.spread(), None);
        recent.add(7);
        assert_eq!(recent.spread(), Some(Spread { count: 1, mean: 7, median: 7, p99: 7, longest: 7 }));
        (0..1000).for_each(|_| recent.add(1_000_000));
        (1..=256).rev().for_each(|time| recent.add(time));
        let spread = Spread { count: 256, mean: 128, median: 128, p99: 254, longest: 256 };
        assert_eq!(recent.spread(), Some(spread));
    }
}
