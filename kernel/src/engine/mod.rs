//! The engine's life cycle: loaded, started, contained when it crashes, started afresh.
//!
//! Owns the one incarnation there is. Its resources and their limits are [`Engine`]'s.

mod image;
mod info;
mod modules;
mod resources;
pub mod signals;

use crate::board::Module;
use crate::memory::{MemoryError, memory};
use crate::per_cpu::PerCpu;
use crate::scheduler::{self, Context, Scheduler, ThreadId};
use crate::sync::{Mutex, shared};
use crate::time::Instant;
use crate::{affinity, devices, input, kprintln, per_cpu};
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use embodios_abi::{Error, PRIORITIES, layout};
use embodios_arch::{Arch, Architecture, UserContext, UserStart, VirtAddr};
use embodios_core_set::CoreSet;
pub use resources::{Engine, stack_top};
use spin::Once;

/// Usual time limit for the other cores to leave an engine. A core leaves at its next interrupt or at the end of its
/// system call; only on a host with far fewer cores does it take seconds.
const STOP_TIME: Duration = Duration::from_secs(5);
/// Time after which a core is taken for lost, and the machine with it. The longest seen on an overloaded host is 9 s.
const PATIENCE: Duration = Duration::from_secs(120);

/// The payload from which every incarnation of the engine is made.
pub struct Payload {
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
    /// Seconds since 1970 at that time, where there is a clock.
    pub wall_clock: Option<u64>,
}

/// The reason for which an engine could not be made.
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

/// Crash-loop limit: crashes in a row before the engine has written to the console.
const MAX_SILENT_CRASHES: u32 = 3;
/// Such crashes up to now.
static SILENT_CRASHES: AtomicU32 = AtomicU32::new(0);
/// Whether the engine that runs has used the console.
static HAS_SPOKEN: AtomicBool = AtomicBool::new(false);
/// Number of the engine's incarnation, from 1 on: cores load the tables anew when it changes.
static INCARNATION: AtomicU64 = AtomicU64::new(NO_INCARNATION);
/// The incarnation of a core that runs on the kernel's own tables.
const NO_INCARNATION: u64 = 0;
/// The engine of the boot.
const FIRST_INCARNATION: u64 = 1;
/// Priority of the first thread: in the middle.
const FIRST_PRIORITY: u8 = PRIORITIES as u8 / 2;

static PAYLOAD: Once<Payload> = Once::new();
shared!(ENGINE: Mutex<Option<Engine>> = Mutex::new(None));

/// Runs `f` on the engine, if there is one.
pub fn with<T>(f: impl FnOnce(&mut Engine) -> T) -> Option<T> {
    ENGINE.lock().as_mut().map(f)
}

/// Notes that the engine has used the console: it works well enough to be started again if it crashes later.
pub fn has_spoken() {
    HAS_SPOKEN.store(true, Ordering::Relaxed);
}

/// Makes the first engine and starts its first thread.
///
/// # Errors
/// [`LoadError`].
pub fn start(payload: Payload) -> Result<(), LoadError> {
    launch(load(PAYLOAD.call_once(|| payload), 0)?);
    Ok(())
}

/// Makes an engine; the entry point of its first thread.
fn load(payload: &Payload, restarts: u64) -> Result<VirtAddr, LoadError> {
    let (engine, entry) = Engine::load(payload, restarts)?;
    *ENGINE.lock() = Some(engine);
    INCARNATION.fetch_add(1, Ordering::AcqRel);
    Ok(entry)
}

/// Starts the first thread, on a housekeeping core. From then on the engine may crash at any time.
fn launch(entry: VirtAddr) {
    let cores = affinity::to_kernel(affinity::housekeeping());
    let thread = cores.and_then(|cores| create_thread(entry, layout::INFO, FIRST_PRIORITY, cores));
    if let Err(error) = thread {
        panic!("no first thread of the engine: {error:?}");
    }
}

