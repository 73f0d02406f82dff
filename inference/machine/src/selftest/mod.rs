//! The engine's tests of what the kernel does for it, run on the booted machine by the console's `test`.
//!
//! A thread's core is read from the hardware inside the thread, activity of other cores from the kernel's counters.
//! Time decides no test: forbidden events are looked for in counters, required ones are waited for.

mod abi;
mod blocking;
mod placement;
mod reservation;
mod sharing;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_pool::platform::{CoreSet, Platform, PlatformError, ThreadId};

use crate::memory;
use crate::platform::Machine;

/// Result of a test; the error says what is wrong.
type Outcome = Result<(), String>;

/// A name, and a function that passes or says why not.
type Test = (&'static str, fn(&Machine) -> Outcome);

const TESTS: &[&[Test]] = &[
    &[("memory functions agree with plain loops", memory_functions)],
    abi::TESTS,
    placement::TESTS,
    sharing::TESTS,
    blocking::TESTS,
    reservation::TESTS,
];

/// Runs all tests, with so many wakes of threads by each other; how many passed and failed.
pub fn run(machine: &Machine, wakes: u32) -> (u32, u32) {
    let (mut passed, mut failed) = (0, 0);
    let mut report = |name: &str, outcome: Outcome| {
        let line = match outcome {
            Ok(()) => {
                passed += 1;
                format!("test engine: {name} ... ok\n")
            }
            Err(why) => {
                failed += 1;
                format!("test engine: {name} ... FAILED\n  {why}\n")
            }
        };
        machine.write(line.as_bytes());
    };
    TESTS.iter().copied().flatten().for_each(|(name, test)| report(name, test(machine)));
    report("two threads that wake each other lose no wake-up", blocking::across_cores(machine, wakes));
    report(
        "two threads of one core that wake each other lose no wake-up",
        blocking::on_one_core(machine, wakes),
    );
    (passed, failed)
}

fn memory_functions(_: &Machine) -> Outcome {
    check(memory::check(), || "they differ".into())
}

/// Passes when `holds`.
fn check(holds: bool, why: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(why()) }
}

fn refused(error: PlatformError) -> String {
    format!("refused: {error}")
}

/// Number of cores that take threads: `0..online` are they.
fn online(machine: &Machine) -> usize {
    machine.cores().iter().filter(|core| core.online).count()
}

/// The set of one core.
fn only(core: usize) -> CoreSet {
    [core].into_iter().collect()
}

/// Starts a thread that calls `body` with `context`, which outlives the thread: the caller joins it.
fn start<T: Sync>(
    machine: &Machine,
    cores: &CoreSet,
    context: &T,
    body: extern "C" fn(usize),
) -> Result<ThreadId, String> {
    machine.start_thread(cores, body, core::ptr::from_ref(context).expose_provenance()).map_err(refused)
}

/// The context that a thread was started with.
///
/// # Safety
/// `argument` comes from [`start`] with a `T` that outlives the thread.
unsafe fn context<'a, T: Sync>(argument: usize) -> &'a T {
    // SAFETY: the caller's promise.
    unsafe { &*core::ptr::with_exposed_provenance(argument) }
}

fn join_all(machine: &Machine, threads: impl IntoIterator<Item = ThreadId>) -> Outcome {
    // All of them, also when one is refused: what they use may go away afterwards.
    let results: Vec<_> = threads.into_iter().map(|thread| machine.join_thread(thread)).collect();
    results.into_iter().collect::<Result<(), _>>().map_err(refused)
}
