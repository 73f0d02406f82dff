//! The engine's side of a virtio-net device whose registers and descriptors are the kernel's.
//!
//! Descriptor `i` of a queue is buffer `i` of its pool, for ever, and each buffer begins with the device's header of 12
//! bytes (virtio 1.2, 5.1.6). Of the receiving queue the engine writes the available ring; frames to send are handed to
//! the kernel in batches. Used rings are the device's, which is not trusted: no index or length of its leads out of a
//! ring or a buffer, its mistakes are counted, and one that cannot be made good again ends the device until a reset.

use alloc::vec::Vec;
use core::fmt;

use crate::frames::Frames;

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
/// Bytes of a used ring's entry: buffer, length.
const USED_ENTRY: usize = 8;
/// Flag of the available ring: no interrupts. Flag of a used ring: no doorbell.
const QUIET: u16 = 1;
/// Buffers that a device may lose of a queue by naming wrong ones before it counts as broken.
const MAX_LOST: u16 = BUFFERS / 4;

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

/// Reason that a device has to be reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It says that it has used more buffers than it was given.
    Index {
        /// The ring.
        area: Area,
        /// Buffers it says it has used.
        used: u16,
        /// Buffers it had.
        given: u16,
    },
    /// It has named too many buffers that it did not have.
    Buffers(Area),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |area: &Area| if *area == Area::SendUsed { "sending" } else { "receiving" };
        match self {
            Self::Index { area, used, given } => {
                write!(f, "{} queue: {used} buffers used of {given} given", name(area))
            }
            Self::Buffers(area) => {
                write!(f, "{} queue: buffers used that the device did not have", name(area))
            }
        }
    }
}

impl core::error::Error for Broken {}

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

/// Used ring of a queue, as far as it was read.
#[derive(Debug)]
struct Used {
    area: Area,
    /// Index of the next entry.
    next: u16,
    /// Index behind the last buffer given.
    given: u16,
    /// Which buffers the device has.
    has: [bool; BUFFERS as usize],
    /// Buffers that it will never give back.
    lost: u16,
}

impl Used {
    fn new(area: Area) -> Self {
        Self { area, next: 0, given: 0, has: [false; BUFFERS as usize], lost: 0 }
    }

    /// Gives a buffer.
    fn give(&mut self, buffer: u16) {
        self.has[usize::from(buffer)] = true;
        self.given = self.given.wrapping_add(1);
    }

    /// Buffers that the device says it has used.
    fn pending(&self, shared: &impl Shared) -> Result<u16, Broken> {
        let used = shared.load(self.area, INDEX).wrapping_sub(self.next);
        let given = self.given.wrapping_sub(self.next);
        if used > given { Err(Broken::Index { area: self.area, used, given }) } else { Ok(used) }
    }

    /// Takes the next entry: the buffer and its length. Ok(None): the device did not have it.
    fn take(&mut self, shared: &impl Shared) -> Result<Option<(u16, u32)>, Broken> {
        let entry = ENTRIES + USED_ENTRY * usize::from(self.next % BUFFERS);
        let (buffer, length) = (shared.load_wide(self.area, entry), shared.load_wide(self.area, entry + 4));
        self.next = self.next.wrapping_add(1);
        let buffer = u16::try_from(buffer).ok().filter(|buffer| *buffer < BUFFERS);
        if let Some(buffer) = buffer
            && core::mem::take(&mut self.has[usize::from(buffer)])
        {
            return Ok(Some((buffer, length)));
        }
        self.lost += 1;
        if self.lost > MAX_LOST { Err(Broken::Buffers(self.area)) } else { Ok(None) }
    }
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
