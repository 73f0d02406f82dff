//! What a head says of the message: its body's extent, what the peer waits for, whether another request may follow.

use crate::fault::Fault;
use crate::head::{Head, Method, Version};

/// Extent of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// So many bytes.
    Bytes(usize),
    /// Chunks up to an empty one.
    Chunks,
}

/// What a head says of its request and of the answer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// The body's extent.
    pub extent: Extent,
    /// Whether the peer waits for `100 Continue` before it sends the body.
    pub expects: bool,
    /// Whether the peer may send another request.
    pub persists: bool,
    /// Whether the peer knows chunks.
    pub knows_chunks: bool,
    /// Whether the answer has no body.
    pub is_head: bool,
}

impl Framing {
    /// Framing of a request that could not be read, and is the last.
    pub const FAULTY: Self = Self {
        extent: Extent::Bytes(0),
        expects: false,
        persists: false,
        knows_chunks: true,
        is_head: false,
    };

    /// What `head` says.
    ///
    /// # Errors
    /// When it says two things of the body's extent, or one that is not known.
    pub fn new(head: &Head) -> Result<Self, Fault> {
        let is_current = head.version() == Version::Current;
        let extent = extent(head)?;
        // HTTP/1.0 knows no expectations.
        let expects = is_current && head.header("expect").is_some();
        if expects && !head.list("expect").all(|one| one.eq_ignore_ascii_case(b"100-continue")) {
            return Err(Fault::Expectation);
        }
        let closes = head.list("connection").any(|option| option.eq_ignore_ascii_case(b"close"));
        Ok(Self {
            extent,
            expects: expects && extent != Extent::Bytes(0),
            persists: is_current && !closes,
            knows_chunks: is_current,
            is_head: head.method() == Method::Head,
        })
    }
}

fn extent(head: &Head) -> Result<Extent, Fault> {
    let mut lengths = head.headers("content-length").map(length);
    let first = lengths.next().transpose()?;
    for other in lengths {
        if Some(other?) != first {
            return Err(Fault::Malformed("two different Content-Length headers"));
        }
    }
    if head.header("transfer-encoding").is_none() {
        return Ok(Extent::Bytes(first.unwrap_or(0)));
    }
    if first.is_some() {
        return Err(Fault::Malformed("both Content-Length and Transfer-Encoding"));
    }
    if head.version() == Version::Old {
        return Err(Fault::Malformed("a Transfer-Encoding in HTTP/1.0"));
    }
    let is_chunked = |encoding: &[u8]| encoding.eq_ignore_ascii_case(b"chunked");
    let mut encodings = head.list("transfer-encoding");
    match (encodings.next(), encodings.next()) {
        (Some(encoding), None) if is_chunked(encoding) => Ok(Extent::Chunks),
        (Some(first), Some(_)) if is_chunked(first) => {
            Err(Fault::Malformed("a Transfer-Encoding after chunked"))
        }
        (Some(_), _) => Err(Fault::Encoding),
        (None, _) => Err(Fault::Malformed("an empty Transfer-Encoding")),
    }
}

/// A `Content-Length`: digits only. One too large for a number is too large for everything.
fn length(value: &[u8]) -> Result<usize, Fault> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Fault::Malformed("a Content-Length that is no number"));
    }
    let digits = value.iter().map(|&digit| usize::from(digit - b'0'));
    Ok(digits.fold(0, |sum: usize, digit| sum.saturating_mul(10).saturating_add(digit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn framing(version: &str, headers: &str) -> Result<Framing, Fault> {
        let text = format!("POST / HTTP/{version}\r\nHost: x\r\n{headers}\r\n");
        Framing::new(&Head::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn extents_are_read() {
        let extent = |headers| framing("1.1", headers).map(|framing| framing.extent);
        assert_eq!(extent(""), Ok(Extent::Bytes(0)));
        assert_eq!(extent("Content-Length: 12\r\n"), Ok(Extent::Bytes(12)));
        assert_eq!(extent("Content-Length: 012\r\ncontent-length: 12\r\n"), Ok(Extent::Bytes(12)));
        assert_eq!(extent("Content-Length: 99999999999999999999999\r\n"), Ok(Extent::Bytes(usize::MAX)));
        assert_eq!(extent("Transfer-Encoding: Chunked\r\n"), Ok(Extent::Chunks));
        assert_eq!(extent("Transfer-Encoding: gzip, chunked\r\n"), Err(Fault::Encoding));
        assert_eq!(extent("Transfer-Encoding: identity\r\n"), Err(Fault::Encoding));
        assert_eq!(extent("Transfer-Encoding: xchunked\r\n"), Err(Fault::Encoding));
        for bad in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            "Content-Length: 1\r\nContent-Length: 2\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 0x1\r\n",
            "Content-Length: 1 1\r\n",
            "Content-Length:\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
            "Transfer-Encoding:\r\n",
        ] {
            assert!(matches!(extent(bad), Err(Fault::Malformed(_))), "{bad}");
        }
        assert!(matches!(framing("1.0", "Transfer-Encoding: chunked\r\n"), Err(Fault::Malformed(_))));
    }

    #[test]
    fn a_request_may_be_the_last() {
        let persists = |version, headers| framing(version, headers).unwrap().persists;
        assert!(persists("1.1", ""));
        assert!(persists("1.1", "Connection: keep-alive\r\n"));
        assert!(!persists("1.1", "Connection: x, CLOSE\r\n"));
        assert!(!persists("1.0", "Connection: keep-alive\r\n"));
    }

    #[test]
    fn expectations_are_known_or_refused() {
        let expects = |version, headers| framing(version, headers).map(|framing| framing.expects);
        assert_eq!(expects("1.1", "Expect: 100-Continue\r\nContent-Length: 1\r\n"), Ok(true));
        assert_eq!(expects("1.1", "Expect: 100-continue\r\n"), Ok(false));
        assert_eq!(expects("1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n"), Ok(false));
        assert_eq!(expects("1.1", "Expect: 200-ok\r\n"), Err(Fault::Expectation));
    }
}
