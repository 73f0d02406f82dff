//! How a step uses the cores, and how many go in a row.

use core::fmt;
use core::ops::RangeInclusive;

use super::leg::MOST_STEPS;
use crate::model::Model;

/// A way to use the cores in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// All cores work on all sequences: weights are read once.
    Together,
    /// Groups of cores work on some of the sequences each, without waiting for each other.
    Apart {
        /// Number of groups.
        groups: usize,
    },
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Together => write!(f, "together"),
            Self::Apart { groups } => write!(f, "apart in {groups} groups"),
        }
    }
}

/// Products of weights and activations between two meetings from which on weights that are read once for all sequences
/// save more time than meeting takes: a fork and a join, and fetching rows from the caches of others. With kernels that
/// took longer for fewer sequences, and with 100,000, the story model's batch of 8 was as fast either way on two cores
/// that pass a cache line to and fro in 60 ns, with 200,000 its batch of 16 some 10 % faster apart (`cargo xtask bench
/// scaling`, Zen 4).
const MEETING: usize = 350_000;

/// Sequences a core for each core, from which on all cores may read the weights each for itself: with `n` sequences a
/// core takes `n` times 19 of its cycles for every 320 bytes of them, so that as many cores as there are take 30 GB/s
/// in all, which a memory gives. Together they would read weights once, but then products of the rows of others wait
/// for these to come from their cores' caches: with four, SmolLM2's batch of 8 is 6 % faster apart on two cores that
/// pass a cache line to and fro in 60 ns, and 20 % on two that take 320 ns; its batch of 16 is as fast either way, and
/// 15 % faster (Zen 4).
const FOR_EACH_CORE: usize = 2;
/// Sequences that are enough on any number of cores: where there are many, they have more than one memory. Nor has any
/// of groups of so many more than [`allowed`].
const ENOUGH: usize = 16;

/// Products that a core takes before groups meet where everybody generates and others may join or cancel: 8 ms of one
/// that takes 70 in a nanosecond (Zen 4). Small models' groups go many steps in that time, and the story model's
/// batches are 3 % faster on two cores. Larger models' meet after each. Where cores share a cache they lose nothing by
/// that: who is behind finds weights there. Where they do not, who is behind has to fetch them from the other's:
/// SmolLM2's batch of 8 is then 6 % faster when its groups do not meet for 24 steps, and 1 % for 4, in which they come
/// apart too little.
pub(super) const LEG: usize = 1 << 29;

/// A way, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The way.
    pub way: Way,
    why: Why,
    sequences: usize,
    workers: usize,
}

/// Why a way was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Asked,
    OneCore,
    /// Nobody would have a core or a sequence.
    TooFew,
    /// A core would do only so many products between two meetings.
    Meetings(usize),
    /// A core does so many products between two meetings.
    Weights(usize),
    /// Each core has so many sequences that weights are read once for.
    Enough(usize),
    /// The shares of groups would have been too unlike.
    Uneven,
}

impl Plan {
    /// The way for so many sequences that take one row each; `asked` overrides it.
    #[must_use]
    pub fn new(model: &Model<'_>, sequences: usize, workers: usize, asked: Option<Way>) -> Self {
        let (way, why) = match asked {
            // Nobody can be a group without a core or a sequence.
            Some(Way::Apart { groups }) if groups.min(workers).min(sequences) > 1 => {
                (Way::Apart { groups: groups.min(workers).min(sequences) }, Why::Asked)
            }
            Some(_) => (Way::Together, Why::Asked),
            None => choose(weights(model), sequences, workers),
        };
        Self { way, why, sequences, workers }
    }

    /// The fewest and the most groups that a plan may say for up to so many sequences; `None` where none says groups.
    pub(super) fn groups(
        model: &Model<'_>,
        sequences: usize,
        workers: usize,
        asked: Option<Way>,
    ) -> Option<RangeInclusive<usize>> {
        match asked {
            Some(Way::Apart { groups }) => Some(2..=groups.min(workers).min(sequences)),
            Some(Way::Together) => None,
            None => may_part(weights(model), sequences, workers).then_some(workers..=workers),
        }
        .filter(|groups| !groups.is_empty())
    }

    /// Steps that `groups` groups go before they meet, so that nobody waits longer for that than a core takes for so
    /// many `products`.
    pub(super) fn steps(self, model: &Model<'_>, groups: usize, products: usize) -> usize {
        let config = &model.config;
        let all = weights(model) * model.layers.len() + config.vocabulary * config.embedding;
        (products / (all * self.sequences.div_ceil(groups))).clamp(1, MOST_STEPS)
    }

    /// The same where groups could not take the step.
    pub(super) const fn uneven(self) -> Self {
        Self { way: Way::Together, why: Why::Uneven, ..self }
    }
}

/// What one of `groups` groups, which the others wait for, may well have of `total`: a sixteenth more than its share.
const fn allowed(total: usize, groups: usize) -> usize {
    total * 17 / (16 * groups)
}

/// The most that one of `groups` groups may have of `total` where they go apart: as [`allowed`], or what the largest
/// has when nobody can have less.
pub(super) const fn largest(total: usize, groups: usize) -> usize {
    let (allowed, least) = (allowed(total, groups), total.div_ceil(groups));
    if allowed > least { allowed } else { least }
}

