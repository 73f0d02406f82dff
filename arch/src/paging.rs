//! Four-level page tables (4 KiB granule, 48 bits), the walk shared by both architectures.
//!
//! Owns the walk and nothing else: entry encodings come from the architecture ([`Entry`]), frames from
//! the kernel ([`Tables`]). Tables are reached at their physical address (identity map).

use crate::types::{PhysAddr, PhysRange, VirtAddr};
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{Ordering, fence};

/// Bytes of the smallest page and of a table.
pub const PAGE: u64 = 4096;
/// Entries of a table.
const ENTRIES: usize = 512;
/// The root's level; leaves are at level 1 (4 KiB), 2 (2 MiB) and 3 (1 GiB).
const ROOT_LEVEL: u8 = 4;

/// The rights of a mapping. The kernel may always read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Stores allowed.
    pub write: bool,
    /// Instruction fetches allowed.
    pub execute: bool,
    /// Accessible to the engine too.
    pub user: bool,
    /// Device memory: uncached, no speculation.
    pub device: bool,
}

impl Access {
    /// Kernel code.
    pub const KERNEL_CODE: Self = Self { write: false, execute: true, user: false, device: false };
    /// Kernel constants.
    pub const KERNEL_CONSTANTS: Self = Self { write: false, execute: false, user: false, device: false };
    /// Kernel data and free memory.
    pub const KERNEL_DATA: Self = Self { write: true, execute: false, user: false, device: false };
    /// Device registers.
    pub const DEVICE: Self = Self { write: true, execute: false, user: false, device: true };

    /// Engine memory with these rights; never both writable and executable.
    ///
    /// Panics when both are asked for: W^X holds everywhere.
    #[must_use]
    pub const fn engine(write: bool, execute: bool) -> Self {
        assert!(!(write && execute), "W^X");
        Self { write, execute, user: true, device: false }
    }
}

/// The contents of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nothing: an access faults.
    Empty,
    /// The next lower table.
    Table(PhysAddr),
    /// Memory.
    Leaf(PhysAddr, Access),
}

/// An architecture's 64-bit entry.
pub trait Entry: Copy {
    /// The bits of an entry that points to the next lower table, open to all accesses.
    fn table(address: PhysAddr) -> Self;
    /// The bits of a leaf at `level` (1, 2 or 3).
    fn leaf(address: PhysAddr, level: u8, access: Access) -> Self;
    /// A leaf like this one for memory `bytes` further on.
    fn advance(self, bytes: u64) -> Self;
    /// Reads an entry of a table at `level`.
    fn target(self, level: u8) -> Target;
}

/// The source of tables. Tables are one zeroed, page-aligned frame each; all-zero is [`Target::Empty`].
pub trait Tables {
    /// A zeroed frame.
    fn allocate(&mut self) -> Option<PhysAddr>;
}

/// The reason for which a mapping was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No frame for a table.
    OutOfTables,
    /// Something is mapped at this address.
    Occupied(VirtAddr),
    /// An address or length is not a multiple of [`PAGE`].
    Misaligned,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfTables => f.write_str("no memory for page tables"),
            Self::Occupied(address) => write!(f, "address {:#x} is mapped already", address.0),
            Self::Misaligned => f.write_str("address or length is not page-aligned"),
        }
    }
}

/// The translation of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The memory.
    pub phys: PhysAddr,
    /// The rights.
    pub access: Access,
    /// Bytes from there on to the end of the leaf.
    pub rest: u64,
}

/// A tree of tables with entries of type `E`.
pub struct AddressSpace<E> {
    root: PhysAddr,
    largest_leaf: u8,
    entries: PhantomData<E>,
}

/// A tree of tables, to be read while another core may add to it.
#[derive(Clone, Copy, Debug)]
pub struct View<E> {
    root: PhysAddr,
    entries: PhantomData<E>,
}

/// The part of a mapping that is still to do.
#[derive(Clone)]
struct Job {
    virt: u64,
    phys: u64,
    end: u64,
    access: Access,
}

