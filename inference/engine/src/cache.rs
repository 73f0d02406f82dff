//! Keys and values of all positions so far: their limits and their precision.
//!
//! They lie in [`blocks`], which sequences take as they grow. Blocks that are full are kept as [`prefixes`] by their
//! text: sequences share them, and they are retained afterwards.

mod blocks;
mod layout;
mod prefixes;
mod sequence;

use core::fmt;

use embodios_gguf::memory::OutOfMemory;
use embodios_pool::platform::Memory;

pub use blocks::{BlockPool, Found};
pub use prefixes::BlockTokens;
pub use sequence::Sequence;
pub(crate) use sequence::by_block;

/// Limits of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Positions; `None` for what the model was trained for, or fewer where the budget ends first.
    pub context: Option<usize>,
    /// Bytes that the cache may take, in whole blocks of [`KV_BLOCK`](embodios_kernels::KV_BLOCK) positions.
    pub budget: usize,
}

/// Bytes that keys and values may take of a machine's memory: the unused part, without an eighth for all else that
/// requests need.
#[must_use]
pub fn budget(memory: &Memory) -> usize {
    let unused = memory.free.saturating_add(memory.idle);
    usize::try_from(unused - unused / 8).unwrap_or(usize::MAX)
}

/// Reason that there is no cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheError {
    /// More than the budget.
    Budget {
        /// Positions asked for.
        context: usize,
        /// Bytes they take.
        bytes: u128,
        /// Bytes allowed.
        budget: usize,
        /// Positions that the budget holds.
        fits: usize,
    },
    /// A context of no position, or past what the model was trained for.
    Context {
        /// Positions asked for.
        asked: usize,
        /// Positions the model was trained for.
        trained: usize,
    },
    /// Within the budget, but the platform has not that much.
    OutOfMemory(OutOfMemory),
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget { context, bytes, budget, fits } => write!(
                f,
                "a context of {context} tokens takes {bytes} bytes of memory; \
                 the budget is {budget} bytes, which hold {fits} tokens"
            ),
            Self::Context { asked, trained } => {
                write!(f, "a context of {asked} tokens; this model takes 1 to {trained}")
            }
            Self::OutOfMemory(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for CacheError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_back_to_the_heap_is_there_for_the_next() {
        let memory = |free, idle| Memory { total: 64 << 20, free, engine: 32 << 20, idle };
        assert_eq!(budget(&memory(8 << 20, 0)), 7 << 20);
        assert_eq!(budget(&memory(0, 8 << 20)), 7 << 20);
    }
}
