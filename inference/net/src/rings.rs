//! The engine's side of a virtio-net device whose registers and descriptors are the kernel's.
//!
//! Descriptor `i` of a queue is buffer `i` of its pool, for ever, and each buffer begins with the device's header of 12
//! bytes (virtio 1.2, 5.1.6). Of the receiving queue the engine writes the available ring; frames to send are handed to
//! the kernel in batches. Used rings are the device's, which is not trusted: no index or length of its leads out of a
//! ring or a buffer, its mistakes are counted, and one that cannot be made good again ends the device until a reset.

mod used;

use alloc::vec::Vec;

use crate::frames::Frames;
pub use used::Broken;
use used::Used;

/// Buffers of each queue.
pub const BUFFERS: u16 = 128;
/// Bytes of a buffer, the device's header included.
pub const BUFFER_BYTES: usize = 2048;

/// Bytes of the header in front of a frame.
const HEADER: usize = 12;
/// Bytes of the header in front of a packet.
const ETHERNET: usize = 14;
/// Where a ring's flags, its index and its entries are.
const FLAGS: usize = 0;
const INDEX: usize = 2;
const ENTRIES: usize = 4;
/// Flag of the available ring: no interrupts. Flag of a used ring: no doorbell.
const QUIET: u16 = 1;

/// A ring that the engine sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// Available ring of the receiving queue, which the engine writes.
    ReceiveAvailable,
    /// Used ring of the receiving queue, which the device writes.
    ReceiveUsed,
    /// Used ring of the sending queue, which the device writes.
    SendUsed,
}

/// A frame to send, for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Outgoing {
    /// Buffer of the sending queue.
    pub buffer: u16,
    /// Bytes in it, the device's header included.
    pub length: u16,
}

/// Memory shared with a device, and the calls that it takes. Offsets are those of the virtio standard, from a ring's
/// start, and always inside of the ring; buffers are below [`BUFFERS`] and ranges inside of [`BUFFER_BYTES`].
pub trait Shared {
    /// Reads 16 bits, before all that is read later (acquire).
    fn load(&self, area: Area, offset: usize) -> u16;

    /// Reads 32 bits.
    fn load_wide(&self, area: Area, offset: usize) -> u32;

    /// Writes 16 bits of [`Area::ReceiveAvailable`], after all that was written before (release).
    fn store(&mut self, offset: usize, value: u16);

    /// Orders what was written before and what is read later (sequentially consistent).
    fn fence(&self);

    /// Copies out of a buffer of the receiving queue.
    fn read(&self, buffer: u16, start: usize, bytes: &mut [u8]);

    /// Copies into a buffer of the sending queue.
    fn write(&mut self, buffer: u16, start: usize, bytes: &[u8]);

    /// Hands frames to the device, and rings its doorbell if it wants that. Result: how many, from the first.
    fn submit(&mut self, frames: &[Outgoing]) -> usize;

    /// Rings the doorbell of the receiving queue.
    fn doorbell(&mut self);
}

/// What a device has done, since its last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingFigures {
    /// Frames received.
    pub received: u64,
    /// Frames handed to the device.
    pub sent: u64,
    /// Batches of them.
    pub batches: u64,
    /// Doorbells of the receiving queue.
    pub doorbells: u64,
    /// Buffers named that the device did not have.
    pub wrong_buffers: u64,
    /// Frames whose length does not fit into a buffer, or that are larger than the network's.
    pub wrong_lengths: u64,
    /// Frames that the kernel did not take.
    pub not_taken: u64,
}

/// Rings of a device.
pub struct Rings<S> {
    shared: S,
    mac: [u8; 6],
    mtu: usize,
    receiving: Used,
    /// Whether buffers were given since the last [`Frames::flush`].
    refilled: bool,
    sending: Used,
    free: Vec<u16>,
    batch: Vec<Outgoing>,
    broken: Option<Broken>,
    figures: RingFigures,
}

impl<S: Shared> Rings<S> {
    /// Rings of a device that was just reset, with an address and a largest packet, which a buffer bounds. All buffers
    /// to receive into are the device's from here.
    pub fn new(shared: S, mac: [u8; 6], mtu: usize) -> Self {
        let mtu = mtu.min(BUFFER_BYTES - HEADER - ETHERNET);
        let (receiving, sending) = (Used::new(Area::ReceiveUsed), Used::new(Area::SendUsed));
        let (free, batch) = (Vec::new(), Vec::with_capacity(BUFFERS.into()));
        let figures = RingFigures::default();
        let mut rings = Self {
            shared,
            mac,
            mtu,
            receiving,
            refilled: false,
            sending,
            free,
            batch,
            broken: None,
            figures,
        };
        rings.restart();
        rings
    }

