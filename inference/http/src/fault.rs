//! Faults of requests, and the status that says each.

use core::fmt;

/// Fault of a request, which ends the connection once it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not HTTP/1.1 or HTTP/1.0: what is wrong.
    Malformed(&'static str),
    /// The request line is longer than so many bytes.
    LongLine(usize),
    /// Request line and headers are more than so many bytes.
    LongHead(usize),
    /// It has more than so many headers.
    ManyHeaders(usize),
    /// Its body is more than so many bytes.
    LongBody(usize),
    /// What frames the chunks of its body is more than so many bytes.
    LongFrames(usize),
    /// Its body is encoded otherwise than in chunks.
    Encoding,
    /// It expects something else than `100-continue`.
    Expectation,
    /// It did not come in time: what was missing.
    Timeout(&'static str),
    /// There is no memory for its body.
    OutOfMemory,
}

impl Fault {
    /// The status code.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Timeout(_) => 408,
            Self::LongBody(_) | Self::LongFrames(_) => 413,
            Self::LongLine(_) => 414,
            Self::Expectation => 417,
            Self::LongHead(_) | Self::ManyHeaders(_) => 431,
            Self::Encoding => 501,
            Self::OutOfMemory => 503,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(reason) => write!(f, "malformed HTTP request: {reason}"),
            Self::LongLine(limit) => write!(f, "the request line is longer than {limit} bytes"),
            Self::LongHead(limit) => write!(f, "the headers are longer than {limit} bytes"),
            Self::ManyHeaders(limit) => write!(f, "there are more than {limit} headers"),
            Self::LongBody(limit) => write!(f, "the body is longer than {limit} bytes"),
            Self::LongFrames(limit) => {
                write!(f, "chunk extensions and trailers are longer than {limit} bytes")
            }
            Self::Encoding => write!(f, "the only transfer encoding known is chunked"),
            Self::Expectation => write!(f, "the only expectation known is 100-continue"),
            Self::Timeout(missing) => write!(f, "{missing} did not come in time"),
            Self::OutOfMemory => write!(f, "there is no memory for the body now"),
        }
    }
}

impl core::error::Error for Fault {}
