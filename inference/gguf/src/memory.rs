//! Allocation that may fail, with a message that says what it was for.

use alloc::vec::Vec;
use core::fmt;

/// The platform has not that much memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// The purpose of the memory.
    pub what: &'static str,
    /// Bytes asked for.
    pub bytes: usize,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no memory for the {}: {} bytes", self.what, self.bytes)
    }
}

impl core::error::Error for OutOfMemory {}

/// A vector of `count` times `value`.
///
/// # Errors
/// [`OutOfMemory`] instead of an abort.
pub fn filled<T: Clone>(count: usize, value: T, what: &'static str) -> Result<Vec<T>, OutOfMemory> {
    let mut vector = Vec::new();
    let bytes = count.saturating_mul(size_of::<T>());
    vector.try_reserve_exact(count).map_err(|_| OutOfMemory { what, bytes })?;
    vector.resize(count, value);
    Ok(vector)
}

/// An empty vector with room for `capacity` elements.
///
/// # Errors
/// [`OutOfMemory`] instead of an abort.
pub fn reserved<T>(capacity: usize, what: &'static str) -> Result<Vec<T>, OutOfMemory> {
    let mut vector = Vec::new();
    let bytes = capacity.saturating_mul(size_of::<T>());
    vector.try_reserve_exact(capacity).map_err(|_| OutOfMemory { what, bytes })?;
    Ok(vector)
}
