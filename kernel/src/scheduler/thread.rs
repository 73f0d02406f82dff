//! The kernel's record of one engine thread.

use embodios_arch::{Arch, Architecture};
use embodios_core_set::CoreSet;

/// Its general registers while it does not run.
pub type Context = <Arch as Architecture>::Context;

/// A thread's number: its slot, plus the number of slots for each thread that had the slot before. So a number means
/// one thread only: 64 bits do not run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadId(pub u64);

/// The event that a blocked thread waits for.
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

/// The state of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In the run queue of its core.
    Ready,
    /// On its core, or losing it just now.
    Running,
    /// On no core and in no run queue.
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
    /// Its state.
    pub state: State,
    /// Its core: the one it runs on or waits for; while it is blocked, the one that keeps its deadline. In
    /// `affinity`, unless it is just leaving.
    pub core: usize,
    /// The core it ran on last.
    pub ran_on: Option<usize>,
    /// Latest end of its wait, as a counter value.
    pub deadline: Option<u64>,
    /// Whether it was woken and has not run since.
    pub woken: bool,
    /// Whether its vector registers were saved and have to be restored.
    pub vectors_saved: bool,
    /// Its registers, while it does not run.
    pub context: Context,
}
