//! The network device: a virtio-net device with static descriptors (`embodios_abi::network` says what the engine sees).
//!
//! Its memory is the kernel's and taken at boot. What the engine may write of it are the buffers and the available ring
//! of receive; descriptor tables and the available ring of transmit it does not see.

#[cfg(test)]
mod tests;

use super::rings::{DESCRIPTOR, ENTRIES, INDEX, LENGTH, NO_INTERRUPT, NO_NOTIFY, SharedMemory, WRITE};
use super::transport::{self, DeviceError, Rings, Transport};
use crate::memory::{Memory, MemoryError};
use crate::user;
use alloc::boxed::Box;
use core::fmt;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};
use embodios_abi::network::{BUFFER, HEADER, QUEUE, RECEIVE, TRANSMIT, decode_buffer};
use embodios_abi::{Error, NetworkInfo, layout};
use embodios_arch::paging::{Access, PAGE};
use embodios_arch::{PhysRange, VirtAddr};

/// Kind of a network device (virtio 1.2, 5).
pub const KIND: u32 = 1;
/// The feature "has a MAC address" (5.1.3).
const MAC: u64 = 1 << 5;

/// Places in the memory that the engine writes, a large page: buffers, then the available ring of receive, then the
/// event word.
mod shared {
    use super::{BUFFER, PAGE, QUEUE};
    pub const AVAILABLE: u64 = 2 * (QUEUE * BUFFER) as u64;
    pub const EVENT: u64 = AVAILABLE + PAGE;
    pub const END: u64 = EVENT + PAGE;
}

/// Pages that the engine does not write. It reads the first two.
mod own {
    use super::PAGE;
    pub const RECEIVE_USED: u64 = 0;
    pub const TRANSMIT_USED: u64 = PAGE;
    pub const READABLE: u64 = 2 * PAGE;
    pub const TRANSMIT_AVAILABLE: u64 = 2 * PAGE;
    pub const RECEIVE_DESCRIPTORS: u64 = 3 * PAGE;
    pub const TRANSMIT_DESCRIPTORS: u64 = 4 * PAGE;
    pub const END: u64 = 5 * PAGE;
}

const _: () = assert!(shared::END <= layout::LARGE_PAGE && 16 * QUEUE as u64 <= PAGE);

/// The device.
pub struct Network {
    transport: Box<dyn Transport>,
    /// What the engine writes, [`shared`].
    shared: SharedMemory,
    /// What it does not, [`own`].
    own: SharedMemory,
    /// Index of the available ring of transmit.
    sent: u16,
    mac: [u8; 8],
    /// Whether it works, since the last [`Self::start`].
    is_live: bool,
    /// Whether an earlier engine had it.
    was_used: bool,
}

impl Network {
    /// Takes the memory of a device.
    ///
    /// # Errors
    /// [`MemoryError::Exhausted`].
    pub fn new(transport: Box<dyn Transport>, memory: &mut Memory) -> Result<Self, MemoryError> {
        let shared = SharedMemory::take(memory, layout::LARGE_PAGE, layout::LARGE_PAGE)?;
        let own = SharedMemory::take(memory, own::END, PAGE)?;
        Ok(Self::on(transport, shared, own))
    }

    /// A device on memory of its own.
    fn on(transport: Box<dyn Transport>, shared: SharedMemory, own: SharedMemory) -> Self {
        let network = Self { transport, shared, own, sent: 0, mac: [0; 8], is_live: false, was_used: false };
        network.describe();
        network
    }

    /// Sets the device up anew. It receives once the engine has made buffers available.
    ///
    /// # Errors
    /// [`DeviceError`]; the device is not used then.
    pub fn start(&mut self) -> Result<(), DeviceError> {
        self.stop()?;
        if core::mem::replace(&mut self.was_used, true) {
            crate::memory::zero(PhysRange::new(self.shared.start.0, shared::END));
        }
        self.begin_rings();
        let features = transport::begin(&*self.transport, MAC)?;
        let own = |offset| self.own.start.0 + offset;
        let receive = Rings {
            descriptors: own(own::RECEIVE_DESCRIPTORS),
            available: self.shared.start.0 + shared::AVAILABLE,
            used: own(own::RECEIVE_USED),
        };
        let transmit = Rings {
            descriptors: own(own::TRANSMIT_DESCRIPTORS),
            available: own(own::TRANSMIT_AVAILABLE),
            used: own(own::TRANSMIT_USED),
        };
        self.transport.set_queue(RECEIVE as u16, QUEUE as u16, receive, true)?;
        self.transport.set_queue(TRANSMIT as u16, QUEUE as u16, transmit, false)?;
        transport::go(&*self.transport);
        if features & MAC != 0 {
            (0..6).for_each(|index| self.mac[index] = self.transport.configuration(index as u64));
        }
        self.is_live = true;
        Ok(())
    }

    /// Resets the device: it reaches no memory from then on.
    ///
    /// # Errors
    /// [`DeviceError::StuckInReset`]: it may still.
    pub fn stop(&mut self) -> Result<(), DeviceError> {
        self.is_live = false;
        transport::reset(&*self.transport)
    }

