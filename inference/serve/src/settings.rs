//! What a server is told when it starts, and what time it is.

use alloc::string::String;
use alloc::vec::Vec;

use embodios_http::{Limits, SECOND};

use crate::page::Page;

/// Settings of a server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Limits of each connection.
    pub http: Limits,
    /// Keys, one of which each request needs; none for a server that everybody may use.
    pub keys: Vec<Vec<u8>>,
    /// Origins whose pages may use the server from a browser; `None` for all.
    pub origins: Option<Vec<String>>,
    /// Most connections.
    pub connections: usize,
    /// Most requests that wait for a place in the batch.
    pub waiting: usize,
    /// Bytes of all bodies together that may be on their way, no fewer than one body may have.
    pub bodies: usize,
    /// The page at `/`.
    pub page: Option<Page>,
    /// Nanoseconds after which a stream without an event gets a comment, before somebody between takes it for dead.
    /// Some clients lose what follows a comment, so they are rare.
    pub ping: u64,
    /// A number that no other start of this server had, which numbers of requests begin from.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            http: Limits::default(),
            keys: Vec::new(),
            origins: None,
            connections: 256,
            waiting: 256,
            bodies: 16 << 20,
            page: Some(Page::CHAT),
            ping: 50 * SECOND,
            seed: 0,
        }
    }
}

/// The time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Nanoseconds of a clock that never goes back, the network's.
    pub now: u64,
    /// Seconds since 1970, where they are known.
    pub unix: Option<u64>,
}

impl Clock {
    /// The time `now` of a clock whose time 0 was at `zero`, in seconds since 1970, where that is known.
    #[must_use]
    pub fn at(now: u64, zero: Option<u64>) -> Self {
        Self { now, unix: zero.map(|zero| zero.saturating_add(now / SECOND)) }
    }
}