    /// Begins anew, with a device that was reset and rings that are zero.
    pub fn restart(&mut self) {
        (self.receiving, self.sending) = (Used::new(Area::ReceiveUsed), Used::new(Area::SendUsed));
        self.batch.clear();
        self.free.clear();
        self.free.extend((0..BUFFERS).rev());
        (self.broken, self.figures) = (None, RingFigures::default());
        for buffer in 0..BUFFERS {
            self.refill(buffer);
        }
        self.flush();
    }

    /// Why the device has to be reset, if it has to.
    pub fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// What the device has done.
    pub fn figures(&self) -> RingFigures {
        self.figures
    }

    /// The memory shared with the device.
    pub fn shared(&mut self) -> &mut S {
        &mut self.shared
    }

    /// Lets the device interrupt when it has received, or not. Result: whether it has already, without interrupt.
    pub fn interrupts(&mut self, on: bool) -> bool {
        self.shared.store(FLAGS, if on { 0 } else { QUIET });
        // The device looks at the flag after it has written its index.
        self.shared.fence();
        self.shared.load(Area::ReceiveUsed, INDEX) != self.receiving.next
    }

    /// Gives the device a buffer to receive into.
    fn refill(&mut self, buffer: u16) {
        let given = self.receiving.given;
        self.shared.store(ENTRIES + 2 * usize::from(given % BUFFERS), buffer);
        self.receiving.give(buffer);
        self.shared.store(INDEX, self.receiving.given);
        self.refilled = true;
    }

    /// Takes back the buffers of frames that have left.
    fn reclaim(&mut self) -> Result<(), Broken> {
        for _ in 0..self.sending.pending(&self.shared)? {
            match self.sending.take(&self.shared)? {
                Some((buffer, _)) => self.free.push(buffer),
                None => self.figures.wrong_buffers += 1,
            }
        }
        Ok(())
    }

    /// Copies out the next received frame.
    fn next(&mut self, frame: &mut [u8]) -> Result<Option<usize>, Broken> {
        for _ in 0..self.receiving.pending(&self.shared)? {
            let Some((buffer, length)) = self.receiving.take(&self.shared)? else {
                self.figures.wrong_buffers += 1;
                continue;
            };
            let bytes = usize::try_from(length).ok().filter(|length| *length <= BUFFER_BYTES);
            let bytes = bytes.and_then(|length| length.checked_sub(HEADER));
            let room = bytes.and_then(|bytes| frame.get_mut(..bytes)).filter(|room| !room.is_empty());
            let result = room.map(|room| {
                self.shared.read(buffer, HEADER, room);
                room.len()
            });
            self.refill(buffer);
            if result.is_some() {
                self.figures.received += 1;
                return Ok(result);
            }
            self.figures.wrong_lengths += 1;
        }
        Ok(None)
    }

    fn unless_broken<T: Default>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, Broken>) -> T {
        if self.broken.is_some() {
            return T::default();
        }
        act(self).unwrap_or_else(|broken| {
            self.broken = Some(broken);
            T::default()
        })
    }

    /// Hands the batch to the kernel.
    fn submit(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let all = self.batch.len();
        let taken = self.shared.submit(&self.batch).min(all);
        for (index, outgoing) in self.batch.drain(..).enumerate() {
            if index < taken {
                self.sending.give(outgoing.buffer);
            } else {
                self.free.push(outgoing.buffer);
            }
        }
        self.figures.batches += 1;
        self.figures.sent += taken as u64;
        self.figures.not_taken += (all - taken) as u64;
    }
}

impl<S: Shared> Frames for Rings<S> {
    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn receive(&mut self, frame: &mut [u8]) -> Option<usize> {
        self.unless_broken(|rings| rings.next(frame))
    }

    fn room(&mut self) -> bool {
        self.unless_broken(|rings| {
            if rings.free.is_empty() {
                rings.reclaim()?;
            }
            if rings.free.is_empty() {
                rings.submit();
                rings.reclaim()?;
            }
            Ok(!rings.free.is_empty())
        })
    }

    fn send(&mut self, frame: &[u8]) {
        if frame.len() > BUFFER_BYTES - HEADER || !self.room() {
            return;
        }
        let Some(buffer) = self.free.pop() else { return };
        self.shared.write(buffer, 0, &[0; HEADER]);
        self.shared.write(buffer, HEADER, frame);
        // At most `BUFFER_BYTES`.
        self.batch.push(Outgoing { buffer, length: (HEADER + frame.len()) as u16 });
    }

    fn flush(&mut self) {
        if self.broken.is_some() {
            return;
        }
        self.submit();
        if core::mem::take(&mut self.refilled) {
            // The device says that it wants no doorbell before it looks at the index.
            self.shared.fence();
            if self.shared.load(Area::ReceiveUsed, FLAGS) & QUIET == 0 {
                self.shared.doorbell();
                self.figures.doorbells += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
