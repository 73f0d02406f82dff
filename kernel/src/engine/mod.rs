//! The engine's life: loaded, started, contained when it crashes, started afresh.
//!
//! Owns what the engine holds ([`Engine`]). The engine's bytes are never trusted: every address it hands in
//! is checked against [`Engine::may_access`].

mod image;
mod info;
mod modules;

use crate::board::Module;
use crate::memory::{Memory, MemoryError, memory};
use crate::per_cpu::PerCpu;
use crate::scheduler::{self, Context, Scheduler, ThreadId};
use crate::sync::{Mutex, shared};
use crate::time::Instant;
use crate::{affinity, kprintln, per_cpu};
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use embodios_abi::{Error, PRIORITIES, layout};
use embodios_arch::paging::{Access, PAGE};
use embodios_arch::{Arch, Architecture, PhysRange, UserContext, UserStart, VECTOR_HEADER, VirtAddr};
use embodios_core_set::CoreSet;
use spin::Once;

/// How long the other cores have to leave a crashed engine. A core leaves at its next interrupt, so only a
/// core that is stuck in the kernel takes longer.
const STOP_TIME: Duration = Duration::from_secs(5);

/// What every incarnation of the engine is made from.
pub struct Origin {
    /// ELF file inside the kernel image.
    pub program: &'static [u8],
    /// Models and other files.
    pub modules: Vec<Module<'static>>,
    /// Boot loader's words.
    pub command_line: &'static str,
    /// `microvm`.
    pub machine: &'static str,
    /// Counter at the kernel's entry.
    pub entry_counter: u64,
}

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

/// Why an engine could not be made.
#[derive(Debug)]
pub enum LoadError {
    /// Not a program this kernel runs.
    Program(&'static str),
    /// Memory ran out or was mapped twice.
    Memory(MemoryError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(reason) => write!(f, "engine program: {reason}"),
            Self::Memory(error) => write!(f, "memory for the engine: {error}"),
        }
    }
}

impl From<MemoryError> for LoadError {
    fn from(error: MemoryError) -> Self {
        Self::Memory(error)
    }
}

/// Lives in a row that an engine may end in a crash before it has said a word.
const MAX_SILENT_LIVES: u32 = 3;
/// Such lives up to now.
static SILENT_LIVES: AtomicU32 = AtomicU32::new(0);
/// Whether the engine that runs has used the console.
static HAS_SPOKEN: AtomicBool = AtomicBool::new(false);
/// Number of the engine's life, from 1 on: cores load the tables anew when it changes.
static LIFE: AtomicU64 = AtomicU64::new(0);
/// Priority of the first thread: in the middle.
const FIRST_PRIORITY: u8 = PRIORITIES as u8 / 2;

static ORIGIN: Once<Origin> = Once::new();
shared!(ENGINE: Mutex<Option<Engine>> = Mutex::new(None));

