//! The entropy device: a virtio-rng device (virtio 1.2, 5.4), asked for one number for each engine.
//!
//! It is polled, and reset again before the number is used: no engine has anything to do with it.

#[cfg(test)]
mod tests;

use super::rings::{ENTRIES, INDEX, LENGTH, NO_INTERRUPT, SharedMemory, WRITE};
use super::transport::{self, DeviceError, Rings, Transport};
use crate::memory::{Memory, MemoryError};
use crate::time::Instant;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use embodios_arch::paging::PAGE;

/// Kind of an entropy device (virtio 1.2, 5).
pub const KIND: u32 = 4;
/// Entries of the queue: one number is asked for.
const QUEUE: u16 = 1;
/// Time that the device has for it. QEMU needs some 10 microseconds; who waits for a host's pool waits longer.
const TIME: Duration = Duration::from_millis(100);

/// Places in the device's page.
mod place {
    pub const DESCRIPTOR: u64 = 0;
    pub const AVAILABLE: u64 = 0x100;
    pub const USED: u64 = 0x200;
    pub const NUMBER: u64 = 0x300;
}

/// The device.
pub struct Entropy {
    transport: Box<dyn Transport>,
    page: SharedMemory,
}

impl Entropy {
    /// Takes the memory of a device.
    ///
    /// # Errors
    /// [`MemoryError::Exhausted`].
    pub fn new(transport: Box<dyn Transport>, memory: &mut Memory) -> Result<Self, MemoryError> {
        Ok(Self { transport, page: SharedMemory::take(memory, PAGE, PAGE)? })
    }

    /// A fresh number.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn number(&mut self) -> Result<u64, DeviceError> {
        let answer = self.ask();
        transport::reset(&*self.transport)?;
        answer?;
        Ok(self.page.word::<AtomicU64>(place::NUMBER).swap(0, Ordering::Acquire))
    }

    fn ask(&mut self) -> Result<(), DeviceError> {
        transport::begin(&*self.transport, 0)?;
        let part = |offset| self.page.start.0 + offset;
        self.page.word::<AtomicU64>(place::DESCRIPTOR).store(part(place::NUMBER), Ordering::Relaxed);
        let length_and_flags = size_of::<u64>() as u64 | WRITE;
        self.page.word::<AtomicU64>(place::DESCRIPTOR + LENGTH).store(length_and_flags, Ordering::Relaxed);
        self.page.word::<AtomicU16>(place::AVAILABLE).store(NO_INTERRUPT, Ordering::Relaxed);
        self.page.word::<AtomicU16>(place::AVAILABLE + ENTRIES).store(0, Ordering::Relaxed);
        self.page.word::<AtomicU32>(place::USED).store(0, Ordering::Relaxed);
        let rings = Rings {
            descriptors: part(place::DESCRIPTOR),
            available: part(place::AVAILABLE),
            used: part(place::USED),
        };
        self.transport.set_queue(0, QUEUE, rings, false)?;
        transport::go(&*self.transport);
        self.page.word::<AtomicU16>(place::AVAILABLE + INDEX).store(1, Ordering::Release);
        self.transport.notify(0);
        let deadline = Instant::now() + TIME;
        while self.page.word::<AtomicU16>(place::USED + INDEX).load(Ordering::Acquire) == 0 {
            if Instant::now() > deadline {
                return Err(DeviceError::NoAnswer);
            }
            core::hint::spin_loop();
        }
        let written = self.page.word::<AtomicU32>(place::USED + ENTRIES + 4).load(Ordering::Relaxed);
        if (written as usize) < size_of::<u64>() { Err(DeviceError::NoAnswer) } else { Ok(()) }
    }
}
