//! `bench switch`: the cost of giving way to another thread, on one core and between two.
//!
//! Each case stands between two marks, for a counter of instructions.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use embodios_pool::platform::{CoreSet, Mark, NEVER, Platform, PlatformError};
use embodios_pool::start_thread;
use embodios_pool::sync::atomic::AtomicU32;
use embodios_pool::sync::atomic::Ordering::SeqCst;
use serde_json::{Value, json};

use crate::{BenchError, Report};

/// Rounds of each case when nothing else is said.
pub const ROUNDS: u32 = 1000;

/// A way for two threads to take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// Both yield, on one core.
    Yield,
    /// Each wakes the other and waits, on one core.
    WakeHere,
    /// The same on two cores.
    WakeThere,
}

impl Case {
    const fn name(self) -> &'static str {
        match self {
            Self::Yield => "yield and yield back, one core",
            Self::WakeHere => "wake and wake back, one core",
            Self::WakeThere => "wake and wake back, two cores",
        }
    }
}

/// The thread whose turn it is: the caller, the other one, or none any more.
const CALLER: u32 = 0;
const OTHER: u32 = 1;
const OVER: u32 = 2;

/// Time of a case.
struct Figures {
    case: Case,
    rounds: u32,
    nanoseconds: u64,
}

impl Report for Figures {
    fn text(&self) -> String {
        let Self { case, rounds, nanoseconds } = self;
        let microseconds = *nanoseconds as f64 / 1e3 / f64::from(*rounds);
        format!("{}: {microseconds:.2} us, mean of {rounds}\n", case.name())
    }

    fn json(&self) -> Value {
        let Self { case, rounds, nanoseconds } = self;
        json!({ "case": case.name(), "rounds": rounds, "seconds": *nanoseconds as f64 / 1e9 })
    }
}

/// Measures all cases that there are cores for and shows each; the calling thread's set of cores is as before
/// afterwards.
///
/// # Errors
/// When the platform refuses a thread.
pub fn measure(
    platform: &'static dyn Platform,
    rounds: u32,
    show: &mut dyn FnMut(&dyn Report),
) -> Result<(), BenchError> {
    let (thread, here) = (platform.current_thread(), platform.current_core());
    let before = platform.affinity(thread)?;
    platform.set_affinity(thread, &CoreSet::from_iter([here]))?;
    let there = (0..platform.cores().len()).find(|&core| core != here && platform.cores()[core].online);
    let cases = [(Case::Yield, Some(here)), (Case::WakeHere, Some(here)), (Case::WakeThere, there)];
    let measured = cases.into_iter().try_for_each(|(case, core)| {
        let Some(core) = core else { return Ok(()) };
        let nanoseconds = take_turns(platform, case, core, rounds)?;
        show(&Figures { case, rounds, nanoseconds });
        Ok(())
    });
    platform.set_affinity(thread, &before)?;
    measured
}

/// Takes turns with a thread on `core`. Result: the time of all rounds, in nanoseconds.
fn take_turns(
    platform: &'static dyn Platform,
    case: Case,
    core: usize,
    rounds: u32,
) -> Result<u64, PlatformError> {
    let turn = Arc::new(AtomicU32::new(CALLER));
    let others = Arc::clone(&turn);
    let other = start_thread(platform, &CoreSet::from_iter([core]), move || match case {
        Case::Yield => {
            while others.load(SeqCst) != OVER {
                platform.yield_now();
            }
        }
        Case::WakeHere | Case::WakeThere => while hand_over(platform, &others, CALLER, OTHER) {},
    })?;
    let round = || match case {
        Case::Yield => platform.yield_now(),
        Case::WakeHere | Case::WakeThere => {
            hand_over(platform, &turn, OTHER, CALLER);
        }
    };
    // Until both have been round once, the other one may still be on its way.
    round();
    let begun = platform.now_ns();
    platform.mark(Mark::Begin);
    (0..rounds).for_each(|_| round());
    platform.mark(Mark::End);
    let nanoseconds = platform.now_ns() - begun;
    turn.store(OVER, SeqCst);
    platform.wake(&turn, 1);
    platform.join_thread(other)?;
    Ok(nanoseconds)
}

/// Makes it the turn of `next`, wakes it and waits for the `own` turn. Result: whether that comes.
fn hand_over(platform: &dyn Platform, turn: &AtomicU32, next: u32, own: u32) -> bool {
    // The other thread begins with a turn that is not its own.
    if turn.compare_exchange(own, next, SeqCst, SeqCst).is_ok() {
        platform.wake(turn, 1);
    }
    while turn.load(SeqCst) == next {
        platform.wait(turn, next, NEVER);
    }
    turn.load(SeqCst) == own
}
