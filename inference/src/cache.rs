//! Keys and values of all positions so far, allocated once and up front.

use alloc::vec::Vec;
use core::fmt;

use crate::memory::{OutOfMemory, filled};
use crate::model::Config;

/// How much a session may remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Positions; `None` for what the model was trained for, or fewer where the budget ends first.
    pub context: Option<usize>,
    /// Bytes that the cache may take.
    pub budget: usize,
}

/// Why there is no cache.
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

/// The cache: for each layer and each key/value head a run of vectors, one a position.
#[derive(Debug)]
pub struct Cache {
    keys: Vec<f32>,
    values: Vec<f32>,
    context: usize,
    kv_heads: usize,
    head_length: usize,
}

impl Cache {
    /// A cache within `limits`.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn new(config: &Config, limits: Limits) -> Result<Self, CacheError> {
        let floats = config.layers as u128 * config.kv_heads as u128 * config.head_length as u128;
        let bytes_each = 2 * floats * size_of::<f32>() as u128;
        let fits = usize::try_from(limits.budget as u128 / bytes_each).unwrap_or(usize::MAX);
        let context = limits.context.unwrap_or_else(|| config.context.min(fits.max(1)));
        if context == 0 || context > config.context {
            return Err(CacheError::Context { asked: context, trained: config.context });
        }
        if context > fits {
            let bytes = bytes_each * context as u128;
            return Err(CacheError::Budget { context, bytes, budget: limits.budget, fits });
        }
        // Within the budget, a usize of bytes, so that the product fits.
        let length = floats as usize * context;
        let run = |what| filled(length, 0.0, what).map_err(CacheError::OutOfMemory);
        Ok(Self {
            keys: run("cache of keys")?,
            values: run("cache of values")?,
            context,
            kv_heads: config.kv_heads,
            head_length: config.head_length,
        })
    }

    /// Positions there is room for.
    #[must_use]
    pub const fn context(&self) -> usize {
        self.context
    }

    /// Bytes it takes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        2 * self.keys.len() * size_of::<f32>()
    }

    /// A layer's keys and values, and how many elements of each belong to a head: for each head a run of
    /// vectors, one a position.
    pub fn layer_mut(&mut self, layer: usize) -> (usize, &mut [f32], &mut [f32]) {
        let unit = self.context * self.head_length;
        let range = self.start(layer, 0)..self.start(layer + 1, 0);
        (unit, &mut self.keys[range.clone()], &mut self.values[range])
    }

    /// Keys of the first `positions` positions of a head.
    #[must_use]
    pub fn keys(&self, layer: usize, head: usize, positions: usize) -> &[f32] {
        &self.keys[self.start(layer, head)..][..positions * self.head_length]
    }

    /// Values of the first `positions` positions of a head.
    #[must_use]
    pub fn values(&self, layer: usize, head: usize, positions: usize) -> &[f32] {
        &self.values[self.start(layer, head)..][..positions * self.head_length]
    }

    const fn start(&self, layer: usize, head: usize) -> usize {
        (layer * self.kv_heads + head) * self.context * self.head_length
    }
}
