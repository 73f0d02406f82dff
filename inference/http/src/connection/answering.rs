//! Answers: whole ones, and streams of events.

use alloc::format;
use core::fmt;

use super::{Behind, Connection, State};
use crate::answer::Answer;
use crate::body::Body;
use crate::framing::Extent;

/// The peer reads a stream more slowly than it is made: as many bytes wait to leave as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the client reads too slowly")
    }
}

impl core::error::Error for TooSlow {}

impl Connection {
    /// Answers what is to be answered, with all of the answer's body. Without anything to answer it does nothing.
    pub fn answer(&mut self, answer: &Answer, body: &[u8], now: u64) {
        let State::Asked(behind) = self.state else { return };
        let persists = self.persists(behind);
        let length = if answer.is_bare() { "" } else { &format!("content-length: {}\r\n", body.len()) };
        let framing = format!("{length}{}", connection(persists));
        let has_body = !self.framing.is_head && !answer.is_bare();
        self.put(
            |output| {
                answer.write(&framing, output);
                output.put(if has_body { body } else { &[] });
            },
            now,
        );
        self.answered(behind, persists, now);
    }

    /// Begins a stream as the answer to what is to be answered. Without anything to answer it does nothing.
    pub fn stream(&mut self, answer: &Answer, now: u64) {
        let State::Asked(behind) = self.state else { return };
        self.framing.persists = self.persists(behind);
        let chunked = if self.framing.knows_chunks { "transfer-encoding: chunked\r\n" } else { "" };
        let framing = format!("{chunked}{}", connection(self.framing.persists));
        self.put(|output| answer.write(&framing, output), now);
        self.state = State::Streaming(behind);
    }

    /// Puts an event into the stream, as one chunk. Without a stream it does nothing.
    ///
    /// # Errors
    /// When too much waits to leave; the event is not put there.
    pub fn event(&mut self, event: &[u8], now: u64) -> Result<(), TooSlow> {
        // An empty chunk would end the stream.
        if !matches!(self.state, State::Streaming(_)) || self.framing.is_head || event.is_empty() {
            return Ok(());
        }
        if self.output.len() + event.len() > self.limits.output {
            return Err(TooSlow);
        }
        let knows_chunks = self.framing.knows_chunks;
        self.put(
            |output| {
                if knows_chunks {
                    output.put(format!("{:x}\r\n", event.len()).as_bytes());
                }
                output.put(event);
                if knows_chunks {
                    output.put(b"\r\n");
                }
            },
            now,
        );
        Ok(())
    }

    /// Ends the stream. Without one it does nothing.
    pub fn end_stream(&mut self, now: u64) {
        let State::Streaming(behind) = self.state else { return };
        if self.framing.knows_chunks && !self.framing.is_head {
            self.put(|output| output.put(b"0\r\n\r\n"), now);
        }
        self.answered(behind, self.framing.persists, now);
    }

    /// Whether another request may follow the answer.
    const fn persists(&self, behind: Behind) -> bool {
        let can_be_dropped = match behind {
            Behind::Request => true,
            // Whether a peer that waited still sends its body is not known.
            Behind::Body(Extent::Bytes(bytes)) => bytes <= self.limits.body && !self.framing.expects,
            Behind::Body(Extent::Chunks) => !self.framing.expects,
            Behind::Unknown => false,
        };
        self.framing.persists && can_be_dropped
    }

    fn answered(&mut self, behind: Behind, persists: bool, now: u64) {
        match behind {
            Behind::Request if persists => self.wait_for_request(now),
            Behind::Request => self.state = State::Closing,
            Behind::Body(extent) if persists => {
                self.timing.since = now;
                self.state = State::Dropped(Body::dropped(extent, self.limits.body));
            }
            Behind::Body(_) | Behind::Unknown => self.linger(now),
        }
    }
}

/// The header that says whether another request may follow.
const fn connection(persists: bool) -> &'static str {
    if persists { "" } else { "connection: close\r\n" }
}
