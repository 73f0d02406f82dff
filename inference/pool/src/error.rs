//! Refusals of the pool, and failures of a job.

use alloc::string::String;
use core::fmt;

use crate::platform::{PlatformError, ThreadId};

/// A call of the pool that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolError {
    /// The platform refused.
    Platform(PlatformError),
    /// A part of the job panicked; the other parts were finished.
    Panicked {
        /// The first worker that did.
        worker: usize,
        /// The panic's message.
        message: String,
    },
    /// The pool is at work for another thread, and this one is none of its workers.
    Foreign(ThreadId),
    /// Groups that are empty, or have more workers than there are.
    Groups {
        /// The sizes, added up.
        wanted: usize,
        /// Workers there are.
        workers: usize,
    },
    /// Only the whole pool can do that, not a group of its workers.
    InGroup,
    /// The workers stay what they are in deterministic mode.
    Deterministic,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform(error) => error.fmt(f),
            Self::Panicked { worker, message } => write!(f, "worker {worker} panicked: {message}"),
            Self::Foreign(thread) => {
                write!(f, "the pool is at work, and thread {thread} is none of its workers")
            }
            Self::Groups { wanted, workers } => {
                write!(f, "groups of {wanted} workers together, none of 0, cannot be made of {workers}")
            }
            Self::Deterministic => write!(f, "in deterministic mode the workers stay where they are"),
            Self::InGroup => write!(f, "only the whole pool can do that, not a group of its workers"),
        }
    }
}

impl core::error::Error for PoolError {}

impl From<PlatformError> for PoolError {
    fn from(error: PlatformError) -> Self {
        Self::Platform(error)
    }
}
