//! The machine's memory as one object: free frames, page tables, the kernel's address space and the engine's.
//!
//! Owns the allocation of frames. Everything that maps goes through [`Memory`], under its lock. The kernel takes its
//! frames at boot and none later, so that all frames taken after [`Memory::begin_engine`] are the engine's: an
//! engine's memory is given back, tables included, by going back to the frames that were free before.

mod boot;
mod source;

use crate::frames::TooFragmented;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use embodios_abi::layout;
use embodios_arch::paging::{Access, AddressSpace, MapError, PAGE, Translation, View};
use embodios_arch::{Arch, Architecture, PhysAddr, PhysRange, VirtAddr, stacks};
pub use source::zero;
use source::{Source, Supply};
use spin::{Mutex, MutexGuard};

pub use boot::init;

type Entry = <Arch as Architecture>::Entry;

/// Root slots that are the kernel's, the same in both spaces: memory at its own addresses, stacks, devices' registers.
const KERNEL_SLOTS: [usize; 3] = [0, root_slot(stacks::FIRST_WINDOW), root_slot(layout::REGISTERS)];

const fn root_slot(address: u64) -> usize {
    (address >> 39) as usize
}

/// The reason for which memory could not be provided.
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
    /// The list of free frames has no room.
    TooFragmented,
    /// Firmware says that a device and memory are in the same place.
    DeviceInMemory(PhysRange),
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted { wanted, free } => {
                write!(f, "no piece of {wanted} bytes is free ({free} bytes in all)")
            }
            Self::Map(error) => error.fmt(f),
            Self::TooFragmented => TooFragmented.fmt(f),
            Self::DeviceInMemory(range) => write!(f, "firmware names both a device and memory at {range}"),
        }
    }
}

impl From<MapError> for MemoryError {
    fn from(error: MapError) -> Self {
        Self::Map(error)
    }
}

impl From<TooFragmented> for MemoryError {
    fn from(_: TooFragmented) -> Self {
        Self::TooFragmented
    }
}

/// See the module.
pub struct Memory {
    source: Source,
    kernel: AddressSpace<Entry>,
    engine: AddressSpace<Entry>,
    total: u64,
    /// Bytes of [`layout::REGISTERS`] that are mapped.
    registers: u64,
    /// Free memory before the engine got any.
    before_engine: Supply,
    /// Frames below this may hold bytes of an earlier engine.
    used_before: PhysAddr,
}

/// Root of the engine's space, for reading without the lock; 0 before there is one.
static ENGINE_ROOT: AtomicU64 = AtomicU64::new(0);

/// An address space that is never used: the real one takes its place before any use.
const NO_SPACE: AddressSpace<Entry> =
    // SAFETY: not used.
    unsafe { AddressSpace::adopt(PhysAddr(0), 2) };

static MEMORY: Mutex<Memory> = Mutex::new(Memory {
    source: Source::new(),
    kernel: NO_SPACE,
    engine: NO_SPACE,
    total: 0,
    registers: 0,
    before_engine: Supply::new(),
    used_before: PhysAddr(0),
});

/// The machine's memory. Nothing can be had from it before [`init`].
pub fn memory() -> MutexGuard<'static, Memory> {
    MEMORY.lock()
}

