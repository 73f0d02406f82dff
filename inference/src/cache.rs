//! Keys and values of all positions so far, allocated once and up front.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::matrix::{F16, F32, FloatFormat, f32_to_f16};
use crate::memory::{OutOfMemory, filled};
use crate::model::Model;

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

/// How the cache holds numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// binary16.
    Half,
    /// binary32.
    Single,
}

impl Precision {
    /// What goes with a model: half precision is finer than quantised weights are, but not finer than floats.
    #[must_use]
    pub fn of(model: &Model<'_>) -> Self {
        let quantized = model.layers.iter().all(|layer| layer.key.kind().is_quantized());
        if quantized { Self::Half } else { Self::Single }
    }

    /// Bytes of a number.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Half => F16::BYTES,
            Self::Single => F32::BYTES,
        }
    }

    /// Writes numbers as the cache holds them.
    #[inline(always)]
    pub fn encode(self, numbers: &[f32], out: &mut [u8]) {
        match self {
            Self::Half => {
                for (number, out) in numbers.iter().zip(out.as_chunks_mut().0) {
                    *out = f32_to_f16(*number).to_le_bytes();
                }
            }
            Self::Single => {
                for (number, out) in numbers.iter().zip(out.as_chunks_mut().0) {
                    *out = number.to_le_bytes();
                }
            }
        }
    }
}

/// The cache: for each layer and each key/value head a run of vectors, one a position.
#[derive(Debug)]
pub struct Cache {
    precision: Precision,
    keys: Vec<u8>,
    values: Vec<u8>,
    context: usize,
    kv_heads: usize,
    /// Bytes of a head's key or value at one position.
    vector: usize,
}

impl Cache {
    /// A cache within `limits`.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn new(model: &Model<'_>, limits: Limits) -> Result<Self, CacheError> {
        let (config, precision) = (&model.config, Precision::of(model));
        let numbers = config.layers as u128 * config.kv_heads as u128 * config.head_length as u128;
        let bytes_each = 2 * numbers * precision.bytes() as u128;
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
        let length = bytes_each as usize / 2 * context;
        let run = |what| filled(length, 0, what).map_err(CacheError::OutOfMemory);
        Ok(Self {
            keys: run("cache of keys")?,
            values: run("cache of values")?,
            context,
            precision,
            kv_heads: config.kv_heads,
            vector: config.head_length * precision.bytes(),
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
        2 * self.keys.len()
    }

    /// How numbers are held.
    #[must_use]
    pub const fn precision(&self) -> Precision {
        self.precision
    }

    /// A layer's keys and values, and how many bytes of each belong to a head: for each head a run of vectors,
    /// one a position.
    pub fn layer_mut(&mut self, layer: usize) -> (usize, &mut [u8], &mut [u8]) {
        let range = self.start(layer, 0)..self.start(layer + 1, 0);
        (self.context * self.vector, &mut self.keys[range.clone()], &mut self.values[range])
    }

    /// Keys of some positions of a head.
    #[must_use]
    pub fn keys(&self, layer: usize, head: usize, positions: Range<usize>) -> &[u8] {
        &self.keys[self.start(layer, head)..][positions.start * self.vector..positions.end * self.vector]
    }

    /// Values of some positions of a head.
    #[must_use]
    pub fn values(&self, layer: usize, head: usize, positions: Range<usize>) -> &[u8] {
        &self.values[self.start(layer, head)..][positions.start * self.vector..positions.end * self.vector]
    }

    const fn start(&self, layer: usize, head: usize) -> usize {
        (layer * self.kv_heads + head) * self.context * self.vector
    }
}
