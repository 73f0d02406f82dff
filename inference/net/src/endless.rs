//! Watch over connections that acknowledge without end.
//!
//! The protocols have such a state: a peer that shuts its window and then acknowledges all, our end included, leaves a
//! timer that has run out for ever. Such a connection is reset.

use crate::filter::{self, Ends, Kind, Part};

/// Acknowledgements in a row of one connection, with nothing else, that a poll has no reason for: one of bytes, one of
/// an end and one of room are three.
const MOST: u32 = 8;

/// The connection that the last round of sending ended with, and how many rounds did.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    last: Option<Ends>,
    rounds: u32,
}

impl Watch {
    /// Notes the last frame of a round. Result: the connection that has to end.
    pub(crate) fn note(&mut self, frame: &[u8]) -> Option<Ends> {
        let ends = match filter::look(frame) {
            Kind::Tcp(ends, Part::Acknowledgement) => Some(ends),
            _ => None,
        };
        self.rounds = if ends.is_some() && ends == self.last { self.rounds + 1 } else { 0 };
        self.last = ends;
        self.last.filter(|_| self.rounds >= MOST)
    }

    /// Notes that all is sent.
    pub(crate) fn rest(&mut self) {
        *self = Self::default();
    }
}
