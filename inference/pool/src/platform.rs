//! Services that the engine asks of the system below: threads, wait/wake, time, bytes, memory figures, power.
//!
//! Two implementations exist: host threads (`inference/host`) and EMBODIOS's system calls (the engine program in
//! `inference/machine`). Nothing else in this crate knows either.

mod counters;

use core::fmt;

pub use embodios_core_set::{CoreSet, ParseCoreSetError};
use embodios_gguf::memory::filled;

use crate::sync::atomic::AtomicU32;
pub use counters::CoreCounters;

/// [`Core::capacity`] of the fastest class of cores, as in the device tree's `capacity-dmips-mhz` when normalised. The
/// kernel says the same in its ABI, which a platform on it checks.
pub const FULL_CAPACITY: u16 = 1024;

/// The deadline of a wait without a limit.
pub const NEVER: u64 = u64::MAX;

/// Bytes that processors take from memory at a time.
const CACHE_LINE: usize = 64;

/// One core as the platform sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Core {
    /// APIC id or MPIDR affinity; on a host, the number of the processor.
    pub hardware_id: u64,
    /// Whether threads can run there.
    pub online: bool,
    /// Number of its package.
    pub package: u32,
    /// Dense number of its physical core, which hyper-threads share.
    pub physical: u32,
    /// Speed beside the machine's fastest class of cores, which has [`FULL_CAPACITY`].
    pub capacity: u16,
    /// Whether it takes the console, devices and their interrupts.
    pub housekeeping: bool,
}

/// A thread of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadId(pub u64);

impl fmt::Display for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Memory figures in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Memory of the machine.
    pub total: u64,
    /// Free memory.
    pub free: u64,
    /// Memory that the engine holds.
    pub engine: u64,
    /// Of that, the unused part: it came back to its heap, which keeps it.
    pub idle: u64,
}

/// Counters the platform keeps, for the console's `stats`.
pub type Counter = (&'static str, u64);

/// Reason for a refusal of the platform. A refused request has had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlatformError {
    /// A set of cores that is empty.
    NoCores,
    /// No such core, or it is not online.
    Offline(usize),
    /// No such thread, or it has ended and been joined.
    NoSuchThread(ThreadId),
    /// The core is kept for others: see [`Platform::reserve_cores`].
    Reserved(usize),
    /// No memory for another thread.
    OutOfMemory,
    /// As many threads as the machine has room for exist.
    TooManyThreads(u64),
    /// Not allowed at the machine's start, by this word of the command line.
    NotAllowed(&'static str),
    /// Another caller does it now.
    Busy,
}

impl fmt::Display for PlatformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCores => write!(f, "a set of cores without a core"),
            Self::Offline(core) => write!(f, "core {core} is not online"),
            Self::NoSuchThread(thread) => write!(f, "there is no thread {thread}"),
            Self::Reserved(core) => write!(f, "core {core} is reserved"),
            Self::OutOfMemory => write!(f, "no memory for another thread"),
            Self::TooManyThreads(most) => write!(f, "this machine has {most} threads at most, and all exist"),
            Self::NotAllowed(word) => write!(f, "not allowed: the machine was started without `{word}`"),
            Self::Busy => write!(f, "somebody else does that now"),
        }
    }
}

impl core::error::Error for PlatformError {}

/// A place in the instruction stream that a counter of instructions looks for. Its marking is the platform's: at
/// EMBODIOS's ABI a mark is a number in an instruction, on a host nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A measured part begins.
    Begin,
    /// Workers begin to work at the same time, or all have met again; both, one after the other, between two stages.
    Phase,
    /// The measured part ends.
    End,
}

/// The end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Stop the machine (host: the process) with success or failure.
    Off {
        /// Whether every command and test passed.
        success: bool,
    },
    /// Start again.
    Reboot,
}

/// Whether a count of [`Platform::interrupts`] is later than another.
#[must_use]
pub const fn is_after(count: u32, other: u32) -> bool {
    (count.wrapping_sub(other) as i32) > 0
}

/// The platform. One value, shared by every thread.
pub trait Platform: Sync {
    /// Cores by dense index, online ones first; the caller of `main` runs on core 0.
    fn cores(&self) -> &[Core];

