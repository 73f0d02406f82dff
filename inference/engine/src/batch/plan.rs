//! The strategy of a step: tensor-parallel or data-parallel, and the length of a burst.
//!
//! Owns the tuning constants; what they were measured with is in `docs/batching.md`.

use core::fmt;
use core::ops::RangeInclusive;

use super::burst::MOST_STEPS;
use crate::model::Model;

/// Use of the cores in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// All cores share every matrix product: weights are read once for all sequences.
    TensorParallel,
    /// Groups of cores take some of the sequences each, and do not wait for each other.
    DataParallel {
        /// Number of groups.
        groups: usize,
    },
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TensorParallel => write!(f, "tensor-parallel"),
            Self::DataParallel { groups } => write!(f, "data-parallel in {groups} groups"),
        }
    }
}

/// Multiplications of a core between two synchronisations, below which these cost more than reading weights once for
/// all sequences saves.
const SYNC_PRODUCTS: usize = 350_000;

/// Sequences a core for each core, from which on all cores may read the weights each for itself.
const SEQUENCES_PER_CORE: usize = 2;

/// Sequences a core that are enough on any number of cores; from so many on a group's share is as even as need be.
const ENOUGH: usize = 16;

/// Multiplications of a core in a burst that others may want to join or cancel: some milliseconds.
pub(super) const BURST_PRODUCTS: usize = 1 << 29;

/// A strategy and its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The strategy.
    pub strategy: Strategy,
    reason: Reason,
    sequences: usize,
    workers: usize,
}

/// Reason for a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Asked,
    OneCore,
    /// A group would have no core or no sequence.
    TooFew,
    /// So few multiplications a core between two synchronisations.
    Synchronisation(usize),
    /// So many multiplications a core between two synchronisations.
    Weights(usize),
    /// So many sequences a core that weights are read once for.
    Enough(usize),
    /// The shares of groups would have been too unequal.
    Uneven,
}

impl Plan {
    /// The plan for so many sequences of one row each; `asked` overrides it.
    #[must_use]
    pub fn new(model: &Model<'_>, sequences: usize, workers: usize, asked: Option<Strategy>) -> Self {
        let (strategy, reason) = match asked {
            // A group needs a core and a sequence.
            Some(Strategy::DataParallel { groups }) if groups.min(workers).min(sequences) > 1 => {
                (Strategy::DataParallel { groups: groups.min(workers).min(sequences) }, Reason::Asked)
            }
            Some(_) => (Strategy::TensorParallel, Reason::Asked),
            None => choose(weights(model), sequences, workers),
        };
        Self { strategy, reason, sequences, workers }
    }

    /// The fewest and the most groups of any plan for up to so many sequences; `None` where no plan has groups.
    pub(super) fn groups(
        model: &Model<'_>,
        sequences: usize,
        workers: usize,
        asked: Option<Strategy>,
    ) -> Option<RangeInclusive<usize>> {
        match asked {
            Some(Strategy::DataParallel { groups }) => Some(2..=groups.min(workers).min(sequences)),
            Some(Strategy::TensorParallel) => None,
            None => may_group(weights(model), sequences, workers).then_some(workers..=workers),
        }
        .filter(|groups| !groups.is_empty())
    }

    /// Steps of a burst of `groups` groups in which a core has no more than so many `products`.
    pub(super) fn burst(self, model: &Model<'_>, groups: usize, products: usize) -> usize {
        let config = &model.config;
        let all = weights(model) * model.layers.len() + config.vocabulary * config.embedding;
        (products / (all * self.sequences.div_ceil(groups))).clamp(1, MOST_STEPS)
    }

    /// The plan for a step that groups could not share.
    pub(super) const fn uneven(self) -> Self {
        Self { strategy: Strategy::TensorParallel, reason: Reason::Uneven, ..self }
    }
}

/// The share of `total` that one of `groups` groups may have while the others wait: a sixteenth more than an even one.
const fn allowed(total: usize, groups: usize) -> usize {
    total * 17 / (16 * groups)
}

/// The largest share of `total` that one of `groups` groups may have: [`allowed`], or the smallest that can be.
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