impl Job {
    /// Whether the next leaf can be one of `level`.
    const fn fits(&self, level: u8) -> bool {
        let mask = span(level) - 1;
        (self.virt | self.phys) & mask == 0 && self.end - self.virt > mask
    }

    /// Number of leaves of `level` that are next, in the table of the first.
    fn room(&self, level: u8) -> usize {
        (ENTRIES - index(self.virt, level)).min(((self.end - self.virt) >> shift(level)) as usize)
    }

    /// Takes note that the next `leaves` of `level` are done.
    const fn advance(&mut self, level: u8, leaves: usize) {
        self.virt += (leaves as u64) << shift(level);
        self.phys += (leaves as u64) << shift(level);
    }
}

/// Lowest address bit that a table at `level` looks at.
const fn shift(level: u8) -> u32 {
    3 + 9 * level as u32
}

/// Bytes that one entry of a table at `level` covers.
const fn span(level: u8) -> u64 {
    1 << shift(level)
}

const fn index(virt: u64, level: u8) -> usize {
    (virt >> shift(level)) as usize % ENTRIES
}

impl<E: Entry> AddressSpace<E> {
    /// An empty space.
    ///
    /// # Safety
    /// `tables` hands out exclusive frames that stay reachable at their physical address.
    /// `largest_leaf` (2 or 3) is a leaf level that the machine has.
    ///
    /// # Errors
    /// [`MapError::OutOfTables`].
    pub unsafe fn new(largest_leaf: u8, tables: &mut impl Tables) -> Result<Self, MapError> {
        let root = tables.allocate().ok_or(MapError::OutOfTables)?;
        Ok(Self { root, largest_leaf, entries: PhantomData })
    }

    /// The space of tables that exist already.
    ///
    /// # Safety
    /// As for [`Self::new`], with `root` and the tables below it exclusive too.
    pub const unsafe fn adopt(root: PhysAddr, largest_leaf: u8) -> Self {
        Self { root, largest_leaf, entries: PhantomData }
    }

    /// Another space that has the tables of this one below the root slots `slots`.
    ///
    /// # Errors
    /// [`MapError::OutOfTables`].
    pub fn share(&self, slots: &[usize], tables: &mut impl Tables) -> Result<Self, MapError> {
        let root = tables.allocate().ok_or(MapError::OutOfTables)?;
        let mut other = Self { root, ..*self };
        slots.iter().for_each(|&slot| other.write(root, slot, self.read(self.root, slot)));
        Ok(other)
    }

    /// Physical address of the level-4 table.
    #[must_use]
    pub const fn root(&self) -> PhysAddr {
        self.root
    }

    /// Lets translations be read without a lock on this space.
    ///
    /// # Safety
    /// While the view is used, this space is only added to, and its tables are not used for anything else.
    #[must_use]
    pub const unsafe fn view(&self) -> View<E> {
        View { root: self.root, entries: PhantomData }
    }

    /// Maps `range` at `virt` with the largest pages that fit.
    ///
    /// # Errors
    /// [`MapError`]; nothing that was mapped before is changed, and without a table nothing is mapped at all.
    pub fn map(
        &mut self,
        virt: VirtAddr,
        range: PhysRange,
        access: Access,
        tables: &mut impl Tables,
    ) -> Result<(), MapError> {
        if !(virt.0 | range.start.0 | range.end.0).is_multiple_of(PAGE) {
            return Err(MapError::Misaligned);
        }
        let mut job = Job { virt: virt.0, phys: range.start.0, end: virt.0 + range.length(), access };
        if job.virt == job.end {
            return Ok(());
        }
        let mut run = self.table_for(&job, tables)?;
        let mut later = job.clone();
        later.advance(run.1, later.room(run.1));
        while later.virt < later.end {
            let (_, level) = self.table_for(&later, tables)?;
            later.advance(level, later.room(level));
        }
        loop {
            self.fill(run.0, run.1, &mut job);
            if job.virt == job.end {
                return Ok(());
            }
            run = self.table_for(&job, tables)?;
        }
    }

