//! One connection: requests, one after the other, and the answer to each before the next.
//!
//! The owner hands over what arrived ([`Connection::receive`]), takes what it has to decide or answer
//! ([`Connection::next`]), answers, and sends what waits to leave ([`Connection::output`]).

mod answering;
mod reading;

use alloc::vec::Vec;

use crate::body::Body;
use crate::buffer::Buffer;
use crate::fault::Fault;
use crate::framing::{Extent, Framing};
use crate::head::Head;
use crate::limits::Limits;
use crate::scan::Scan;
use crate::timing::{Awaited, Timing};
pub use answering::TooSlow;

/// A request's next part.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing yet.
    Nothing,
    /// A head. The owner answers it, or accepts its body first.
    Head(Head),
    /// The body that was accepted. The owner answers it.
    Body(Vec<u8>),
    /// A request that cannot be read. The owner answers it; this is the last one.
    Fault(Fault),
}

/// State of a connection for its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Open,
    /// All was said: it is to be closed.
    Close,
    /// The peer does not read: it is to be reset.
    Abort,
}

/// What stands behind a head or a fault that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    /// The next request.
    Request,
    /// The body, which was not accepted.
    Body(Extent),
    /// Bytes that mean nothing.
    Unknown,
}

#[derive(Debug)]
enum State {
    /// The head of the next request arrives.
    Head(Scan),
    /// An accepted body arrives.
    Body(Body),
    /// A fault is to be handed to the owner.
    Fault(Fault),
    /// The owner owes an answer.
    Asked(Behind),
    /// The same, of which a part was given.
    Streaming(Behind),
    /// A body arrives that was answered without.
    Dropped(Body),
    /// The last answer was given, and what arrives means nothing.
    Lingering,
    /// The last answer was given.
    Closing,
    /// The peer does not read.
    Stalled,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    state: State,
    input: Buffer,
    output: Buffer,
    /// Of the request that is read or answered.
    framing: Framing,
    /// Whether the peer has sent all.
    has_ended: bool,
    timing: Timing,
}

impl Connection {
    /// A connection that begins now.
    #[must_use]
    pub fn new(limits: Limits, now: u64) -> Self {
        Self {
            limits,
            state: State::Head(Scan::default()),
            input: Buffer::default(),
            output: Buffer::default(),
            framing: Framing::FAULTY,
            has_ended: false,
            timing: Timing::new(now),
        }
    }

    /// Bytes that [`Self::receive`] takes now.
    #[must_use]
    pub fn room(&self) -> usize {
        match self.state {
            State::Lingering | State::Closing | State::Stalled => usize::MAX,
            // One more than a head may have says that it has too many.
            _ => (self.limits.head + 1).saturating_sub(self.input.len()),
        }
    }

    /// Takes bytes that arrived, as many as there is room for. Result: their number. [`Self::next`] is to be called
    /// then.
    pub fn receive(&mut self, bytes: &[u8], now: u64) -> usize {
        if matches!(self.state, State::Lingering | State::Closing | State::Stalled) {
            return bytes.len();
        }
        let taken = bytes.get(..self.room()).unwrap_or(bytes);
        self.input.put(taken);
        if matches!(self.state, State::Head(_)) && !taken.is_empty() {
            self.timing.begun.get_or_insert(now);
        }
        taken.len()
    }

    /// Takes note that nothing more arrives. [`Self::next`] is to be called then.
    pub const fn end(&mut self) {
        self.has_ended = true;
    }

    /// Bytes that wait to leave.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.output.as_slice()
    }

    /// Takes note that so many of those bytes have left.
    pub fn sent(&mut self, count: usize, now: u64) {
        if count > 0 {
            self.output.take(count);
            self.timing.progress = now;
            if self.output.is_empty() {
                // Only now does the peer know all that it waited for.
                self.timing.since = self.timing.since.max(now);
            }
        }
    }

    /// Whether the peer has sent all: it is gone, or waits for the last answer.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether no request is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Head(_)) && self.input.is_empty() && self.output.is_empty()
    }

    /// The beginning of what it waits for.
    #[must_use]
    pub const fn since(&self) -> u64 {
        self.timing.since
    }

    /// Its state for the owner.
    #[must_use]
    pub fn fate(&self) -> Fate {
        match self.state {
            State::Stalled => Fate::Abort,
            State::Closing if self.output.is_empty() => Fate::Close,
            State::Lingering if self.output.is_empty() && self.has_ended => Fate::Close,
            _ => Fate::Open,
        }
    }

    /// The time of the next [`Self::expire`] that is needed, `u64::MAX` for none.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        let late = self.timing.deadline(self.awaited(), &self.limits);
        if self.output.is_empty() { late } else { late.min(self.timing.stalled(&self.limits)) }
    }

    fn awaited(&self) -> Awaited {
        match &self.state {
            State::Head(_) if self.is_behind() => Awaited::Nothing,
            State::Head(_) if self.input.is_empty() => Awaited::Request,
            State::Head(_) => Awaited::Head,
            State::Body(body) | State::Dropped(body) => Awaited::Body(body.received),
            State::Lingering => Awaited::Leave,
            _ => Awaited::Nothing,
        }
    }

    /// Gives up what the peer is too late with. [`Self::next`] is to be called then.
    pub fn expire(&mut self, now: u64) {
        if !self.output.is_empty() && now >= self.timing.stalled(&self.limits) {
            self.state = State::Stalled;
            return;
        }
        let awaited = self.awaited();
        if now < self.timing.deadline(awaited, &self.limits) {
            return;
        }
        self.state = match (awaited, &self.state) {
            (Awaited::Head, _) => State::Fault(Fault::Timeout("the rest of the headers")),
            (_, State::Body(_)) => State::Fault(Fault::Timeout("the rest of the body")),
            _ => State::Closing,
        };
    }

    /// Makes the answer that is owed the last.
    pub const fn finish(&mut self) {
        self.framing.persists = false;
    }

    /// Whether answers to many requests at once have to leave before there are more of them: a stream among them needs
    /// room for its own events, else its peer would be taken for one that does not read.
    fn is_behind(&self) -> bool {
        self.output.len() > self.limits.output / 2
    }

    /// Puts bytes to those that wait to leave.
    fn put(&mut self, write: impl FnOnce(&mut Buffer), now: u64) {
        if self.output.is_empty() {
            self.timing.progress = now;
        }
        write(&mut self.output);
    }

    fn wait_for_request(&mut self, now: u64) {
        self.state = State::Head(Scan::default());
        self.timing.since = now;
        self.timing.begun = (!self.input.is_empty()).then_some(now);
    }

    fn linger(&mut self, now: u64) {
        self.input.clear();
        self.timing.since = now;
        self.state = State::Lingering;
    }
}