/// Whether [`choose`] makes groups for some number of sequences, up to `most`: if it does, then for the fewest that can
/// be, or the fewest that are enough.
fn may_group(weights: usize, most: usize, workers: usize) -> bool {
    let mut fewest = [workers, enough(workers) * workers].into_iter().filter(|&sequences| sequences <= most);
    fewest.any(|sequences| choose(weights, sequences, workers).0 != Strategy::TensorParallel)
}

/// The strategy for a model of so many weights a layer.
fn choose(weights: usize, sequences: usize, workers: usize) -> (Strategy, Reason) {
    // A layer synchronises eight times where each sequence has a row: five joins and three barriers.
    let between = weights * sequences / workers / 8;
    let (groups, each) = (Strategy::DataParallel { groups: workers }, sequences / workers);
    if workers == 1 {
        (Strategy::TensorParallel, Reason::OneCore)
    } else if sequences < workers {
        (Strategy::TensorParallel, Reason::TooFew)
    } else if between < SYNC_PRODUCTS {
        (groups, Reason::Synchronisation(between))
    } else if each < enough(workers) {
        (Strategy::TensorParallel, Reason::Weights(between))
    } else {
        (groups, Reason::Enough(each))
    }
}

/// Sequences a core that are enough on so many cores.
fn enough(workers: usize) -> usize {
    ENOUGH.min(SEQUENCES_PER_CORE * workers)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { strategy, reason, sequences, workers } = self;
        write!(f, "{strategy}: {sequences} sequences on {workers} cores, ")?;
        match reason {
            Reason::Asked => write!(f, "as asked"),
            Reason::OneCore => write!(f, "there is one core"),
            Reason::TooFew => write!(f, "there are more cores than sequences"),
            Reason::Synchronisation(products) => {
                write!(f, "only {products} multiplications a core between two barriers")
            }
            Reason::Weights(products) => {
                write!(f, "{products} multiplications a core between two barriers, and weights are read once")
            }
            Reason::Enough(each) => write!(f, "each core reads weights for {each} of its own"),
            Reason::Uneven => write!(f, "shares of groups would be too unequal"),
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
    fn groups_are_made_where_each_core_has_enough_or_little_to_do() {
        const SMALL: usize = 200_000;
        const LARGE: usize = 3_500_000;
        let strategy = |weights, sequences, workers| choose(weights, sequences, workers).0;
        let data_parallel = |groups| Strategy::DataParallel { groups };
        for (weights, sequences, workers, expected) in [
            (SMALL, 8, 1, Strategy::TensorParallel),
            (SMALL, 1, 4, Strategy::TensorParallel),
            (SMALL, 8, 8, data_parallel(8)),
            (SMALL, 16, 8, data_parallel(8)),
            (SMALL, 127, 8, Strategy::TensorParallel),
            (LARGE, 8, 8, Strategy::TensorParallel),
            (LARGE, 7, 2, Strategy::TensorParallel),
            (LARGE, 8, 2, data_parallel(2)),
            (LARGE, 9, 2, data_parallel(2)),
            (LARGE, 31, 4, Strategy::TensorParallel),
            (LARGE, 32, 4, data_parallel(4)),
            // Three cores wait for the ninth sequence of the fourth.
            (LARGE, 33, 4, data_parallel(4)),
            (LARGE, 64, 4, data_parallel(4)),
            (LARGE, 65, 4, data_parallel(4)),
            (LARGE, 32, 2, data_parallel(2)),
            (LARGE, 33, 2, data_parallel(2)),
            (LARGE, 255, 16, Strategy::TensorParallel),
            (LARGE, 256, 16, data_parallel(16)),
        ] {
            assert_eq!(strategy(weights, sequences, workers), expected, "{weights} {sequences} {workers}");
        }
        for (weights, workers) in [(SMALL, 1), (SMALL, 2), (SMALL, 8), (LARGE, 2), (LARGE, 8)] {
            let groups = |sequences| strategy(weights, sequences, workers) != Strategy::TensorParallel;
            for most in 1..=64 {
                let expected = (1..=most).any(groups);
                assert_eq!(may_group(weights, most, workers), expected, "{weights} {most} {workers}");
            }
        }
    }
}
