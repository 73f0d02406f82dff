//! The source of frames and page tables: free frames, and tables that the image brings along.

use crate::frames::Frames;
use embodios_arch::paging::{PAGE, Tables};
use embodios_arch::{PhysAddr, PhysRange};

/// Page tables that the image brings along, zeroed by the loader: enough for a common boot, so that no
/// table has to be cleared while time counts.
const FIRST_TABLES: usize = 40;

#[repr(C, align(4096))]
struct TablePool([[u64; 512]; FIRST_TABLES]);

static mut TABLE_POOL: TablePool = TablePool([[0; 512]; FIRST_TABLES]);

/// Free memory: frames, and tables of the pool.
pub struct Supply {
    /// Free frames.
    pub frames: Frames,
    /// Tables of the pool that are in use, the first ones.
    pool_used: usize,
}

/// The source of frames and tables: tables of the pool first.
pub struct Source {
    /// Its free memory.
    pub supply: Supply,
    /// Tables of the pool that have ever been in use.
    pool_written: usize,
    /// One past the highest frame that was ever taken.
    pub highest: PhysAddr,
}

impl Supply {
    /// An empty one.
    pub const fn new() -> Self {
        Self { frames: Frames::new(), pool_used: 0 }
    }

    /// Becomes what `other` is. In place: the list is long, and mostly empty.
    pub fn copy(&mut self, other: &Self) {
        self.frames.copy(&other.frames);
        self.pool_used = other.pool_used;
    }
}

impl Source {
    /// An empty one.
    pub const fn new() -> Self {
        Self { supply: Supply::new(), pool_written: 0, highest: PhysAddr(0) }
    }

    /// Takes `length` bytes at a multiple of `align`; contents are unspecified.
    pub fn take(&mut self, length: u64, align: u64) -> Option<PhysRange> {
        let taken = self.supply.frames.allocate(length, align)?;
        self.highest = self.highest.max(taken.end);
        Some(taken)
    }
}

impl Tables for Source {
    fn allocate(&mut self) -> Option<PhysAddr> {
        let slot = self.supply.pool_used;
        let table = if slot < FIRST_TABLES {
            self.supply.pool_used += 1;
            PhysAddr((&raw const TABLE_POOL) as u64 + slot as u64 * PAGE)
        } else {
            self.take(PAGE, PAGE)?.start
        };
        if slot < FIRST_TABLES && slot >= self.pool_written {
            self.pool_written = slot + 1;
        } else {
            zero(PhysRange::new(table.0, PAGE));
        }
        Some(table)
    }
}

/// Clears frames that the caller owns.
pub fn zero(range: PhysRange) {
    if range.length() == 0 {
        return;
    }
    // SAFETY: the frames belong to the caller and physical memory is mapped at its own address.
    unsafe { core::ptr::write_bytes(range.start.identity().0 as *mut u8, 0, range.length() as usize) }
}
