//! What the kernel keeps of one engine thread.

use embodios_abi::MAX_THREADS;
use embodios_arch::{Arch, Architecture};
use embodios_core_set::CoreSet;

/// Its general registers while it does not run.
pub type Context = <Arch as Architecture>::Context;

/// A thread's number: its slot, and how many threads had the slot before. So a number means one thread only, until
/// the slot has had 2^24 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadId(pub u32);

impl ThreadId {
    const SLOTS: u32 = MAX_THREADS as u32;

    /// The thread that has `slot` as the `generation`th.
    #[must_use]
    pub const fn new(slot: usize, generation: u32) -> Self {
        Self(slot as u32 + generation.wrapping_mul(Self::SLOTS))
    }

    /// Its slot.
    #[must_use]
    pub const fn slot(self) -> usize {
        (self.0 % Self::SLOTS) as usize
    }
}

/// What a thread that does not want to run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A wake of the word at this address.
    Word(u64),
    /// Its deadline.
    Sleep,
    /// The end of a thread.
    Join(ThreadId),
    /// Bytes at the console; it asks again when it goes on.
    Input,
    /// A thread to leave a core that it may no longer run on.
    Migration(ThreadId),
}

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In the run queue of its core.
    Ready,
    /// On its core, or losing it just now.
    Running,
    /// Nowhere.
    Blocked(Reason),
}

/// An engine thread.
pub struct Thread {
    /// Its number.
    pub id: ThreadId,
    /// 0 to 31, the highest.
    pub priority: u8,
    /// Cores it may run on; never empty.
    pub affinity: CoreSet,
    /// Where it is.
    pub state: State,
    /// Its core: the one it runs on or waits for; while it is blocked, the one that keeps its deadline. In
    /// `affinity`, unless it is just leaving.
    pub core: usize,
    /// The core it ran on last.
    pub ran_on: Option<usize>,
    /// When its wait ends at the latest.
    pub deadline: Option<u64>,
    /// It was woken and has not run since.
    pub woken: bool,
    /// Its vector registers were saved and have to be restored.
    pub vectors_saved: bool,
    /// Its registers, while it does not run.
    pub context: Context,
}
