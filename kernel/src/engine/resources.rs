//! Resources of one incarnation of the engine: its addresses and the frames behind them.
//!
//! The engine's address space is the record of its memory; nothing is listed beside it.

use super::{LoadError, Payload, image, info, modules, signals};
use crate::memory::{Memory, MemoryError, memory};
use crate::{devices, per_cpu};
use embodios_abi::{MAX_GRANT, layout};
use embodios_arch::paging::{Access, PAGE};
use embodios_arch::{Arch, Architecture, INITIAL_VECTORS, PhysRange, VirtAddr};

/// The state of one incarnation beside its memory.
#[derive(Default)]
pub struct Engine {
    granted: u64,
    restarts: u64,
    /// Thread slots `0..stacks` have their memory.
    stacks: usize,
}

impl Engine {
    /// Maps at least `bytes` more at the end of the heap; its first address.
    ///
    /// # Errors
    /// [`MemoryError`], also for nothing and for more than [`MAX_GRANT`] bytes.
    pub fn grant(&mut self, bytes: u64) -> Result<u64, MemoryError> {
        let mut memory = memory();
        let exhausted = MemoryError::Exhausted { wanted: bytes, free: memory.free_bytes() };
        let length = bytes.checked_next_multiple_of(layout::LARGE_PAGE).ok_or(exhausted)?;
        let room = layout::MODULES - layout::HEAP - self.granted;
        if length == 0 || length > MAX_GRANT.min(room) {
            return Err(exhausted);
        }
        let address = layout::HEAP + self.granted;
        let frames = memory.allocate_for_engine(length, layout::LARGE_PAGE)?;
        if let Err(error) = memory.map_for_engine(VirtAddr(address), frames, Access::engine(true, false)) {
            memory.free(frames);
            return Err(error);
        }
        self.granted += length;
        Ok(address)
    }

    /// Maps the memory of thread slots up to `slot`: a stack, and room for vector registers. It stays for the
    /// threads that have the slot later.
    pub(super) fn map_stacks(&mut self, memory: &mut Memory, slot: usize) -> Result<(), MemoryError> {
        while self.stacks <= slot {
            let top = stack_top(self.stacks);
            let both = memory.allocate_for_engine(layout::VECTOR_STATE_SIZE + layout::STACK_SIZE, PAGE)?;
            let vectors = PhysRange::new(both.start.0, layout::VECTOR_STATE_SIZE);
            memory.fill(vectors, 0, &INITIAL_VECTORS);
            let access = Access::engine(true, false);
            if let Err(error) = memory.map_for_engine(VirtAddr(top - layout::STACK_STRIDE), vectors, access) {
                memory.free(both);
                return Err(error);
            }
            // All of a window is in one table, which is there now.
            let stack = PhysRange { start: vectors.end, end: both.end };
            memory.map_for_engine(VirtAddr(top - layout::STACK_SIZE), stack, access)?;
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

    /// Engines before it.
    pub(super) const fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Maps all that a fresh one needs; the entry point of its first thread.
    pub(super) fn load(payload: &Payload, restarts: u64) -> Result<(Self, VirtAddr), LoadError> {
        let mut memory = memory();
        memory.begin_engine()?;
        let mut engine = Self { restarts, ..Self::default() };
        let entry = engine.fill(&mut memory, payload)?;
        // Without a first piece of heap the engine could not report what is missing.
        let heap = memory.allocate(layout::LARGE_PAGE, layout::LARGE_PAGE)?;
        memory.free(heap);
        Ok((engine, entry))
    }

    fn fill(&mut self, memory: &mut Memory, payload: &Payload) -> Result<VirtAddr, LoadError> {
        let entry = image::map(memory, payload.program)?;
        self.map_stacks(memory, 0)?;
        let constants = Access::engine(false, false);
        if let Some(code) = Arch::vector_code() {
            memory.map_for_engine(VirtAddr(layout::VECTOR_CODE), code, Access::engine(false, true))?;
        }
        memory.map_for_engine(VirtAddr(layout::SIGNALS), signals::page(), constants)?;
        memory.map_for_engine(VirtAddr(layout::STATISTICS), per_cpu::statistics(), constants)?;
        let spans = modules::map(memory, &payload.modules)?;
        let network = devices::start(memory)?;
        info::map(self, memory, payload, &spans, network)?;
        Ok(entry)
    }
}

/// Top of the stack of a thread slot.
#[must_use]
pub const fn stack_top(slot: usize) -> u64 {
    layout::STACKS + (slot as u64 + 1) * layout::STACK_STRIDE
}
