//! The head of an answer.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::buffer::Buffer;

/// Status and headers of an answer. What frames it (`Content-Length`, `Transfer-Encoding`, `Connection`) is the
/// connection's to write.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
}

impl Answer {
    /// An answer without headers.
    #[must_use]
    pub const fn new(status: u16) -> Self {
        Self { status, headers: Vec::new() }
    }

    /// With another header. What is neither visible ASCII nor a space in `value` becomes `?`: no value ends its line.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        let visible = |character: char| matches!(character, ' '..='~').then_some(character).unwrap_or('?');
        self.headers.push((name, value.chars().map(visible).collect()));
        self
    }

    /// The status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Whether answers of this status have no body, and say no length.
    pub(crate) const fn is_bare(&self) -> bool {
        matches!(self.status, 204 | 304)
    }

    /// Writes the head, with `framing` headers that end their lines.
    pub(crate) fn write(&self, framing: &str, output: &mut Buffer) {
        output.put(format!("HTTP/1.1 {:03} {}\r\n", self.status, reason(self.status)).as_bytes());
        for (name, value) in &self.headers {
            [name, ": ", value, "\r\n"].iter().for_each(|part| output.put(part.as_bytes()));
        }
        [framing, "\r\n"].iter().for_each(|part| output.put(part.as_bytes()));
    }
}

/// The words for a status, which nobody reads and a status line has.
const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_ends_its_line() {
        let mut output = Buffer::default();
        let answer = Answer::new(404).with("x-request-id", "a\r\nb: c\n\0\u{e9}d e\t");
        answer.write("content-length: 0\r\n", &mut output);
        let text = core::str::from_utf8(output.as_slice()).unwrap();
        assert_eq!(
            text,
            "HTTP/1.1 404 Not Found\r\nx-request-id: a??b: c???d e?\r\ncontent-length: 0\r\n\r\n"
        );
    }
}
