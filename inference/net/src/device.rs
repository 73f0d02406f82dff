//! The protocols' view of a device: one received frame at a time, looked at before it is theirs.

use alloc::vec;
use alloc::vec::Vec;

use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::ETHERNET_HEADER_LEN;

use crate::frames::Frames;

/// A device with the frame that it has handed out last.
pub(crate) struct Device<F> {
    pub(crate) frames: F,
    held: Vec<u8>,
    /// Bytes of the frame held, 0 for none.
    length: usize,
    outgoing: Vec<u8>,
    /// Frames sent.
    pub(crate) sent: u64,
    /// Answers lost because there was no room.
    pub(crate) lost: u64,
    /// There was no room for a frame that a socket wants to send.
    pub(crate) full: bool,
}

impl<F: Frames> Device<F> {
    pub(crate) fn new(frames: F) -> Self {
        let bytes = frames.mtu() + ETHERNET_HEADER_LEN;
        let (held, outgoing) = (vec![0; bytes], vec![0; bytes]);
        Self { frames, held, length: 0, outgoing, sent: 0, lost: 0, full: false }
    }

    /// Takes the next received frame. Result: its bytes, to be looked at.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        self.length = self.frames.receive(&mut self.held)?.min(self.held.len());
        Some(&self.held[..self.length])
    }

    /// Sends a frame that no socket made.
    pub(crate) fn send(&mut self, frame: &[u8]) {
        if self.frames.room() {
            self.frames.send(frame);
            self.sent += 1;
        } else {
            self.lost += 1;
        }
    }
}

impl<F: Frames> phy::Device for Device<F> {
    type RxToken<'a>
        = Incoming<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Answer<'a, F>
    where
        Self: 'a;

    /// The frame held. An answer to it is lost where there is no room, as a network may lose it: what has arrived is
    /// taken in any case, since it may be what makes room.
    fn receive(&mut self, _: Instant) -> Option<(Incoming<'_>, Answer<'_, F>)> {
        if self.length == 0 {
            return None;
        }
        let incoming = Incoming(&self.held[..core::mem::take(&mut self.length)]);
        let Self { frames, outgoing, sent, lost, .. } = self;
        Some((incoming, Answer { frames, outgoing, sent, lost }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Answer<'_, F>> {
        if !self.frames.room() {
            self.full = true;
            return None;
        }
        let Self { frames, outgoing, sent, lost, .. } = self;
        Some(Answer { frames, outgoing, sent, lost })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.held.len();
        capabilities
    }
}

/// A received frame.
pub(crate) struct Incoming<'a>(&'a [u8]);

impl phy::RxToken for Incoming<'_> {
    fn consume<R, C: FnOnce(&[u8]) -> R>(self, take: C) -> R {
        take(self.0)
    }
}

/// Room for a frame to send.
pub(crate) struct Answer<'a, F> {
    frames: &'a mut F,
    outgoing: &'a mut Vec<u8>,
    sent: &'a mut u64,
    lost: &'a mut u64,
}

impl<F: Frames> phy::TxToken for Answer<'_, F> {
    fn consume<R, C: FnOnce(&mut [u8]) -> R>(self, bytes: usize, fill: C) -> R {
        // No packet is larger than the MTU, but the protocols' promise is not relied on.
        if self.outgoing.len() < bytes {
            self.outgoing.resize(bytes, 0);
        }
        let frame = &mut self.outgoing[..bytes];
        // Padding inside of a header is not written by everybody.
        frame.fill(0);
        let result = fill(frame);
        if self.frames.room() {
            self.frames.send(frame);
            *self.sent += 1;
        } else {
            *self.lost += 1;
        }
        result
    }
}