/// Makes the memory around `value` the engine's, for tests of system calls.
#[cfg(test)]
pub fn own_for_test<T>(value: &'static T) {
    let mut memory = memory();
    let Memory { source, engine, .. } = &mut *memory;
    if ENGINE_ROOT.load(Ordering::Relaxed) == 0 {
        // SAFETY: tables of the pool are reachable at their address, as all memory of a host.
        *engine = unsafe { AddressSpace::new(3, source) }.expect("the pool is fresh");
        ENGINE_ROOT.store(engine.root().0, Ordering::Release);
    }
    let around = PhysRange::new(core::ptr::from_ref(value) as u64, size_of::<T>() as u64).widen(1 << 30);
    match engine.map(around.start.identity(), around, Access::engine(true, false), source) {
        Ok(()) | Err(MapError::Occupied(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

/// The engine's space, for looking up addresses that its threads pass.
///
/// # Safety
/// The caller serves a thread of the engine, so that [`Memory::end_engine`] does not run before it is done.
pub unsafe fn engine_view() -> View<Entry> {
    let root = PhysAddr(ENGINE_ROOT.load(Ordering::Acquire));
    // SAFETY: an engine runs (caller), so its root has been published; while it runs its space only grows.
    unsafe { AddressSpace::adopt(root, 2).view() }
}

impl Memory {
    /// The root of the kernel's own space, in which there is no engine.
    #[must_use]
    pub const fn kernel_root(&self) -> PhysAddr {
        self.kernel.root()
    }

    /// The root of the space of the engine and the kernel.
    #[must_use]
    pub const fn engine_root(&self) -> PhysAddr {
        self.engine.root()
    }

    /// Bytes of memory the machine has.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Free bytes.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.source.supply.frames.available()
    }

    /// Takes frames; contents are unspecified.
    ///
    /// # Errors
    /// [`MemoryError::Exhausted`].
    pub fn allocate(&mut self, length: u64, align: u64) -> Result<PhysRange, MemoryError> {
        let taken = self.source.take(length, align);
        taken.ok_or_else(|| MemoryError::Exhausted { wanted: length, free: self.free_bytes() })
    }

    /// Takes frames for the engine: they hold nothing of an earlier one.
    ///
    /// # Errors
    /// [`MemoryError::Exhausted`].
    pub fn allocate_for_engine(&mut self, length: u64, align: u64) -> Result<PhysRange, MemoryError> {
        let taken = self.allocate(length, align)?;
        zero(PhysRange { start: taken.start, end: taken.end.min(self.used_before) });
        Ok(taken)
    }

    /// Gives back the last allocation.
    pub fn free(&mut self, range: PhysRange) {
        if let Err(error) = self.source.supply.frames.free(range) {
            log::error!("{error}: {range} is not used until the engine is started anew");
        }
    }

    /// Maps frames for the kernel.
    ///
    /// # Errors
    /// [`MemoryError::Map`].
    pub fn map(&mut self, virt: VirtAddr, range: PhysRange, access: Access) -> Result<(), MemoryError> {
        self.kernel.map(virt, range, access, &mut self.source)?;
        Arch::publish_tables();
        Ok(())
    }

    /// Maps registers of a device for the kernel, wherever in physical memory they are; the address of the first.
    ///
    /// # Errors
    /// [`MemoryError::Map`].
    pub fn map_registers(&mut self, range: PhysRange) -> Result<VirtAddr, MemoryError> {
        // Large pages need the same place within a large page on both sides.
        let unit = if range.length() < layout::LARGE_PAGE { PAGE } else { layout::LARGE_PAGE };
        let pages = range.widen(unit);
        let start = layout::REGISTERS + self.registers.next_multiple_of(unit);
        self.map(VirtAddr(start), pages, Access::DEVICE)?;
        self.registers = start + pages.length() - layout::REGISTERS;
        Ok(VirtAddr(start + (range.start.0 - pages.start.0)))
    }

    /// Maps frames for the engine.
    ///
    /// # Errors
    /// [`MemoryError::Map`].
    pub fn map_for_engine(
        &mut self,
        virt: VirtAddr,
        range: PhysRange,
        access: Access,
    ) -> Result<(), MemoryError> {
        self.engine.map(virt, range, access, &mut self.source)?;
        Arch::publish_tables();
        Ok(())
    }

    /// Makes a space for an engine, from the memory that is free now. The kernel's space does not change from here on.
    ///
    /// # Errors
    /// [`MemoryError::Map`] without memory for a table.
    pub fn begin_engine(&mut self) -> Result<(), MemoryError> {
        self.before_engine.copy(&self.source.supply);
        self.engine = self.kernel.share(&KERNEL_SLOTS, &mut self.source)?;
        Arch::publish_tables();
        ENGINE_ROOT.store(self.engine.root().0, Ordering::Release);
        Ok(())
    }

    /// Takes back all frames and tables of the engine.
    ///
    /// # Safety
    /// An engine was begun. No core has its space, or remembers a translation of it: each has loaded the kernel's root.
    pub unsafe fn end_engine(&mut self) {
        self.source.supply.copy(&self.before_engine);
        self.used_before = self.source.highest;
    }

    /// The translation of an address while the engine runs.
    #[must_use]
    pub fn translate(&self, virt: VirtAddr) -> Option<Translation> {
        self.engine.translate(virt)
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
        // SAFETY: `keep` is memory that firmware or the image filled and nothing writes; it is identity-mapped.
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
