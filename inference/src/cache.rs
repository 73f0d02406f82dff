//! Keys and values of all positions so far: how much of them there may be and how numbers are held.
//!
//! They lie in [`pages`], which sequences own; pages that are full and hold the same text may be shared.

mod pages;

use core::fmt;

use crate::kernels::KEYS;
use crate::matrix::{F16, F32, FloatFormat, f32_to_f16};
use crate::memory::OutOfMemory;
use crate::model::Model;
pub(crate) use pages::by_page;
pub use pages::{PAGE, Pages, Sequence};

/// How much a session may remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Positions; `None` for what the model was trained for, or fewer where the budget ends first.
    pub context: Option<usize>,
    /// Bytes that the cache may take, in whole pages of [`PAGE`] positions.
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

    /// Writes a vector as number `index` of the [`KEYS`] of a run.
    #[inline(always)]
    pub fn encode_in_run(self, key: &[f32], index: usize, run: &mut [u8]) {
        match self {
            Self::Half => self.spread::<{ F16::BYTES }>(key, index, run),
            Self::Single => self.spread::<{ F32::BYTES }>(key, index, run),
        }
    }

    /// The same for numbers of `BYTES` bytes: encodes many at once, and spreads them out then.
    #[inline(always)]
    fn spread<const BYTES: usize>(self, key: &[f32], index: usize, run: &mut [u8]) {
        const MANY: usize = 64;
        for (numbers, run) in key.chunks(MANY).zip(run.chunks_mut(MANY * KEYS * BYTES)) {
            let mut encoded = [[0; BYTES]; MANY];
            self.encode(numbers, encoded[..numbers.len()].as_flattened_mut());
            for (number, keys) in encoded.iter().zip(run.chunks_exact_mut(KEYS * BYTES)) {
                keys.as_chunks_mut().0[index] = *number;
            }
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
