//! The engine's memory seen from the kernel. Each access is checked against what the engine holds.

use crate::engine;
use alloc::vec::Vec;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};
use embodios_abi::Error;

fn check(address: u64, length: u64, write: bool) -> Result<(), Error> {
    match engine::with(|engine| engine.may_access(address, length, write)) {
        Some(true) => Ok(()),
        _ => Err(Error::BadAddress),
    }
}

/// The bytes at `address`. Other threads of the engine may change them while they are read, so they are
/// only ever copied on.
///
/// # Errors
/// [`Error::BadAddress`] when they are not all the engine's.
pub fn bytes(address: u64, length: u64) -> Result<&'static [u8], Error> {
    check(address, length, false)?;
    if length == 0 {
        return Ok(&[]);
    }
    // SAFETY: checked to be mapped; engine memory stays mapped until its last thread, the caller's included,
    // has left. A racing engine thread can change the values but every value of a byte is valid.
    Ok(unsafe { core::slice::from_raw_parts(address as *const u8, length as usize) })
}

/// `count` words at `address`.
///
/// # Errors
/// [`Error::BadAddress`] when they are not all the engine's, or misaligned.
pub fn words(address: u64, count: u64) -> Result<Vec<u64>, Error> {
    if count == 0 {
        // The address of nothing is nobody's business.
        return Ok(Vec::new());
    }
    if !address.is_multiple_of(8) {
        return Err(Error::BadAddress);
    }
    let bytes = bytes(address, count.checked_mul(8).ok_or(Error::BadAddress)?)?;
    Ok(bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default())).collect())
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
        check(address, length, true)?;
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
    check(address, 4, false)?;
    let word = address as *const AtomicU32;
    // SAFETY: aligned and mapped (checked) for as long as the caller's thread lives; atomic, so races are fine.
    Ok(move || unsafe { (*word).load(Ordering::Acquire) })
}
