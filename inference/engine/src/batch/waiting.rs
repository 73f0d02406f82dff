//! Requests that wait: those that have not joined yet, and those that were preempted.

use super::active::Active;
use super::request::{Request, RequestId};

/// A request that has not joined yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub id: RequestId,
    pub request: Request,
    pub submitted: u64,
    pub hold: Hold,
}

/// A request without KV blocks, else as it was.
pub(super) struct Preempted<'t> {
    pub active: Active<'t>,
    pub hold: Hold,
}

/// The resource that a waiting request lacks, so that it is looked at again no sooner than that can have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Nothing known.
    Nothing,
    /// So many KV blocks of a prefix that another request is about to compute.
    Prefix { of: RequestId, blocks: usize },
    /// KV blocks or memory, which come back when requests end or are preempted one time more than so many.
    Memory { gone: u64 },
}
