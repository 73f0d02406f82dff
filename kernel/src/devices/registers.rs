//! Registers of a device: loads and stores of exactly one width, inside what is mapped.

use crate::memory::{MemoryError, memory};
use embodios_arch::PhysRange;

/// A run of registers, mapped for good.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    start: u64,
    length: u64,
}

macro_rules! accesses {
    ($($read:ident $write:ident $type:ty),*) => {
        $(
            #[doc = concat!("Loads the `", stringify!($type), "` at `offset`; all ones past the end.")]
            #[must_use]
            pub fn $read(&self, offset: u64) -> $type {
                let Some(register) = self.register(offset, size_of::<$type>()) else { return <$type>::MAX };
                // SAFETY: mapped registers (`map`'s caller), inside and aligned (`register`).
                unsafe { (register as *const $type).read_volatile() }
            }

            #[doc = concat!("Stores the `", stringify!($type), "` at `offset`; nothing past the end.")]
            pub fn $write(&self, offset: u64, value: $type) {
                if let Some(register) = self.register(offset, size_of::<$type>()) {
                    // SAFETY: as above; the device reaches no memory but what it was given.
                    unsafe { (register as *mut $type).write_volatile(value) }
                }
            }
        )*
    };
}

impl Registers {
    /// None: loads are all ones.
    pub const NONE: Self = Self { start: 0, length: 0 };

    /// Maps those at `range`.
    ///
    /// # Errors
    /// [`MemoryError`] without room for page tables.
    ///
    /// # Safety
    /// Registers of a device are there, or nothing; nothing else drives it.
    pub unsafe fn map(range: PhysRange) -> Result<Self, MemoryError> {
        let start = memory().map_registers(range)?;
        Ok(Self { start: start.0, length: range.length() })
    }

    /// The part of `length` bytes at `offset`; `None` when it is not inside.
    #[must_use]
    pub fn part(&self, offset: u64, length: u64) -> Option<Self> {
        let end = offset.checked_add(length)?;
        (end <= self.length).then_some(Self { start: self.start + offset, length })
    }

    accesses! { read8 write8 u8, read16 write16 u16, read32 write32 u32 }

    /// Stores the 64-bit register at `offset` as two halves, which is what virtio asks for (virtio 1.2, 4.1.3.1).
    pub fn write_halves(&self, offset: u64, value: u64) {
        self.write32(offset, value as u32);
        self.write32(offset + 4, (value >> 32) as u32);
    }

    /// The address of a register of so many bytes, if it is inside and aligned. What a device says of itself decides
    /// offsets, so that they are checked each time.
    fn register(&self, offset: u64, bytes: usize) -> Option<u64> {
        let bytes = bytes as u64;
        let inside = offset.checked_add(bytes)? <= self.length;
        let address = self.start + offset;
        (inside && address.is_multiple_of(bytes)).then_some(address)
    }
}

#[cfg(test)]
impl Registers {
    /// Memory of a test as registers.
    pub fn of_test(memory: &'static [core::sync::atomic::AtomicU32]) -> Self {
        Self { start: memory.as_ptr() as u64, length: size_of_val(memory) as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn accesses_stay_inside() {
        static MEMORY: [AtomicU32; 4] = [const { AtomicU32::new(0x0403_0201) }; 4];
        let all = Registers::of_test(&MEMORY);
        let middle = all.part(4, 8).unwrap();
        assert_eq!((middle.read8(3), middle.read16(2), middle.read32(4)), (4, 0x0403, 0x0403_0201));
        assert_eq!((middle.read8(8), middle.read16(1), middle.read32(u64::MAX)), (0xff, 0xffff, u32::MAX));
        middle.write32(8, 0);
        middle.write16(7, 0);
        middle.write8(0, 9);
        let values: std::vec::Vec<u32> = MEMORY.iter().map(|word| word.load(Ordering::Relaxed)).collect();
        assert_eq!(values, [0x0403_0201, 0x0403_0209, 0x0403_0201, 0x0403_0201]);
        assert!(all.part(8, 9).is_none() && all.part(u64::MAX, 2).is_none());
    }
}