    /// The table, and its level, that takes the next leaf of `job`: the highest whose leaves fit and which is free
    /// there. Makes the tables on the way.
    fn table_for(&mut self, job: &Job, tables: &mut impl Tables) -> Result<(PhysAddr, u8), MapError> {
        let (mut table, mut level) = (self.root, ROOT_LEVEL);
        loop {
            let slot = index(job.virt, level);
            match self.read(table, slot).target(level) {
                Target::Table(next) => table = next,
                Target::Leaf(..) => return Err(MapError::Occupied(VirtAddr(job.virt))),
                Target::Empty if level <= self.largest_leaf && job.fits(level) => return Ok((table, level)),
                Target::Empty => {
                    let next = tables.allocate().ok_or(MapError::OutOfTables)?;
                    // A reader that finds the table, such as another core's table walker, finds it empty.
                    fence(Ordering::Release);
                    self.write(table, slot, E::table(next));
                    table = next;
                }
            }
            level -= 1;
        }
    }

    /// Fills a run of empty slots of one table with leaves. Kept tight: most mappings of a boot go
    /// through here, and some hypervisors emulate every instruction of the kernel.
    fn fill(&mut self, table: PhysAddr, level: u8, job: &mut Job) {
        let (first, room) = (index(job.virt, level), job.room(level));
        let mut entry = E::leaf(PhysAddr(job.phys), level, job.access);
        let mut filled = 0;
        while filled < room && self.read(table, first + filled).target(level) == Target::Empty {
            self.write(table, first + filled, entry);
            entry = entry.advance(span(level));
            filled += 1;
        }
        job.advance(level, filled);
    }

    /// The translation of `virt`.
    #[must_use]
    pub fn translate(&self, virt: VirtAddr) -> Option<Translation> {
        // SAFETY: nothing changes the space during this call.
        unsafe { self.view() }.translate(virt)
    }

    /// Gives every leaf that touches `virt..virt + length` the rights `access`; unmapped addresses stay so.
    pub fn protect(&mut self, virt: VirtAddr, length: u64, access: Access) {
        let end = virt.0 + length;
        let mut at = virt.0;
        while at < end {
            let (mut table, mut level) = (self.root, ROOT_LEVEL);
            while let Target::Table(next) = self.read(table, index(at, level)).target(level) {
                (table, level) = (next, level - 1);
            }
            if let Target::Leaf(address, _) = self.read(table, index(at, level)).target(level) {
                self.write(table, index(at, level), E::leaf(address, level, access));
            }
            at = (at & !(span(level) - 1)) + span(level);
        }
    }

    fn read(&self, table: PhysAddr, slot: usize) -> E {
        // SAFETY: `table` came from `Tables` (see `new`).
        unsafe { entry::<E>(table, slot).read_volatile() }
    }

    fn write(&mut self, table: PhysAddr, slot: usize, value: E) {
        // SAFETY: as in `read`; `&mut self` makes this the only writer.
        unsafe { entry::<E>(table, slot).write_volatile(value) }
    }
}

impl<E: Entry> View<E> {
    /// The translation of `virt`; `None` also where it has more than 48 bits.
    #[must_use]
    pub fn translate(self, virt: VirtAddr) -> Option<Translation> {
        if virt.0 >> (shift(ROOT_LEVEL) + 9) != 0 {
            return None;
        }
        let mut table = self.root;
        for level in (1..=ROOT_LEVEL).rev() {
            // SAFETY: `table` is the root or was found in a table; tables stay (see `AddressSpace::view`), and an
            // entry is written in one piece, after the table that it leads to.
            let found = unsafe { entry::<E>(table, index(virt.0, level)).read_volatile() };
            match found.target(level) {
                Target::Empty => return None,
                Target::Table(next) => table = next,
                Target::Leaf(base, access) => {
                    let offset = virt.0 % span(level);
                    return Some(Translation {
                        phys: PhysAddr(base.0 + offset),
                        access,
                        rest: span(level) - offset,
                    });
                }
            }
        }
        None
    }
}

/// The address of an entry of a table.
fn entry<E>(table: PhysAddr, slot: usize) -> *mut E {
    debug_assert!(slot < ENTRIES);
    (table.identity().0 as *mut E).wrapping_add(slot)
}

#[cfg(test)]
mod tests;