/// Starts a thread at `entry(argument)` that runs on `cores`, by the kernel's index, only.
///
/// # Errors
/// [`Error::TooManyThreads`], [`Error::OutOfMemory`], and those of [`Scheduler::check`].
pub fn create_thread(
    entry: VirtAddr,
    argument: u64,
    priority: u8,
    cores: CoreSet,
) -> Result<ThreadId, Error> {
    let near = per_cpu::this().cpu.index();
    let slot = scheduler::change(Scheduler::take_slot)?;
    let mapped = with(|engine| engine.map_stacks(&mut memory(), slot));
    if !matches!(mapped, Some(Ok(()))) {
        scheduler::change(|scheduler| scheduler.return_slot(slot));
        return Err(Error::OutOfMemory);
    }
    let start = UserStart { entry, stack_top: VirtAddr(stack_top(slot)), argument };
    let context = Context::new(&start);
    scheduler::change(|scheduler| match scheduler.check(&cores) {
        Ok(()) => Ok(scheduler.create(slot, context, priority, cores, near)),
        Err(error) => {
            scheduler.return_slot(slot);
            Err(error)
        }
    })
}

/// Loads the engine's tables on the calling core if it has not got them. True when its registers may hold values of an
/// earlier engine.
pub fn use_tables(this: &PerCpu) -> bool {
    let incarnation = INCARNATION.load(Ordering::Acquire);
    let is_new = this.incarnation.swap(incarnation, Ordering::Relaxed) != incarnation;
    if is_new {
        // SAFETY: the root has the kernel's slots and the engine's.
        unsafe { Arch::load_root(memory().engine_root()) }
    }
    is_new && incarnation > FIRST_INCARNATION
}

/// Loads the kernel's own tables on the calling core, which remembers nothing of the engine from then on.
pub fn leave_tables(this: &PerCpu) {
    if this.incarnation.load(Ordering::Relaxed) != NO_INCARNATION {
        // SAFETY: the root maps the kernel.
        unsafe { Arch::leave_engine(memory().kernel_root()) }
        this.incarnation.store(NO_INCARNATION, Ordering::Release);
    }
}

/// Says that a core takes long to leave the engine and, in the end, gives up on the machine.
fn report_late_core(core: &PerCpu, since: Instant, said: &mut bool) {
    let waited = since.elapsed();
    if waited > STOP_TIME && !core::mem::replace(said, true) {
        kprintln!("core {} (hardware id {}) takes long to leave the engine", core.cpu, core.hardware);
    }
    if waited > PATIENCE {
        // Where that is possible, the core reports what it was doing.
        if Arch::send_nmi(core.hardware) {
            Arch::halt();
        }
        panic!("core {} (hardware id {}) did not leave the engine", core.cpu, core.hardware);
    }
}

/// The reason for an engine's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By its own fault.
    Crash,
    /// By Ctrl-C.
    Asked,
}

/// Ends the engine on all cores, takes its memory back and starts a fresh one. `report` prints more, once no other
/// core prints. When several cores crash at once the first one here does the work and the others leave.
pub fn restart(end: End, report: impl FnOnce()) -> ! {
    static TURN: spin::Mutex<()> = spin::Mutex::new(());
    let Some(turn) = TURN.try_lock() else { scheduler::abandon() };
    let (since, mut said) = (Instant::now(), false);
    scheduler::stop_others(|core| report_late_core(core, since, &mut said));
    report();
    input::begin_anew();
    let silent = match (HAS_SPOKEN.swap(false, Ordering::Relaxed), end) {
        (true, _) => 0,
        // It is not the engine's fault that it had no time to speak.
        (false, End::Asked) => SILENT_CRASHES.load(Ordering::Relaxed),
        (false, End::Crash) => SILENT_CRASHES.load(Ordering::Relaxed) + 1,
    };
    SILENT_CRASHES.store(silent, Ordering::Relaxed);
    assert!(silent < MAX_SILENT_CRASHES, "the engine ended {silent} times in a row before it said a word");
    let this = per_cpu::this();
    leave_tables(this);
    let restarts = ENGINE.lock().take().map_or(0, |engine| engine.restarts() + 1);
    devices::stop();
    // SAFETY: all other cores have left, and so has this one; no device reaches the memory.
    unsafe { memory().end_engine() }
    scheduler::change(Scheduler::clear);
    kprintln!("engine restarted ({restarts})");
    let entry = match PAYLOAD.get().map(|payload| load(payload, restarts)) {
        Some(Ok(entry)) => entry,
        Some(Err(error)) => panic!("no fresh engine: {error}"),
        None => unreachable!("an engine ran, so it had a payload"),
    };
    // Before the launch: a fresh engine that crashes at once needs its turn, however slow this core is.
    drop(turn);
    launch(entry);
    // SAFETY: every lock and value of this stack has been dropped; the root stays the same.
    unsafe { Arch::restart_stack(this.local, scheduler::run) }
}
