//! What the engine asks of whatever runs it: threads, wait/wake, time, bytes, memory figures, power.
//!
//! Two implementations exist: host threads ([`host`], feature `std`) and EMBODIOS's system calls (the
//! engine program in `inference/engine`). Nothing else in this crate knows either.

#[cfg(feature = "std")]
pub mod host;

use core::fmt;
use core::sync::atomic::AtomicU32;

/// One core as the platform sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Core {
    /// APIC id or MPIDR affinity; on a host, the number of the processor.
    pub hardware_id: u64,
    /// Whether threads can run there.
    pub online: bool,
}

/// Memory figures in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What the machine has.
    pub total: u64,
    /// What nobody holds.
    pub free: u64,
    /// What the engine holds.
    pub engine: u64,
}

/// Counters the platform keeps, for the console's `stats`.
pub type Counter = (&'static str, u64);

/// Why the platform refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlatformError {
    /// No such core, or it is not online.
    NoSuchCore(usize),
    /// The core already runs a thread.
    CoreBusy(usize),
}

impl fmt::Display for PlatformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchCore(core) => write!(f, "core {core} is not online"),
            Self::CoreBusy(core) => write!(f, "core {core} already runs a thread"),
        }
    }
}

impl core::error::Error for PlatformError {}

/// What ends a session.
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

/// The platform. One value, shared by every thread.
pub trait Platform: Sync {
    /// Cores by dense index, online ones first; the caller of `main` runs on core 0.
    fn cores(&self) -> &[Core];

    /// Starts the one thread of core `core`, pinned there, at `entry(argument)`.
    ///
    /// # Errors
    /// [`PlatformError`] when the core does not exist or is taken.
    fn start_thread(
        &self,
        core: usize,
        entry: extern "C" fn(usize),
        argument: usize,
    ) -> Result<(), PlatformError>;

    /// Sleeps while `*word == expected`, until a wake. May return early; the caller looks again.
    fn wait(&self, word: &AtomicU32, expected: u32);

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

    /// Memory figures now.
    fn memory(&self) -> Memory;

    /// The platform's own counters, each with its name.
    fn counters(&self, report: &mut dyn FnMut(Counter));

    /// Runs the platform's self-tests, which report on the console. Result: `(passed, failed)`.
    fn self_test(&self) -> (u32, u32);

    /// Ends the session.
    fn power(&self, action: Power) -> !;
}
