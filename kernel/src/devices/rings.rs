//! Split virtqueues (virtio 1.2, 2.7): their words, in memory that a driver shares with its device.

use crate::memory::{Memory, MemoryError};
use core::ops::Deref;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};
use embodios_arch::PhysRange;

/// Descriptor flag: the device writes (2.7.5). Flags are the third quarter of the word behind a buffer's address.
pub const WRITE: u64 = 2 << 32;
/// Bytes of a descriptor, and offset of that word.
pub const DESCRIPTOR: u64 = 16;
pub const LENGTH: u64 = 8;
/// Flag of an available ring: no interrupts (2.7.6).
pub const NO_INTERRUPT: u16 = 1;
/// Flag of a used ring: no notifications (2.7.8).
pub const NO_NOTIFY: u16 = 1;
/// Offset of a ring's index, and of its entries: its flags come first.
pub const INDEX: u64 = 2;
pub const ENTRIES: u64 = 4;

/// An atomic word, whose every value is valid.
pub trait Word {}
impl Word for AtomicU16 {}
impl Word for AtomicU32 {}
impl Word for AtomicU64 {}

/// Memory that a driver shares with its device, the kernel's for as long as the machine runs.
#[derive(Clone, Copy, Debug)]
pub struct SharedMemory(PhysRange);

impl SharedMemory {
    /// Takes `bytes` bytes at a multiple of `align`.
    ///
    /// # Errors
    /// [`MemoryError::Exhausted`].
    pub fn take(memory: &mut Memory, bytes: u64, align: u64) -> Result<Self, MemoryError> {
        memory.allocate(bytes, align).map(Self)
    }

    /// Zeroed memory of a test's.
    #[cfg(test)]
    pub fn of_test(bytes: u64) -> Self {
        let align = embodios_arch::paging::PAGE as usize;
        let layout = std::alloc::Layout::from_size_align(bytes as usize, align).expect("a size");
        // SAFETY: not of size 0.
        Self(PhysRange::new(unsafe { std::alloc::alloc_zeroed(layout) } as u64, bytes))
    }

    /// The word at `offset`.
    ///
    /// # Panics
    /// When it is not inside, or not aligned.
    pub fn word<T: Word>(&self, offset: u64) -> &T {
        let address = self.0.start.identity().0 + offset;
        let is_inside = offset + size_of::<T>() as u64 <= self.0.length();
        assert!(is_inside && address.is_multiple_of(align_of::<T>() as u64), "a word at {offset:#x}");
        // SAFETY: inside and aligned. The memory is never given back and is reached by atomics only, whatever others
        // (device, engine) write there.
        unsafe { &*(address as *const T) }
    }
}

impl Deref for SharedMemory {
    type Target = PhysRange;

    fn deref(&self) -> &PhysRange {
        &self.0
    }
}
