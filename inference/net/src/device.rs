//! The protocols' view of a device: one received frame at a time, looked at before it is theirs.

use alloc::vec;
use alloc::vec::Vec;

use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::ETHERNET_HEADER_LEN;

use crate::frames::Frames;

/// A device with the frame that it has handed out last.
pub(crate) struct Device<F> {
    pub(crate) outbox: Outbox<F>,
    held: Vec<u8>,
    /// Bytes of the frame held, 0 for none.
    length: usize,
}

/// The way out, with the frame that was sent last.
pub(crate) struct Outbox<F> {
    pub(crate) frames: F,
    frame: Vec<u8>,
    /// Frames sent.
    pub(crate) sent: u64,
    /// Answers lost because there was no room.
    pub(crate) lost: u64,
}

impl<F: Frames> Device<F> {
    pub(crate) fn new(frames: F) -> Self {
        let bytes = frames.mtu() + ETHERNET_HEADER_LEN;
        let outbox = Outbox { frames, frame: Vec::with_capacity(bytes), sent: 0, lost: 0 };
        Self { outbox, held: vec![0; bytes], length: 0 }
    }

    /// Takes the next received frame. Result: its bytes, to be looked at.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        self.length = self.outbox.frames.receive(&mut self.held)?.min(self.held.len());
        Some(&self.held[..self.length])
    }
}

impl<F: Frames> Outbox<F> {
    /// Sends a frame, where there is room.
    pub(crate) fn send<R>(&mut self, bytes: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        self.frame.clear();
        // Not everybody writes what is reserved in a header.
        self.frame.resize(bytes, 0);
        let result = fill(&mut self.frame);
        if self.frames.room() {
            self.frames.send(&self.frame);
            self.sent += 1;
        } else {
            self.lost += 1;
        }
        result
    }

    /// The frame that was sent last.
    pub(crate) fn last(&self) -> &[u8] {
        &self.frame
    }
}

impl<F: Frames> phy::Device for Device<F> {
    type RxToken<'a>
        = Incoming<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = &'a mut Outbox<F>
    where
        Self: 'a;

    /// The frame held. An answer to it is lost where there is no room, as a network may lose it: what has arrived is
    /// taken in any case, since it may be what makes room.
    fn receive(&mut self, _: Instant) -> Option<(Incoming<'_>, &mut Outbox<F>)> {
        let length = core::mem::take(&mut self.length);
        (length > 0).then_some((Incoming(&self.held[..length]), &mut self.outbox))
    }

    fn transmit(&mut self, _: Instant) -> Option<&mut Outbox<F>> {
        self.outbox.frames.room().then_some(&mut self.outbox)
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

impl<F: Frames> phy::TxToken for &mut Outbox<F> {
    fn consume<R, C: FnOnce(&mut [u8]) -> R>(self, bytes: usize, fill: C) -> R {
        self.send(bytes, fill)
    }
}
