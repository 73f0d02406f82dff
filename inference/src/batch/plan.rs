//! How a step uses the cores.

use core::fmt;

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

/// Products of weights and activations that a core does in the time of a fork and a join, which is about half a
/// microsecond with 8-bit dot products.
const FORK: usize = 1 << 15;

/// A way, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The way.
    pub way: Way,
    /// Products that a core would do between a fork and the next.
    between_forks: usize,
    sequences: usize,
    workers: usize,
    asked: bool,
}

impl Plan {
    /// The way for so many sequences that take one row each; `asked` overrides it.
    #[must_use]
    pub fn new(model: &Model<'_>, sequences: usize, workers: usize, asked: Option<Way>) -> Self {
        let config = &model.config;
        let head = config.head_length * (2 * config.heads + 2 * config.kv_heads);
        let weights = config.embedding * (head + 3 * config.feed_forward);
        // Ten forks a layer.
        let between_forks = weights * sequences / workers / 10;
        let apart = workers > 1 && sequences >= workers && between_forks < FORK;
        let way = if apart { Way::Apart { groups: workers } } else { Way::Together };
        // Nobody can be a group without a core or a sequence.
        let asked_way = asked.map(|way| match way {
            Way::Apart { groups } if groups.min(workers).min(sequences) > 1 => {
                Way::Apart { groups: groups.min(workers).min(sequences) }
            }
            _ => Way::Together,
        });
        Self { way: asked_way.unwrap_or(way), between_forks, sequences, workers, asked: asked.is_some() }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { way, between_forks, sequences, workers, asked } = self;
        write!(f, "{way}: {sequences} sequences on {workers} cores, ")?;
        if *asked {
            write!(f, "as asked")
        } else if *workers == 1 {
            write!(f, "there is one core")
        } else if *between_forks < FORK && sequences < workers {
            write!(f, "there are more cores than sequences")
        } else if *between_forks < FORK {
            write!(f, "a core would do only {between_forks} products between two joins")
        } else {
            write!(f, "a core does {between_forks} products between two joins, and weights are read once")
        }
    }
}
