//! The machine's memory as one object: free frames, page tables, the one address space.
//!
//! Owns which frame belongs to whom. Everything that maps or unmaps goes through [`Memory`], under its lock.

use crate::board::BootInfo;
use crate::frames::Frames;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use embodios_abi::layout;
use embodios_arch::paging::{Access, AddressSpace, MapError, PAGE, Tables};
use embodios_arch::{Arch, Architecture, PhysAddr, PhysRange, VirtAddr};
use spin::{Mutex, MutexGuard};

type Entry = <Arch as Architecture>::Entry;

/// Page tables that the image brings along, zeroed by the loader: enough for a common boot, so that no
/// table has to be cleared while time counts.
const FIRST_TABLES: usize = 40;

#[repr(C, align(4096))]
struct TablePool([[u64; 512]; FIRST_TABLES]);

static mut TABLE_POOL: TablePool = TablePool([[0; 512]; FIRST_TABLES]);
static POOL_USED: AtomicUsize = AtomicUsize::new(0);

/// Why memory could not be provided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryError {
    /// Not this many bytes in one piece.
    Exhausted {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes free in all.
        free: u64,
    },
    /// The page tables refused.
    Map(MapError),
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted { wanted, free } => {
                write!(f, "no piece of {wanted} bytes is free ({free} bytes in all)")
            }
            Self::Map(error) => error.fmt(f),
        }
    }
}

impl From<MapError> for MemoryError {
    fn from(error: MapError) -> Self {
        Self::Map(error)
    }
}

/// Where tables come from: the pool, then tables given back, then free frames.
pub struct TableSource {
    frames: Frames,
    spare: Vec<PhysAddr>,
}

impl Tables for TableSource {
    fn allocate(&mut self) -> Option<PhysAddr> {
        let slot = POOL_USED.fetch_add(1, Ordering::Relaxed);
        if slot < FIRST_TABLES {
            return Some(PhysAddr((&raw const TABLE_POOL) as u64 + slot as u64 * PAGE));
        }
        POOL_USED.store(FIRST_TABLES, Ordering::Relaxed);
        let table = match self.spare.pop() {
            Some(table) => table,
            None => self.frames.allocate(PAGE, PAGE)?.start,
        };
        zero(PhysRange::new(table.0, PAGE));
        Some(table)
    }

    fn free(&mut self, table: PhysAddr) {
        self.spare.push(table);
    }
}

/// Clears frames that the caller owns.
fn zero(range: PhysRange) {
    // SAFETY: the frames belong to the caller and physical memory is mapped at its own address.
    unsafe { core::ptr::write_bytes(range.start.identity().0 as *mut u8, 0, range.length() as usize) }
}

/// See the module.
pub struct Memory {
    tables: TableSource,
    space: AddressSpace<Entry>,
    total: u64,
}

static MEMORY: Mutex<Memory> = Mutex::new(Memory {
    tables: TableSource { frames: Frames::new(), spare: Vec::new() },
    // SAFETY: an address space that is never used: `init` puts the real one in its place before any other use.
    space: unsafe { AddressSpace::adopt(PhysAddr(0), 2) },
    total: 0,
});

/// The machine's memory. Nothing can be had from it before [`init`].
pub fn memory() -> MutexGuard<'static, Memory> {
    MEMORY.lock()
}

/// Builds the kernel's address space and returns its root together with memory for the kernel's heap of
/// `heap` bytes.
///
/// # Errors
/// [`MemoryError`] when the machine has too little memory or its map contradicts itself.
///
/// # Safety
/// `boot` describes this machine; called once, on boot tables that map all memory at its own address.
pub unsafe fn init(boot: &BootInfo<'_>, heap: u64) -> Result<(PhysAddr, PhysRange), MemoryError> {
    let mut memory = memory();
    let Memory { tables, space, total } = &mut *memory;
    tables.frames.add(&boot.memory, &boot.reserved);
    *total = boot.memory.iter().map(|region| region.length()).sum();
    let free = tables.frames.available();
    let heap = tables.frames.allocate(heap, PAGE).ok_or(MemoryError::Exhausted { wanted: heap, free })?;
    let built_in = Arch::built_in_tables();
    let covered = built_in.map_or(PhysRange::new(0, 0), |tables| tables.covers);
    // SAFETY: built-in tables, pool and frames are exclusive and identity-mapped; the board vouches for the leaf size.
    *space = unsafe {
        match built_in {
            Some(built_in) => AddressSpace::<Entry>::adopt(built_in.root, boot.largest_leaf),
            None => AddressSpace::<Entry>::new(boot.largest_leaf, tables)?,
        }
    };
    let image = boot.image;
    let sections = [
        (image.text, Access::KERNEL_CODE),
        (image.rodata, Access::KERNEL_CONSTANTS),
        (image.data, Access::KERNEL_DATA),
    ];
    let devices = boot.devices.iter().map(|&range| (range, Access::DEVICE));
    for (range, access) in sections.into_iter().chain(devices) {
        let range = range.widen(PAGE);
        if covered.contains(range) {
            space.protect(range.start.identity(), range.length(), access);
        } else {
            space.map(range.start.identity(), range, access, tables)?;
        }
    }
    for region in &boot.memory {
        let region = PhysRange { start: region.start.max(covered.end), end: region.end };
        map_memory(space, tables, region, &sections.map(|(range, _)| range))?;
    }
    Ok((space.root(), heap))
}

