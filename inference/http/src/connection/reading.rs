//! Requests: heads, the bodies that are accepted, and what cannot be read.

use core::mem;

use super::{Behind, Connection, Next, State};
use crate::body::Body;
use crate::fault::Fault;
use crate::framing::{Extent, Framing};
use crate::head::Head;
use crate::scan::Scan;

/// Length of an empty line, which old clients send behind a body.
const EMPTY_LINE: usize = 2;

impl Connection {
    /// The next part of a request.
    pub fn next(&mut self, now: u64) -> Next {
        let is_behind = self.is_behind();
        loop {
            let result = match &mut self.state {
                State::Head(_) if is_behind => return Next::Nothing,
                State::Head(scan) => match scan.advance(self.input.as_slice(), &self.limits) {
                    Ok(Some(EMPTY_LINE)) => {
                        self.input.take(EMPTY_LINE);
                        self.state = State::Head(Scan::default());
                        self.timing.begun = (!self.input.is_empty()).then_some(now);
                        continue;
                    }
                    Ok(Some(length)) => {
                        return self.head(length, now).unwrap_or_else(|fault| self.fault(fault));
                    }
                    Ok(None) => Ok(false),
                    Err(fault) => Err(fault),
                },
                State::Body(body) => body.take(&mut self.input),
                State::Dropped(body) => body.take(&mut self.input),
                State::Fault(fault) => Err(*fault),
                _ => return Next::Nothing,
            };
            let is_answered = matches!(self.state, State::Dropped(_));
            match result {
                Ok(true) if is_answered => self.wait_for_request(now),
                Ok(true) => return self.body(),
                Ok(false) => {
                    if self.has_ended {
                        self.state = State::Closing;
                    }
                    return Next::Nothing;
                }
                Err(_) if is_answered => {
                    self.linger(now);
                    return Next::Nothing;
                }
                Err(fault) => return self.fault(fault),
            }
        }
    }

    fn head(&mut self, length: usize, now: u64) -> Result<Next, Fault> {
        let bytes = self.input.as_slice();
        let head = Head::parse(bytes.get(..length).unwrap_or(bytes))?;
        self.framing = Framing::new(&head)?;
        self.input.take(length);
        self.timing.since = now;
        self.state = State::Asked(match self.framing.extent {
            Extent::Bytes(0) => Behind::Request,
            extent => Behind::Body(extent),
        });
        Ok(Next::Head(head))
    }

    fn body(&mut self) -> Next {
        match mem::replace(&mut self.state, State::Asked(Behind::Request)) {
            State::Body(body) => Next::Body(body.into_bytes()),
            _ => Next::Nothing,
        }
    }

    fn fault(&mut self, fault: Fault) -> Next {
        self.framing = Framing::FAULTY;
        self.input.clear();
        self.state = State::Asked(Behind::Unknown);
        Next::Fault(fault)
    }

    /// Accepts the body of the head that was handed over, which [`Self::next`] gives when it is there.
    ///
    /// # Errors
    /// When it is longer than it may be; the owner answers that.
    pub fn accept(&mut self, now: u64) -> Result<(), Fault> {
        let extent = match self.state {
            State::Asked(Behind::Body(extent)) => extent,
            State::Asked(Behind::Request) => Extent::Bytes(0),
            _ => return Ok(()),
        };
        let body = Body::kept(extent, self.limits.body)?;
        // A peer that did not wait needs no answer.
        if self.framing.expects && self.input.is_empty() {
            self.put(|output| output.put(b"HTTP/1.1 100 Continue\r\n\r\n"), now);
        }
        self.state = State::Body(body);
        Ok(())
    }

    /// Bytes that the body which arrives now, or waits to be accepted, can come to hold.
    #[must_use]
    pub fn reserved(&self) -> usize {
        match &self.state {
            State::Body(body) => body.reserved(),
            State::Asked(Behind::Body(Extent::Bytes(bytes))) => self.limits.body.min(*bytes),
            State::Asked(Behind::Body(Extent::Chunks)) => self.limits.body,
            _ => 0,
        }
    }
}