    /// Writes the descriptors, which nobody changes but for the lengths of frames to send.
    fn describe(&self) {
        for index in 0..QUEUE as u64 {
            let set = |table: u64, part: u64, value: u64| {
                let place = table + DESCRIPTOR * index + part;
                self.own.word::<AtomicU64>(place).store(value, Ordering::Relaxed);
            };
            let buffer = |queue: u64| self.shared.start.0 + (queue * QUEUE as u64 + index) * BUFFER as u64;
            set(own::RECEIVE_DESCRIPTORS, 0, buffer(RECEIVE));
            set(own::RECEIVE_DESCRIPTORS, LENGTH, BUFFER as u64 | WRITE);
            set(own::TRANSMIT_DESCRIPTORS, 0, buffer(TRANSMIT));
        }
    }

    /// Empties the rings.
    fn begin_rings(&mut self) {
        self.sent = 0;
        let begin = |part: SharedMemory, ring, flags: u16| {
            part.word::<AtomicU16>(ring).store(flags, Ordering::Relaxed);
            part.word::<AtomicU16>(ring + INDEX).store(0, Ordering::Release);
        };
        begin(self.shared, shared::AVAILABLE, 0);
        begin(self.own, own::TRANSMIT_AVAILABLE, NO_INTERRUPT);
        begin(self.own, own::RECEIVE_USED, 0);
        begin(self.own, own::TRANSMIT_USED, 0);
        self.event().store(0, Ordering::Release);
    }

    /// A 16-bit word of [`own`].
    fn half(&self, offset: u64) -> &AtomicU16 {
        self.own.word(offset)
    }

    /// The word that counts interrupts.
    fn event(&self) -> &AtomicU32 {
        self.shared.word(shared::EVENT)
    }

    /// Maps a live device's memory for the engine; its record. `None` where there is no live one.
    ///
    /// # Errors
    /// [`MemoryError::Map`].
    pub fn map(&self, memory: &mut Memory) -> Result<Option<NetworkInfo>, MemoryError> {
        if !self.is_live {
            return Ok(None);
        }
        let shared = layout::DEVICES;
        let used = layout::DEVICES + layout::LARGE_PAGE;
        memory.map_for_engine(VirtAddr(shared), *self.shared, Access::engine(true, false))?;
        let readable = PhysRange::new(self.own.start.0, own::READABLE);
        memory.map_for_engine(VirtAddr(used), readable, Access::engine(false, false))?;
        Ok(Some(NetworkInfo {
            mac: self.mac,
            buffers: shared,
            receive_available: shared + shared::AVAILABLE,
            receive_used: used + own::RECEIVE_USED,
            transmit_used: used + own::TRANSMIT_USED,
            event: Self::EVENT,
        }))
    }

    /// The address at which the engine has the event word.
    pub const EVENT: u64 = layout::DEVICES + shared::EVENT;

    /// Counts an interrupt of the device, and ends it.
    pub fn interrupt(&self) {
        self.transport.acknowledge();
        self.event().fetch_add(1, Ordering::Release);
    }

    /// Sends the buffers that `words` name, as many as the device has room for; their number.
    ///
    /// # Errors
    /// [`Error::NoSuchBuffer`] where the first word names none.
    pub fn send(&mut self, words: impl Iterator<Item = u64>) -> Result<u64, Error> {
        if !self.is_live {
            return Err(Error::NoSuchBuffer);
        }
        let mut taken = 0;
        // Written by the device, and good for no more than this bound.
        let done = self.half(own::TRANSMIT_USED + INDEX).load(Ordering::Acquire);
        for word in words {
            let (buffer, length) = decode_buffer(word);
            if buffer as usize >= QUEUE || !(HEADER + 1..=BUFFER).contains(&(length as usize)) {
                if taken == 0 {
                    return Err(Error::NoSuchBuffer);
                }
                break;
            }
            if self.sent.wrapping_sub(done) >= QUEUE as u16 {
                break;
            }
            // The device may read the entry meanwhile if the engine names a buffer twice: either length stays within
            // the buffer.
            let descriptor = own::TRANSMIT_DESCRIPTORS + DESCRIPTOR * u64::from(buffer);
            self.own.word::<AtomicU64>(descriptor + LENGTH).store(length.into(), Ordering::Relaxed);
            let entry = ENTRIES + 2 * (u64::from(self.sent) % QUEUE as u64);
            self.half(own::TRANSMIT_AVAILABLE + entry).store(buffer as u16, Ordering::Relaxed);
            self.sent = self.sent.wrapping_add(1);
            taken += 1;
        }
        if taken > 0 {
            self.half(own::TRANSMIT_AVAILABLE + INDEX).store(self.sent, Ordering::Release);
            // The index is seen before the flag is looked at (2.7.13.4.1).
            fence(Ordering::SeqCst);
            if self.half(own::TRANSMIT_USED).load(Ordering::Acquire) & NO_NOTIFY == 0 {
                self.transport.notify(TRANSMIT as u16);
            }
        }
        Ok(taken)
    }

    /// Serves [`embodios_abi::Call::Submit`].
    ///
    /// # Errors
    /// [`Error::NoSuchBuffer`]; [`Error::BadAddress`] where the words are not the engine's.
    pub fn submit(&mut self, queue: u64, address: u64, count: u64) -> Result<u64, Error> {
        match queue {
            RECEIVE if count == 0 && self.is_live => {
                self.transport.notify(RECEIVE as u16);
                Ok(0)
            }
            TRANSMIT => self.send(user::Words::new(address, count.min(QUEUE as u64))?.iter()),
            _ => Err(Error::NoSuchBuffer),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, ..] = self.mac;
        write!(f, "network device {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
