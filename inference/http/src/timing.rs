//! What a connection waits for, and for how long.

use crate::limits::{Limits, SECOND};

/// What the peer is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Send a request.
    Request,
    /// Send the rest of a head.
    Head,
    /// Send the rest of a body, of which so many bytes came.
    Body(usize),
    /// Read the last answer, and close.
    Leave,
    /// Nothing.
    Nothing,
}

/// Times of a connection, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The beginning of what it waits for.
    pub since: u64,
    /// The first byte of a head.
    pub begun: Option<u64>,
    /// The last time that bytes left, or began to wait.
    pub progress: u64,
}

impl Timing {
    pub const fn new(now: u64) -> Self {
        Self { since: now, begun: None, progress: now }
    }

    /// When the peer is too late with what it is to do.
    pub fn deadline(&self, awaited: Awaited, limits: &Limits) -> u64 {
        let from = |since: u64, time: u64| since.saturating_add(time);
        match awaited {
            Awaited::Request => from(self.since, limits.idle_time),
            Awaited::Head => from(self.begun.unwrap_or(self.since), limits.head_time),
            Awaited::Body(received) => {
                let earned = (received as u64).saturating_mul(SECOND / limits.body_rate.max(1));
                from(self.since, limits.body_time.saturating_add(earned))
            }
            Awaited::Leave => from(self.since, limits.linger_time),
            Awaited::Nothing => u64::MAX,
        }
    }

    /// When the peer is too late with reading what waits to leave.
    pub const fn stalled(&self, limits: &Limits) -> u64 {
        self.progress.saturating_add(limits.stall_time)
    }
}
