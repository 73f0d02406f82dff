//! The entropy device: a virtio-rng device (virtio 1.2, 5.4), asked for one number for each engine.
//!
//! It is polled, and reset again before the number is used: no engine has anything to do with it.

#[cfg(test)]
mod tests;

use super::transport::{self, DeviceError, Rings, Transport};
use crate::memory::{Memory, MemoryError};
use crate::time::Instant;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use embodios_arch::PhysRange;
use embodios_arch::paging::PAGE;

/// Kind of an entropy device (virtio 1.2, 5).
pub const KIND: u32 = 4;
/// Descriptor flag: the device writes (2.7.5).
const WRITE: u64 = 2;
/// Flag of an available ring: no interrupts (2.7.6).
const NO_INTERRUPT: u16 = 1;
/// Entries of the queue: one number is asked for.
const ENTRIES: u16 = 1;
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
    /// The kernel's for good.
    page: PhysRange,
}

impl Entropy {
    /// Takes the memory of a device.
    ///
    /// # Errors
    /// [`MemoryError::Exhausted`].
    pub fn new(transport: Box<dyn Transport>, memory: &mut Memory) -> Result<Self, MemoryError> {
        Ok(Self { transport, page: memory.allocate(PAGE, PAGE)? })
    }

    /// A fresh number.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn number(&mut self) -> Result<u64, DeviceError> {
        let answer = self.ask();
        transport::reset(&*self.transport)?;
        answer?;
        Ok(self.word::<AtomicU64>(place::NUMBER).swap(0, Ordering::Acquire))
    }

    fn ask(&mut self) -> Result<(), DeviceError> {
        transport::begin(&*self.transport, 0)?;
        let part = |offset| self.page.start.0 + offset;
        self.word::<AtomicU64>(place::DESCRIPTOR).store(part(place::NUMBER), Ordering::Relaxed);
        let length_and_flags = size_of::<u64>() as u64 | WRITE << 32;
        self.word::<AtomicU64>(place::DESCRIPTOR + 8).store(length_and_flags, Ordering::Relaxed);
        self.word::<AtomicU16>(place::AVAILABLE).store(NO_INTERRUPT, Ordering::Relaxed);
        self.word::<AtomicU16>(place::AVAILABLE + 4).store(0, Ordering::Relaxed);
        self.word::<AtomicU32>(place::USED).store(0, Ordering::Relaxed);
        let rings = Rings {
            descriptors: part(place::DESCRIPTOR),
            available: part(place::AVAILABLE),
            used: part(place::USED),
        };
        self.transport.set_queue(0, ENTRIES, rings, false)?;
        transport::go(&*self.transport);
        self.word::<AtomicU16>(place::AVAILABLE + 2).store(1, Ordering::Release);
        self.transport.notify(0);
        let deadline = Instant::now() + TIME;
        while self.word::<AtomicU16>(place::USED + 2).load(Ordering::Acquire) == 0 {
            if Instant::now() > deadline {
                return Err(DeviceError::NoAnswer);
            }
            core::hint::spin_loop();
        }
        let written = self.word::<AtomicU32>(place::USED + 8).load(Ordering::Relaxed);
        if (written as usize) < size_of::<u64>() { Err(DeviceError::NoAnswer) } else { Ok(()) }
    }

    /// A word of the device's page.
    fn word<T: Word>(&self, offset: u64) -> &T {
        debug_assert!(
            offset + size_of::<T>() as u64 <= PAGE && offset.is_multiple_of(align_of::<T>() as u64)
        );
        // SAFETY: inside the device's page and aligned; it lives as long as the machine and is reached by atomics only.
        unsafe { &*((self.page.start.identity().0 + offset) as *const T) }
    }
}

/// An atomic whose every value is valid.
trait Word {}
impl Word for AtomicU16 {}
impl Word for AtomicU32 {}
impl Word for AtomicU64 {}
