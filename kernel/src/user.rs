//! The engine's memory seen from the kernel. Each access is checked against the engine's own space.
//!
//! Other threads of the engine may change their memory while it is read: values are copied out once, by volatile
//! reads, and never trusted to stay.

use crate::memory::engine_view;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};
use embodios_abi::Error;
use embodios_arch::paging::Access;
use embodios_arch::{Arch, Architecture, VirtAddr};

/// Checks that `length` bytes at `address` are the engine's with the rights that `wanted` asks for. A step for each
/// leaf: callers bound the length.
fn check(address: u64, length: u64, wanted: impl Fn(Access) -> bool) -> Result<(), Error> {
    let end = address.checked_add(length).ok_or(Error::BadAddress)?;
    // SAFETY: a system call or a report of a running engine asks.
    let view = unsafe { engine_view() };
    let mut at = address;
    while at < end {
        let found = view.translate(VirtAddr(at)).filter(|found| found.access.user && wanted(found.access));
        at = at.saturating_add(found.ok_or(Error::BadAddress)?.rest);
    }
    Ok(())
}

/// Whether the engine may read `length` bytes at `address`.
#[must_use]
pub fn may_read(address: u64, length: u64) -> bool {
    check(address, length, |_| true).is_ok()
}

/// The address `address`, where a thread of the engine can begin.
///
/// # Errors
/// [`Error::BadAddress`] when it is not code of the engine.
pub fn code(address: u64) -> Result<VirtAddr, Error> {
    check(address, 1, |access| access.execute).map(|()| VirtAddr(address))
}

/// Bytes of the engine to read.
#[derive(Clone, Copy)]
pub struct Bytes {
    start: *const u8,
    length: usize,
}

impl Bytes {
    /// Those at `address`.
    ///
    /// # Errors
    /// [`Error::BadAddress`] when they are not all the engine's.
    pub fn new(address: u64, length: u64) -> Result<Self, Error> {
        check(address, length, |_| true)?;
        Ok(Self { start: address as *const u8, length: length as usize })
    }

    /// Copies as many of them as fit; those. The buffer is not cleared first: some hypervisors emulate that byte by
    /// byte.
    pub fn copy<'b>(&self, buffer: &'b mut [MaybeUninit<u8>]) -> &'b [u8] {
        let length = self.length.min(buffer.len());
        let start = buffer.as_mut_ptr().cast::<u8>();
        // SAFETY: the buffer is as long, and so is the mapped range that was checked; engine memory stays mapped until
        // its last thread, the caller's included, has left.
        unsafe {
            Arch::copy_from_engine(start, self.start, length);
            core::slice::from_raw_parts(start, length)
        }
    }
}

/// Words of the engine to read.
pub struct Words {
    start: *const u64,
    count: usize,
}

impl Words {
    /// `count` words at `address`.
    ///
    /// # Errors
    /// [`Error::BadAddress`] when they are not all the engine's, or misaligned. The address of nothing is not looked
    /// at.
    pub fn new(address: u64, count: u64) -> Result<Self, Error> {
        if count > 0 && !address.is_multiple_of(8) {
            return Err(Error::BadAddress);
        }
        check(address, count.checked_mul(8).ok_or(Error::BadAddress)?, |_| true)?;
        Ok(Self { start: address as *const u64, count: count as usize })
    }

    /// Their values, each read once.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        // SAFETY: as in `Bytes::copy`; the words are aligned.
        (0..self.count).map(|index| unsafe { ptr::read_volatile(self.start.add(index)) })
    }
}

/// A window of engine memory to write into.
pub struct Buffer {
    start: *mut u8,
    length: usize,
}

impl Buffer {
    /// The window of `length` bytes at `address`.
    ///
    /// # Errors
    /// [`Error::BadAddress`] when it is not all the engine's to write.
    pub fn new(address: u64, length: u64) -> Result<Self, Error> {
        check(address, length, |access| access.write)?;
        Ok(Self { start: address as *mut u8, length: length as usize })
    }

    /// Its size.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Stores one byte.
    ///
    /// Panics past the end.
    pub fn put(&mut self, index: usize, byte: u8) {
        assert!(index < self.length);
        // SAFETY: in the window (checked), which is mapped writable for as long as the caller's thread lives.
        unsafe { ptr::write_volatile(self.start.add(index), byte) }
    }
}

/// A word that threads wait on.
///
/// # Errors
/// [`Error::BadAddress`] when it is not the engine's or not aligned.
pub fn word(address: u64) -> Result<impl Fn() -> u32, Error> {
    if !address.is_multiple_of(4) {
        return Err(Error::BadAddress);
    }
    check(address, 4, |_| true)?;
    let word = address as *const AtomicU32;
    // SAFETY: aligned and mapped (checked) for as long as the caller's thread lives; atomic, so races are fine.
    Ok(move || unsafe { (*word).load(Ordering::Acquire) })
}
