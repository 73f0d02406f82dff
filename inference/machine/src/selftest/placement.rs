//! Threads run where they were put, and nowhere else.

use alloc::format;
use alloc::vec::Vec;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use embodios_pool::platform::{CoreSet, NEVER, Platform, PlatformError, ThreadId};

use super::{Outcome, Test, check, context, join_all, online, only, refused, start};
use crate::cores;
use crate::platform::{Machine, machine};

pub const TESTS: &[Test] = &[
    ("a thread pinned to core i runs on core i", pinned_threads),
    ("threads of a set run inside it, and the other cores run nothing", threads_of_a_set),
    ("a thread moves while it runs", moves_while_running),
    ("a thread moves while it sleeps", moves_while_sleeping),
    ("a thread moves itself", moves_itself),
    ("sets that are empty or name an absent core are refused", bad_sets),
];

const NOWHERE: usize = usize::MAX;

extern "C" fn note_core(argument: usize) {
    // SAFETY: the test that starts it gives it this and joins it.
    let seen: &AtomicUsize = unsafe { context(argument) };
    seen.store(cores::current(), Ordering::Release);
}

fn pinned_threads(machine: &Machine) -> Outcome {
    let seen: Vec<AtomicUsize> = (0..online(machine)).map(|_| AtomicUsize::new(NOWHERE)).collect();
    let threads = seen.iter().enumerate().map(|(core, seen)| start(machine, &only(core), seen, note_core));
    join_all(machine, threads.collect::<Result<Vec<_>, _>>()?)?;
    for (core, seen) in seen.iter().enumerate() {
        let seen = seen.load(Ordering::Acquire);
        check(seen == core, || format!("the thread of core {core} ran on core {seen}"))?;
    }
    Ok(())
}

/// Rounds of a thread that looks where it is.
const LOOKS: u32 = 40;

extern "C" fn look_around(argument: usize) {
    // SAFETY: the test that starts it gives it this and joins it.
    let seen: &AtomicU64 = unsafe { context(argument) };
    for _ in 0..LOOKS {
        seen.fetch_or(1 << (cores::current() % 64), Ordering::AcqRel);
        machine().yield_now();
    }
}

fn threads_of_a_set(machine: &Machine) -> Outcome {
    let set = CoreSet::first(online(machine).min(2));
    // Bit `c % 64` for every core `c` that a thread found itself on.
    let seen = AtomicU64::new(0);
    let others = || set.len()..online(machine);
    let before: Vec<u64> = others().map(|core| machine.core_counters(core).switches).collect();
    let threads = (0..5).map(|_| start(machine, &set, &seen, look_around));
    join_all(machine, threads.collect::<Result<Vec<_>, _>>()?)?;
    let seen = seen.load(Ordering::Acquire);
    check(seen != 0 && seen & !0b11 == 0, || format!("threads of {set} ran on cores {seen:#b}"))?;
    let after: Vec<u64> = others().map(|core| machine.core_counters(core).switches).collect();
    check(before == after, || format!("switches on other cores went from {before:?} to {after:?}"))
}

/// A thread that says where it is, over and over.
struct Beacon {
    /// Number of the present question.
    question: AtomicU32,
    /// The last question answered, and where the thread was from beginning to end of the answer.
    answered: AtomicU32,
    core: AtomicUsize,
    ends: AtomicBool,
}

extern "C" fn answer_questions(argument: usize) {
    // SAFETY: the test that starts it gives it this and joins it.
    let beacon: &Beacon = unsafe { context(argument) };
    while !beacon.ends.load(Ordering::Acquire) {
        let question = beacon.question.load(Ordering::Acquire);
        beacon.core.store(cores::current(), Ordering::Release);
        beacon.answered.store(question, Ordering::Release);
    }
}

fn ask(machine: &Machine, beacon: &Beacon, question: u32) -> usize {
    beacon.question.store(question, Ordering::Release);
    while beacon.answered.load(Ordering::Acquire) != question {
        // On a machine with one core the thread needs this one.
        machine.yield_now();
    }
    beacon.core.load(Ordering::Acquire)
}

