//! What one incarnation of the engine holds: its addresses, the frames behind them, its threads' stacks.
//!
//! The engine's bytes are never trusted: every address it hands in is checked against [`Engine::may_access`].

use super::{LoadError, Origin, image, info, modules};
use crate::memory::{Memory, MemoryError, memory};
use crate::per_cpu;
use alloc::vec::Vec;
use embodios_abi::layout;
use embodios_arch::paging::{Access, PAGE};
use embodios_arch::{Arch, Architecture, PhysRange, VECTOR_HEADER, VirtAddr};

/// A run of engine addresses.
#[derive(Clone, Copy, Debug)]
struct Region {
    start: u64,
    end: u64,
    write: bool,
}

/// What one incarnation holds.
#[derive(Default)]
pub struct Engine {
    regions: Vec<Region>,
    frames: Vec<PhysRange>,
    granted: u64,
    restarts: u64,
    /// Thread slots `0..stacks` have their memory.
    stacks: usize,
}

impl Engine {
    /// Maps frames that this incarnation owns.
    pub(super) fn map_owned(
        &mut self,
        memory: &mut Memory,
        virt: u64,
        frames: PhysRange,
        access: Access,
    ) -> Result<(), MemoryError> {
        self.frames.push(frames);
        self.map(memory, virt, frames, access)
    }

    /// Maps memory that outlives it.
    pub(super) fn map(
        &mut self,
        memory: &mut Memory,
        virt: u64,
        range: PhysRange,
        access: Access,
    ) -> Result<(), MemoryError> {
        memory.map(VirtAddr(virt), range, access)?;
        self.add_region(Region { start: virt, end: virt + range.length(), write: access.write });
        Ok(())
    }

    /// One that holds `memory`, for tests of system calls.
    #[cfg(test)]
    pub(super) fn with<T>(memory: &'static T) -> Self {
        let start = core::ptr::from_ref(memory) as u64;
        let mut engine = Self::default();
        engine.add_region(Region { start, end: start + size_of::<T>() as u64, write: true });
        engine
    }

    fn add_region(&mut self, region: Region) {
        match self.regions.last_mut() {
            Some(last) if last.end == region.start && last.write == region.write => last.end = region.end,
            _ => self.regions.push(region),
        }
    }

    /// Whether `length` bytes at `address` are the engine's, to read or to `write`.
    #[must_use]
    pub fn may_access(&self, address: u64, length: u64, write: bool) -> bool {
        let Some(end) = address.checked_add(length) else { return false };
        self.regions.iter().any(|r| r.start <= address && end <= r.end && (r.write || !write))
    }

    /// Maps at least `bytes` more at the end of the heap; its first address.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn grant(&mut self, bytes: u64) -> Result<u64, MemoryError> {
        let mut memory = memory();
        let exhausted = MemoryError::Exhausted { wanted: bytes, free: memory.free_bytes() };
        let length = bytes.checked_next_multiple_of(layout::LARGE_PAGE).ok_or(exhausted)?;
        if length == 0 || length > layout::MODULES - layout::HEAP - self.granted {
            return Err(exhausted);
        }
        let address = layout::HEAP + self.granted;
        let frames = memory.allocate(length, layout::LARGE_PAGE)?;
        self.frames.push(frames);
        memory.map(VirtAddr(address), frames, Access::engine(true, false))?;
        self.granted += length;
        match self.regions.iter_mut().find(|region| region.start == layout::HEAP) {
            Some(heap) => heap.end += length,
            None => self.regions.push(Region { start: address, end: address + length, write: true }),
        }
        Ok(address)
    }

    /// Maps the memory of thread slots up to `slot`: a stack, and room for vector registers. It stays for the
    /// threads that have the slot later.
    pub(super) fn map_stacks(&mut self, memory: &mut Memory, slot: usize) -> Result<(), MemoryError> {
        while self.stacks <= slot {
            let top = stack_top(self.stacks);
            let vectors = memory.allocate(layout::VECTOR_STATE_SIZE, PAGE)?;
            memory.fill(vectors, 0, &[0; VECTOR_HEADER]);
            self.map_owned(memory, top - layout::STACK_STRIDE, vectors, Access::engine(true, false))?;
            let frames = memory.allocate(layout::STACK_SIZE, PAGE)?;
            self.map_owned(memory, top - layout::STACK_SIZE, frames, Access::engine(true, false))?;
            self.stacks += 1;
        }
        Ok(())
    }

    /// Thread slots that have memory.
    #[must_use]
    pub const fn stacks(&self) -> usize {
        self.stacks
    }

    /// Bytes granted.
    #[must_use]
    pub const fn granted(&self) -> u64 {
        self.granted
    }

    /// Crashed engines before it.
    pub(super) const fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Maps all that a fresh one needs; where its first thread begins.
    pub(super) fn load(origin: &Origin, restarts: u64) -> Result<(Self, VirtAddr), LoadError> {
        let mut memory = memory();
        // Room for the usual number of pieces, so that few lists grow while a boot is timed.
        let pieces = per_cpu::all().len() + origin.modules.len() + 8;
        let (regions, frames) = (Vec::with_capacity(pieces), Vec::with_capacity(pieces));
        let mut engine = Self { regions, frames, restarts, ..Self::default() };
        let result = engine.fill(&mut memory, origin);
        match result {
            Ok(entry) => Ok((engine, entry)),
            Err(error) => {
                engine.release(&mut memory);
                Err(error)
            }
        }
    }

    fn fill(&mut self, memory: &mut Memory, origin: &Origin) -> Result<VirtAddr, LoadError> {
        let entry = image::map(self, memory, origin.program)?;
        self.map_stacks(memory, 0)?;
        if let Some(code) = Arch::vector_code() {
            self.map(memory, layout::VECTOR_CODE, code, Access::engine(false, true))?;
        }
        self.map(memory, layout::STATISTICS, per_cpu::statistics(), Access::engine(false, false))?;
        let spans = modules::map(self, memory, &origin.modules)?;
        info::map(self, memory, origin, &spans)?;
        Ok(entry)
    }

    /// Unmaps everything and gives the frames back.
    pub(super) fn release(self, memory: &mut Memory) {
        for slot in (layout::ENGINE_START >> 39)..(layout::ENGINE_END >> 39) {
            memory.clear_root_slot(slot as usize);
        }
        for range in self.frames {
            memory.free(range);
        }
    }
}

/// Top of the stack of a thread slot.
#[must_use]
pub const fn stack_top(slot: usize) -> u64 {
    layout::STACKS + (slot as u64 + 1) * layout::STACK_STRIDE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_memory_is_accessible() {
        let mut engine = Engine::default();
        engine.add_region(Region { start: 0x1000, end: 0x2000, write: false });
        engine.add_region(Region { start: 0x2000, end: 0x3000, write: true });
        engine.add_region(Region { start: 0x3000, end: 0x4000, write: true });
        assert_eq!(engine.regions.len(), 2);
        assert!(engine.may_access(0x1000, 0x1000, false));
        assert!(!engine.may_access(0x1000, 0x1000, true));
        assert!(engine.may_access(0x2ff0, 0x20, true), "neighbours of one kind are one region");
        assert!(!engine.may_access(0x1ff0, 0x20, false), "regions of two kinds are two");
        assert!(!engine.may_access(0x3fff, 2, false));
        assert!(!engine.may_access(u64::MAX, 2, false));
        assert!(engine.may_access(0x4000, 0, false), "no byte is touched");
    }
}