    /// Starts a thread that runs on `cores` only, at `entry(argument)`.
    ///
    /// # Errors
    /// When the set is empty or holds a core that is offline or reserved, or there is no memory for a thread.
    fn start_thread(
        &self,
        cores: &CoreSet,
        entry: extern "C" fn(usize),
        argument: usize,
    ) -> Result<ThreadId, PlatformError>;

    /// Returns once the thread is gone. Each thread is joined at most once.
    ///
    /// # Errors
    /// When there is no such thread.
    fn join_thread(&self, thread: ThreadId) -> Result<(), PlatformError>;

    /// The thread that runs this.
    fn current_thread(&self) -> ThreadId;

    /// Confines a thread to `cores`. When it returns, the thread runs on one of them or not at all.
    ///
    /// # Errors
    /// When the set is empty or holds a core that is offline or reserved, or there is no such thread.
    fn set_affinity(&self, thread: ThreadId, cores: &CoreSet) -> Result<(), PlatformError>;

    /// The cores that a thread may run on.
    ///
    /// # Errors
    /// When there is no such thread.
    fn affinity(&self, thread: ThreadId) -> Result<CoreSet, PlatformError>;

    /// Keeps `cores` for the threads that are pinned there now: until [`Self::release_cores`], memory grants to
    /// threads on them and other threads' start or move to them are refused, and counted there.
    ///
    /// # Errors
    /// When the set is empty or holds a core that is offline or reserved.
    fn reserve_cores(&self, cores: &CoreSet) -> Result<(), PlatformError>;

    /// Ends what [`Self::reserve_cores`] began.
    fn release_cores(&self);

    /// Lets another thread of this core run, if one wants to.
    fn yield_now(&self);

    /// Sleeps for at least so many nanoseconds.
    fn sleep_ns(&self, nanoseconds: u64);

    /// Sleeps while `*word == expected`, until a wake, at most until [`Self::now_ns`] is `deadline` ([`NEVER`] for no
    /// limit). May return early; the caller looks again.
    fn wait(&self, word: &AtomicU32, expected: u32, deadline: u64);

    /// Wakes up to `count` threads that wait on `word`.
    fn wake(&self, word: &AtomicU32, count: u32);

    /// Nanoseconds since the machine (host: the process) was entered. Never goes back.
    fn now_ns(&self) -> u64;

    /// Index of the core that runs this, asked of the core itself.
    fn current_core(&self) -> usize;

    /// Writes bytes to the console.
    fn write(&self, bytes: &[u8]);

    /// Waits for input and copies what fits; 0 only at the end of input.
    fn read(&self, buffer: &mut [u8]) -> usize;

    /// Number of times that the person at the console has asked to stop the work under way, since the machine's start;
    /// wraps. Each time has also left a byte 0x03 in the input. 0 where they are not counted.
    fn interrupts(&self) -> u32 {
        0
    }

    /// Zeroed memory for as long as this runs, to be read from end to end again and again, from a cache line's
    /// first byte on; `None` where there is not so much.
    fn model_memory(&self, bytes: usize) -> Option<&'static mut [u8]> {
        let memory = filled(bytes.checked_add(CACHE_LINE)?, 0, "model").ok()?.leak();
        let first = memory.as_ptr().align_offset(CACHE_LINE);
        memory.get_mut(first..first + bytes)
    }

    /// Memory figures now.
    fn memory(&self) -> Memory;

    /// Counters of core `core`, as of one moment; all 0 where there is no such core.
    fn core_counters(&self, core: usize) -> CoreCounters;

    /// Names of the [`CoreCounters`] that this platform cannot count and leaves 0.
    fn uncounted(&self) -> &'static [&'static str] {
        &[]
    }

    /// The platform's own counters for the whole machine, each with its name.
    fn counters(&self, report: &mut dyn FnMut(Counter));

    /// Marks a place in the instruction stream, at no cost worth counting.
    fn mark(&self, _mark: Mark) {}

    /// Runs the platform's self-tests, which report on the console; threads that wake each other do so `wakes` times.
    /// Result: `(passed, failed)`.
    fn self_test(&self, wakes: u32) -> (u32, u32);

    /// Ends the session. Returns why not where that is not allowed.
    fn power(&self, action: Power) -> PlatformError;
}