fn moves_while_running(machine: &Machine) -> Outcome {
    let (count, mut question) = (online(machine), 0);
    let beacon = Beacon {
        question: AtomicU32::new(0),
        answered: AtomicU32::new(u32::MAX),
        core: AtomicUsize::new(NOWHERE),
        ends: AtomicBool::new(false),
    };
    let thread = start(machine, &CoreSet::first(count), &beacon, answer_questions)?;
    let mut visit = || {
        for core in (0..count).chain((0..count).rev()).chain([count / 2]) {
            machine.set_affinity(thread, &only(core)).map_err(refused)?;
            check(machine.affinity(thread) == Ok(only(core)), || "the set reads differently".into())?;
            question += 1;
            let seen = ask(machine, &beacon, question);
            check(seen == core, || format!("moved to core {core}, it ran on core {seen}"))?;
        }
        Ok(())
    };
    let outcome = visit();
    beacon.ends.store(true, Ordering::Release);
    join_all(machine, [thread])?;
    outcome
}

struct Sleeper {
    word: AtomicU32,
    seen: AtomicUsize,
}

extern "C" fn sleep_until_told(argument: usize) {
    // SAFETY: the test that starts it gives it this and joins it.
    let sleeper: &Sleeper = unsafe { context(argument) };
    sleeper.word.store(1, Ordering::Release);
    while sleeper.word.load(Ordering::Acquire) == 1 {
        machine().wait(&sleeper.word, 1, NEVER);
    }
    sleeper.seen.store(cores::current(), Ordering::Release);
}

fn moves_while_sleeping(machine: &Machine) -> Outcome {
    let count = online(machine);
    for (from, to) in (0..count).map(|core| (core, (core + 1) % count)) {
        let sleeper = Sleeper { word: AtomicU32::new(0), seen: AtomicUsize::new(NOWHERE) };
        let thread = start(machine, &only(from), &sleeper, sleep_until_told)?;
        while sleeper.word.load(Ordering::Acquire) == 0 {
            machine.yield_now();
        }
        let moved = machine.set_affinity(thread, &only(to)).map_err(refused);
        sleeper.word.store(2, Ordering::Release);
        machine.wake(&sleeper.word, 1);
        join_all(machine, [thread])?;
        moved?;
        let seen = sleeper.seen.load(Ordering::Acquire);
        check(seen == to, || format!("moved from core {from} to {to}, it woke on core {seen}"))?;
    }
    Ok(())
}

fn moves_itself(machine: &Machine) -> Outcome {
    let me = machine.current_thread();
    let home = machine.affinity(me).map_err(refused)?;
    let visit = |core| {
        machine.set_affinity(me, &only(core)).map_err(refused)?;
        let seen = cores::current();
        check(seen == core, || format!("on its way to core {core} it came to core {seen}"))
    };
    let outcome = (0..online(machine)).try_for_each(visit);
    machine.set_affinity(me, &home).map_err(refused)?;
    outcome
}

extern "C" fn do_nothing(_: usize) {
    spin_loop();
}

fn bad_sets(machine: &Machine) -> Outcome {
    let absent = machine.cores().len() + 3;
    let me = machine.current_thread();
    let home = machine.affinity(me).map_err(refused)?;
    let mixed: CoreSet = [0, absent].into_iter().collect();
    for (set, expected) in [
        (CoreSet::new(), PlatformError::NoCores),
        (only(absent), PlatformError::Offline(absent)),
        (mixed, PlatformError::Offline(absent)),
    ] {
        let moved = machine.set_affinity(me, &set);
        check(moved == Err(expected), || format!("{set} for a thread: {moved:?}"))?;
        let started = machine.start_thread(&set, do_nothing, 0);
        check(started == Err(expected), || format!("a thread for {set}: {started:?}"))?;
        let kept = machine.reserve_cores(&set);
        check(kept == Err(expected), || format!("{set} reserved: {kept:?}"))?;
    }
    check(machine.affinity(me) == Ok(home.clone()), || "a refused request had an effect".into())?;
    let nobody = ThreadId(u64::MAX);
    let moved = machine.set_affinity(nobody, &home);
    check(moved == Err(PlatformError::NoSuchThread(nobody)), || format!("no thread, moved: {moved:?}"))
}