impl Engine {
    /// Maps frames that this incarnation owns.
    fn map_owned(
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
    fn map(
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
    fn map_stacks(&mut self, memory: &mut Memory, slot: usize) -> Result<(), MemoryError> {
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

    fn load(origin: &Origin, restarts: u64) -> Result<(Self, VirtAddr), LoadError> {
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
    fn release(self, memory: &mut Memory) {
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

/// Runs `f` on the engine, if there is one.
pub fn with<T>(f: impl FnOnce(&mut Engine) -> T) -> Option<T> {
    ENGINE.lock().as_mut().map(f)
}

/// Makes an engine that holds this memory, for tests of system calls.
#[cfg(test)]
pub fn own_for_test<T>(memory: &'static T) {
    let start = core::ptr::from_ref(memory) as u64;
    let mut engine = Engine::default();
    engine.add_region(Region { start, end: start + size_of::<T>() as u64, write: true });
    *ENGINE.lock() = Some(engine);
}

/// Notes that the engine has used the console: it works well enough to be started again if it crashes later.
pub fn has_spoken() {
    HAS_SPOKEN.store(true, Ordering::Relaxed);
}

/// Makes the first engine and starts its first thread.
///
/// # Errors
/// [`LoadError`].
pub fn start(origin: Origin) -> Result<(), LoadError> {
    launch(load(ORIGIN.call_once(|| origin), 0)?);
    Ok(())
}

/// Makes an engine; where its first thread begins.
fn load(origin: &Origin, restarts: u64) -> Result<VirtAddr, LoadError> {
    let (engine, entry) = Engine::load(origin, restarts)?;
    *ENGINE.lock() = Some(engine);
    LIFE.fetch_add(1, Ordering::AcqRel);
    Ok(entry)
}

/// Starts the first thread, on a housekeeping core. From then on the engine may crash at any time.
fn launch(entry: VirtAddr) {
    let cores = affinity::to_kernel(affinity::housekeeping());
    let thread = cores.and_then(|cores| create_thread(entry.0, layout::INFO, FIRST_PRIORITY, cores));
    if let Err(error) = thread {
        panic!("no first thread of the engine: {error:?}");
    }
}

/// Starts a thread at `entry(argument)` that runs on `cores`, by the kernel's index, only.
///
/// # Errors
/// [`Error::TooManyThreads`], [`Error::OutOfMemory`].
pub fn create_thread(entry: u64, argument: u64, priority: u8, cores: CoreSet) -> Result<ThreadId, Error> {
    let near = per_cpu::this().cpu.index();
    let slot = scheduler::change(Scheduler::take_slot)?;
    let mapped = with(|engine| engine.map_stacks(&mut memory(), slot));
    if !matches!(mapped, Some(Ok(()))) {
        scheduler::change(|scheduler| scheduler.return_slot(slot));
        return Err(Error::OutOfMemory);
    }
    let start = UserStart { entry: VirtAddr(entry), stack_top: VirtAddr(stack_top(slot)), argument };
    let context = Context::new(&start);
    Ok(scheduler::change(|scheduler| scheduler.create(slot, context, priority, cores, near)))
}

/// Loads the tables on the calling core if the engine that runs is not the one that ran here last.
pub fn use_tables(this: &PerCpu) {
    let life = LIFE.load(Ordering::Acquire);
    if this.life.swap(life, Ordering::Relaxed) != life {
        // SAFETY: the root is the kernel's own with the engine's slots filled.
        unsafe { Arch::load_root(memory().root()) }
    }
}

/// Ends a crashed engine on all cores, takes its memory back and starts a fresh one. The caller has reported
/// why. When several cores crash at once the first one here does the work and the others leave.
pub fn restart() -> ! {
    static TURN: spin::Mutex<()> = spin::Mutex::new(());
    let Some(turn) = TURN.try_lock() else { scheduler::abandon() };
    let silent =
        if HAS_SPOKEN.swap(false, Ordering::Relaxed) { 0 } else { SILENT_LIVES.load(Ordering::Relaxed) + 1 };
    SILENT_LIVES.store(silent, Ordering::Relaxed);
    assert!(silent < MAX_SILENT_LIVES, "the engine crashed {silent} times in a row before it said a word");
    let asked = Instant::now();
    if let Err(core) = scheduler::stop_others(|| asked.elapsed() > STOP_TIME) {
        panic!("core {} (hardware id {}) did not leave the crashed engine", core.cpu, core.hardware);
    }
    let engine = ENGINE.lock().take();
    let restarts = engine.as_ref().map_or(0, |engine| engine.restarts + 1);
    if let Some(engine) = engine {
        engine.release(&mut memory());
    }
    scheduler::change(Scheduler::clear);
    kprintln!("engine restarted ({restarts})");
    let entry = match ORIGIN.get().map(|origin| load(origin, restarts)) {
        Some(Ok(entry)) => entry,
        Some(Err(error)) => panic!("no fresh engine: {error}"),
        None => unreachable!("an engine ran, so it had an origin"),
    };
    // Before the launch: a fresh engine that crashes at once needs its turn, however slow this core is.
    drop(turn);
    launch(entry);
    // SAFETY: every lock and value of this stack has been dropped; the root stays the same.
    unsafe { Arch::restart_stack(scheduler::run) }
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
