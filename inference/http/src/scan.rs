//! The end of a request's head, found as its bytes arrive.
//!
//! Each byte is looked at once, however the bytes are cut. Lines end with CR LF and nothing less: where servers take
//! different things for a line's end, one sees another request than the one before it did.

use crate::fault::Fault;
use crate::limits::Limits;

/// A scan of one head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// Bytes looked at.
    seen: usize,
    /// Where the line begins that they end in.
    line: usize,
    /// Whether the request line is over.
    has_line: bool,
}

impl Scan {
    /// Looks at what is new in `input`, which begins with the head. Result: the head's length with the empty line that
    /// ends it, once that is there; 2 for an empty line in front of a head.
    ///
    /// # Errors
    /// The first fault of a byte or of a length.
    pub fn advance(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, Fault> {
        let mut before = self.seen.checked_sub(1).and_then(|last| input.get(last)).copied();
        for &byte in input.get(self.seen..).unwrap_or_default() {
            let at = self.seen;
            if !self.has_line && at - self.line >= limits.line {
                return Err(Fault::LongLine(limits.line));
            }
            if at >= limits.head {
                return Err(Fault::LongHead(limits.head));
            }
            self.seen += 1;
            match (before, byte) {
                (Some(b'\r'), b'\n') if at == self.line + 1 => return Ok(Some(self.seen)),
                (Some(b'\r'), b'\n') => (self.line, self.has_line) = (self.seen, true),
                (Some(b'\r'), _) => return Err(Fault::Malformed("a carriage return without a line feed")),
                (_, b'\n') => return Err(Fault::Malformed("a line feed without a carriage return")),
                (_, b'\r' | b'\t' | b' '..=b'~' | 0x80..) => {}
                _ => return Err(Fault::Malformed("a control character in the request line or a header")),
            }
            before = Some(byte);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(input: &[u8]) -> Result<Option<usize>, Fault> {
        let limits = Limits { head: 60, line: 20, ..Limits::default() };
        let whole = Scan::default().advance(input, &limits);
        // Byte by byte, it is the same.
        let mut scan = Scan::default();
        let cut = (1..=input.len()).map(|length| scan.advance(&input[..length], &limits));
        let cut = cut.into_iter().find(|result| *result != Ok(None)).unwrap_or(Ok(None));
        assert_eq!(whole, cut, "{input:?}");
        whole
    }

    #[test]
    fn a_head_ends_with_an_empty_line() {
        assert_eq!(ends(b"GET / HTTP/1.1\r\n\r\nrest"), Ok(Some(18)));
        assert_eq!(ends(b"GET / HTTP/1.1\r\na: b\r\n\r\n"), Ok(Some(24)));
        assert_eq!(ends(b"GET / HTTP/1.1\r\na: b\r\n"), Ok(None));
        assert_eq!(ends(b"\r\nGET"), Ok(Some(2)));
        assert_eq!(ends(b""), Ok(None));
    }

    #[test]
    fn lines_end_with_both() {
        for input in [&b"GET / HTTP/1.1\n\n"[..], b"GET /\r HTTP", b"GET /\r\r\n", b"G\r\na: b\n\r\n", b"\n"]
        {
            assert!(matches!(ends(input), Err(Fault::Malformed(_))), "{input:?}");
        }
        assert!(matches!(ends(b"\x16\x03\x01"), Err(Fault::Malformed(_))));
    }

    #[test]
    fn lengths_are_bounded() {
        assert_eq!(ends(&[b'a'; 100]), Err(Fault::LongLine(20)));
        let long = [&b"GET / HTTP/1.1\r\na: "[..], &[b'b'; 100]].concat();
        assert_eq!(ends(&long), Err(Fault::LongHead(60)));
        let exact = [&b"GET / HTTP/1.1\r\na: "[..], &[b'b'; 37], b"\r\n\r\n"].concat();
        assert_eq!(ends(&exact), Ok(Some(60)));
    }
}
