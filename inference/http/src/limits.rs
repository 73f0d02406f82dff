//! Limits of a connection: of what it holds, and of what it waits for.

/// Nanoseconds of a second.
pub const SECOND: u64 = 1_000_000_000;

/// Most headers of a request.
pub const HEADERS: usize = 64;

/// Limits of a connection. Sizes are bytes, times nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Request line and headers together.
    pub head: usize,
    /// The request line.
    pub line: usize,
    /// A request's body, without what frames it.
    pub body: usize,
    /// A stream's bytes that wait to leave.
    pub output: usize,
    /// From a request's first byte to the end of its headers.
    pub head_time: u64,
    /// From there on without a byte of its body; each byte extends it by what it takes at [`Self::body_rate`].
    pub body_time: u64,
    /// Least bytes of a body a second.
    pub body_rate: u64,
    /// From an answer, or the connection's beginning, to the next request's first byte.
    pub idle_time: u64,
    /// Without the peer taking a byte of those that wait to leave.
    pub stall_time: u64,
    /// After a last answer while the peer may still be sending: a connection closed at once would be reset, and the
    /// answer lost.
    pub linger_time: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 16 << 10,
            line: 8 << 10,
            body: 1 << 20,
            output: 256 << 10,
            head_time: 10 * SECOND,
            body_time: 10 * SECOND,
            body_rate: 1 << 10,
            idle_time: 75 * SECOND,
            stall_time: 60 * SECOND,
            linger_time: 2 * SECOND,
        }
    }
}