/// Maps a region of memory, except page 0 (null must fault) and the kernel image, which has its own rights.
fn map_memory(
    space: &mut AddressSpace<Entry>,
    tables: &mut TableSource,
    region: PhysRange,
    image: &[PhysRange],
) -> Result<(), MemoryError> {
    let mut start = region.start.0.div_ceil(PAGE).max(1) * PAGE;
    let end = (region.end.0 / PAGE * PAGE).min(layout::ENGINE_START);
    let mut sections: heapless::Vec<PhysRange, 8> = image.iter().map(|range| range.widen(PAGE)).collect();
    sections.sort_unstable_by_key(|section| section.start.0);
    sections.retain(|section| section.end.0 > start && section.start.0 < end);
    for section in sections {
        if start < section.start.0 {
            let gap = PhysRange { start: PhysAddr(start), end: section.start };
            space.map(gap.start.identity(), gap, Access::KERNEL_DATA, tables)?;
        }
        start = section.end.0;
    }
    if start < end {
        let rest = PhysRange { start: PhysAddr(start), end: PhysAddr(end) };
        space.map(rest.start.identity(), rest, Access::KERNEL_DATA, tables)?;
    }
    Ok(())
}

impl Memory {
    /// The root table.
    #[must_use]
    pub const fn root(&self) -> PhysAddr {
        self.space.root()
    }

    /// Bytes of memory the machine has.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Bytes nobody holds.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.tables.frames.available()
    }

    /// Takes frames; contents are unspecified.
    ///
    /// # Errors
    /// [`MemoryError::Exhausted`].
    pub fn allocate(&mut self, length: u64, align: u64) -> Result<PhysRange, MemoryError> {
        let taken = self.tables.frames.allocate(length, align);
        taken.ok_or_else(|| MemoryError::Exhausted { wanted: length, free: self.free_bytes() })
    }

    /// Gives frames back.
    pub fn free(&mut self, range: PhysRange) {
        let lost = self.tables.frames.lost();
        self.tables.frames.free(range);
        if self.tables.frames.lost() > lost {
            log::error!("free memory is too fragmented: {range} is lost until the next boot");
        }
    }

    /// Maps frames.
    ///
    /// # Errors
    /// [`MemoryError::Map`].
    pub fn map(&mut self, virt: VirtAddr, range: PhysRange, access: Access) -> Result<(), MemoryError> {
        self.space.map(virt, range, access, &mut self.tables)?;
        Arch::publish_tables();
        Ok(())
    }

    /// Where an address leads.
    #[must_use]
    pub fn translate(&self, virt: VirtAddr) -> Option<(PhysAddr, Access)> {
        self.space.translate(virt)
    }

    /// Empties a 512 GiB slot; see [`AddressSpace::clear_root_slot`].
    pub fn clear_root_slot(&mut self, slot: usize) {
        self.space.clear_root_slot(slot, &mut self.tables);
    }

    /// Copies `bytes` into frames of `range` at `offset`, zeroing nothing else.
    ///
    /// Panics when they do not fit.
    pub fn fill(&mut self, range: PhysRange, offset: u64, bytes: &[u8]) {
        assert!(offset + bytes.len() as u64 <= range.length());
        let target = (range.start.identity().0 + offset) as *mut u8;
        // SAFETY: it fits (checked); the caller owns the frames, which are identity-mapped and not Rust data.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) }
    }

    /// A frame that holds `keep` (bytes of one page) at their places and zeroes elsewhere.
    ///
    /// # Errors
    /// [`MemoryError::Exhausted`].
    pub fn copy_edge(&mut self, keep: PhysRange) -> Result<PhysRange, MemoryError> {
        let frame = self.allocate(PAGE, PAGE)?;
        zero(frame);
        // SAFETY: `keep` is memory that firmware or the image filled and nobody writes; it is identity-mapped.
        let bytes = unsafe {
            core::slice::from_raw_parts(keep.start.identity().0 as *const u8, keep.length() as usize)
        };
        self.fill(frame, keep.start.0 % PAGE, bytes);
        Ok(frame)
    }
}

/// The frame record at `frame`: the caller's frame pointer and the return address, the same on both
/// architectures. The caller has checked that 16 bytes are readable there.
#[must_use]
pub fn read_frame_record(frame: VirtAddr) -> (u64, u64) {
    let record = frame.0 as *const u64;
    // SAFETY: readable (the caller's check) and aligned; values are only compared and printed.
    unsafe { (record.read_volatile(), record.add(1).read_volatile()) }
}