/// Weights of a layer.
fn weights(model: &Model<'_>) -> usize {
    let config = &model.config;
    let head = config.head_length * (2 * config.heads + 2 * config.kv_heads);
    config.embedding * (head + 3 * config.feed_forward)
}

/// Whether [`choose`] lets cores go apart for some number of sequences, up to `most`: if it does, then for as few as
/// can be, or as few as are enough.
fn may_part(weights: usize, most: usize, workers: usize) -> bool {
    let mut fewest = [workers, enough(workers) * workers].into_iter().filter(|&sequences| sequences <= most);
    fewest.any(|sequences| choose(weights, sequences, workers).0 != Way::Together)
}

/// The way for a model of so many weights a layer.
fn choose(weights: usize, sequences: usize, workers: usize) -> (Way, Why) {
    // Eight times a layer workers meet where each sequence has a row: at five joins and three barriers.
    let between_meetings = weights * sequences / workers / 8;
    let (apart, each) = (Way::Apart { groups: workers }, sequences / workers);
    if workers == 1 {
        (Way::Together, Why::OneCore)
    } else if sequences < workers {
        (Way::Together, Why::TooFew)
    } else if between_meetings < MEETING {
        (apart, Why::Meetings(between_meetings))
    } else if each < enough(workers) {
        (Way::Together, Why::Weights(between_meetings))
    } else {
        (apart, Why::Enough(each))
    }
}

/// Sequences a core that are enough on so many cores.
fn enough(workers: usize) -> usize {
    ENOUGH.min(FOR_EACH_CORE * workers)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { way, why, sequences, workers } = self;
        write!(f, "{way}: {sequences} sequences on {workers} cores, ")?;
        match why {
            Why::Asked => write!(f, "as asked"),
            Why::OneCore => write!(f, "there is one core"),
            Why::TooFew => write!(f, "there are more cores than sequences"),
            Why::Meetings(products) => {
                write!(f, "a core would do only {products} products between two meetings")
            }
            Why::Weights(products) => {
                write!(f, "a core does {products} products between two meetings, and weights are read once")
            }
            Why::Enough(each) => write!(f, "each core reads weights for {each} of its own"),
            Why::Uneven => write!(f, "shares of groups would be too unlike"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_a_sixteenth_more_than_its_share_or_the_least_that_can_be() {
        for (total, groups, expected) in
            [(64, 2, 34), (33, 2, 17), (32, 2, 17), (9, 2, 5), (8, 8, 1), (9, 8, 2)]
        {
            assert_eq!(largest(total, groups), expected, "{total} {groups}");
        }
        for (total, groups) in
            (1..=16).flat_map(|groups| (ENOUGH * groups..200).map(move |total| (total, groups)))
        {
            assert_eq!(largest(total, groups), allowed(total, groups), "{total} {groups}");
        }
        for (total, groups) in (1..=200).flat_map(|total| (1..=16).map(move |groups| (total, groups))) {
            let largest = largest(total, groups);
            assert!(largest * groups >= total, "everything goes somewhere: {total} {groups}");
            let within = largest * groups * 16 <= total * 17;
            assert!(within || (largest - 1) * groups < total, "one less does not do: {total} {groups}");
        }
    }

    #[test]
    fn cores_go_apart_where_each_has_enough_or_little_to_do() {
        const SMALL: usize = 200_000;
        const LARGE: usize = 3_500_000;
        let way = |weights, sequences, workers| choose(weights, sequences, workers).0;
        let apart = |groups| Way::Apart { groups };
        for (weights, sequences, workers, expected) in [
            (SMALL, 8, 1, Way::Together),
            (SMALL, 1, 4, Way::Together),
            (SMALL, 8, 8, apart(8)),
            (SMALL, 16, 8, apart(8)),
            (SMALL, 127, 8, Way::Together),
            (LARGE, 8, 8, Way::Together),
            (LARGE, 7, 2, Way::Together),
            (LARGE, 8, 2, apart(2)),
            (LARGE, 9, 2, apart(2)),
            (LARGE, 31, 4, Way::Together),
            (LARGE, 32, 4, apart(4)),
            // Three cores wait for the ninth sequence of the fourth.
            (LARGE, 33, 4, apart(4)),
            (LARGE, 64, 4, apart(4)),
            (LARGE, 65, 4, apart(4)),
            (LARGE, 32, 2, apart(2)),
            (LARGE, 33, 2, apart(2)),
            (LARGE, 255, 16, Way::Together),
            (LARGE, 256, 16, apart(16)),
        ] {
            assert_eq!(way(weights, sequences, workers), expected, "{weights} {sequences} {workers}");
        }
        for (weights, workers) in [(SMALL, 1), (SMALL, 2), (SMALL, 8), (LARGE, 2), (LARGE, 8)] {
            let parts = |sequences| way(weights, sequences, workers) != Way::Together;
            for most in 1..=64 {
                let expected = (1..=most).any(parts);
                assert_eq!(may_part(weights, most, workers), expected, "{weights} {most} {workers}");
            }
        }
    }
}
