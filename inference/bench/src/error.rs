//! Reasons that a bench has no figures.

use alloc::string::String;
use core::fmt;

use embodios_engine::batch::{Finish, Outcome, Refusal};
use embodios_engine::cache::CacheError;
use embodios_engine::evaluate::EvaluateError;
use embodios_pool::PoolError;
use embodios_pool::platform::PlatformError;

/// Reason that a bench has no figures.
#[derive(Debug)]
pub enum BenchError {
    /// A request that is measured did not go to its end.
    Unfinished {
        /// Its number, from 1.
        request: usize,
        /// The reason for its end.
        finish: Finish,
    },
    /// Logits that must be equal are not.
    OtherBits {
        /// The run that has them.
        what: String,
        /// Their hash, and the one expected.
        hashes: [String; 2],
    },
    /// The model gives no logits.
    Evaluate(EvaluateError),
    /// A batch has no room for keys and values.
    Cache(CacheError),
    /// A batch does not take a request.
    Refused(Refusal),
    /// The workers cannot do that.
    Pool(PoolError),
    /// The platform refused a thread, or to move one.
    Platform(PlatformError),
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished { request, finish } => write!(f, "request {request} did not finish: {finish}"),
            Self::OtherBits { what, hashes: [found, expected] } => {
                write!(f, "other bits: {what} have logits hash {found}, not {expected}")
            }
            Self::Evaluate(error) => error.fmt(f),
            Self::Cache(error) => error.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Pool(error) => error.fmt(f),
            Self::Platform(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for BenchError {}

/// Checks that every request came to its limit of tokens, as all that are measured must.
///
/// # Errors
/// [`BenchError::Unfinished`] of the first that did not.
pub(crate) fn check_finished(outcomes: &[Outcome]) -> Result<(), BenchError> {
    match (1..).zip(outcomes).find(|(_, outcome)| outcome.finish != Finish::Limit) {
        Some((request, &Outcome { finish, .. })) => Err(BenchError::Unfinished { request, finish }),
        None => Ok(()),
    }
}

macro_rules! from {
    ($($source:ty => $variant:ident,)*) => {$(
        impl From<$source> for BenchError {
            fn from(error: $source) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

from! {
    EvaluateError => Evaluate,
    CacheError => Cache,
    Refusal => Refused,
    PoolError => Pool,
    PlatformError => Platform,
}
