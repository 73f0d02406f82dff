//! Threads that share a core: turns, priorities, registers that survive, and no tick for a thread alone on its core.

use alloc::format;
use alloc::vec::Vec;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use embodios_pool::platform::{CoreSet, Platform, ThreadId};

use super::{Outcome, Test, check, context, join_all, online, only, refused, start};
use crate::platform::{Machine, PRIORITY, machine};
use crate::{arch, system};

pub const TESTS: &[Test] = &[
    ("three threads that compute share one core, vector registers intact", three_on_one_core),
    ("a core with one thread has no tick", no_tick_alone),
    ("more threads than cores all come to their end", many_threads),
    ("priorities decide who runs first", priorities),
];

/// Times each of several threads has to lose its core against its will.
const TURNS: u64 = 12;

struct Holder {
    pattern: u64,
    /// Set when the test ends.
    ends: AtomicU32,
    rounds: AtomicU64,
    damaged: AtomicBool,
}

extern "C" fn hold_registers(argument: usize) {
    // SAFETY: the test that starts it gives it this and joins it.
    let holder: &Holder = unsafe { context(argument) };
    while holder.ends.load(Ordering::Acquire) == 0 {
        if !arch::hold_vectors(holder.pattern) {
            holder.damaged.store(true, Ordering::Release);
        }
        holder.rounds.fetch_add(1, Ordering::AcqRel);
    }
}

fn three_on_one_core(machine: &Machine) -> Outcome {
    let core = online(machine) - 1;
    let holder = |pattern| Holder {
        pattern,
        ends: AtomicU32::new(0),
        rounds: AtomicU64::new(0),
        damaged: AtomicBool::new(false),
    };
    let holders = [0x0123_4567_89ab_cdef, 0x5555_aaaa_3333_cccc, u64::MAX].map(holder);
    let ticks = || machine.core_counters(core).ticks;
    let before = ticks();
    let threads = holders.iter().map(|holder| start(machine, &only(core), holder, hold_registers));
    let threads = threads.collect::<Result<Vec<_>, _>>()?;
    let all_ran = || holders.iter().all(|holder| holder.rounds.load(Ordering::Acquire) > 1);
    while !all_ran() || ticks() < before + TURNS {
        machine.sleep_ns(1_000_000);
    }
    holders.iter().for_each(|holder| holder.ends.store(1, Ordering::Release));
    join_all(machine, threads)?;
    check(!holders.iter().any(|holder| holder.damaged.load(Ordering::Acquire)), || {
        "a vector register changed while another thread ran".into()
    })
}

extern "C" fn compute(argument: usize) {
    // SAFETY: the test that starts it gives it this and joins it.
    let rounds: &AtomicU64 = unsafe { context(argument) };
    let (clock, begin) = (machine(), machine().now_ns());
    // Several quanta.
    while clock.now_ns() - begin < 50_000_000 {
        rounds.fetch_add(1, Ordering::AcqRel);
        spin_loop();
    }
}

fn no_tick_alone(machine: &Machine) -> Outcome {
    let core = online(machine) - 1;
    let rounds = AtomicU64::new(0);
    let before = machine.core_counters(core);
    let thread = start(machine, &only(core), &rounds, compute)?;
    join_all(machine, [thread])?;
    let after = machine.core_counters(core);
    let (ticks, timers) = (after.ticks - before.ticks, after.timer_interrupts - before.timer_interrupts);
    check(ticks == 0 && timers == 0, || format!("{ticks} ticks and {timers} timer interrupts on core {core}"))
}

/// Additions of each of many threads.
const ADDITIONS: u64 = 30;

extern "C" fn add_and_yield(argument: usize) {
    // SAFETY: the test that starts it gives it this and joins it.
    let sum: &AtomicU64 = unsafe { context(argument) };
    for _ in 0..ADDITIONS {
        sum.fetch_add(1, Ordering::AcqRel);
        machine().yield_now();
    }
}

fn many_threads(machine: &Machine) -> Outcome {
    let (sum, count) = (AtomicU64::new(0), 2 * online(machine) + 3);
    let cores = CoreSet::first(online(machine));
    let threads = (0..count).map(|_| start(machine, &cores, &sum, add_and_yield));
    join_all(machine, threads.collect::<Result<Vec<_>, _>>()?)?;
    let (sum, expected) = (sum.load(Ordering::Acquire), count as u64 * ADDITIONS);
    check(sum == expected, || format!("{sum} of {expected} additions"))
}

/// The order in which threads came.
struct Arrivals {
    count: AtomicU32,
    threads: [AtomicU64; 3],
}

extern "C" fn arrive(argument: usize) {
    // SAFETY: the test that starts it gives it this and joins it.
    let arrivals: &Arrivals = unsafe { context(argument) };
    let place = arrivals.count.fetch_add(1, Ordering::AcqRel) as usize;
    arrivals.threads[place].store(machine().current_thread().0, Ordering::Release);
}

fn priorities(machine: &Machine) -> Outcome {
    let arrivals = Arrivals { count: AtomicU32::new(0), threads: [const { AtomicU64::new(0) }; 3] };
    let argument = (&raw const arrivals).expose_provenance();
    // All on the core of this thread, which is their rival.
    let me = machine.current_thread();
    let home = machine.affinity(me).map_err(refused)?;
    machine.set_affinity(me, &only(0)).map_err(refused)?;
    let begin = |priority| machine.start_with_priority(&only(0), priority, arrive, argument).map_err(refused);
    let mut expected: Vec<ThreadId> = Vec::new();
    let low = begin(PRIORITY - 10)?;
    let middle = begin(PRIORITY - 5)?;
    let before = arrivals.count.load(Ordering::Acquire);
    let raised = system::priority_set(low.0, PRIORITY - 1);
    let high = begin(PRIORITY + 1)?;
    let at_once = arrivals.count.load(Ordering::Acquire);
    expected.extend([high, low, middle]);
    join_all(machine, [low, middle, high])?;
    machine.set_affinity(me, &home).map_err(refused)?;
    check(raised.is_ok(), || format!("a priority was refused: {raised:?}"))?;
    check(before == 0, || "a thread of a lower priority ran before its time".into())?;
    check(at_once == 1, || "a thread of a higher priority did not run at once".into())?;
    let order: Vec<ThreadId> =
        arrivals.threads.iter().map(|id| ThreadId(id.load(Ordering::Acquire))).collect();
    check(order == expected, || format!("they came as {order:?}, not {expected:?}"))
}
