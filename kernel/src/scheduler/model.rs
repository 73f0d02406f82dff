//! Waiting and waking under a model checker, which runs the cores' loops, the lock, the flags, the interrupts and
//! halting under many schedules:
//! `RUSTFLAGS="--cfg shuttle" cargo test --release -p embodios-kernel --lib scheduler::model`.
//!
//! A wake-up lost is a deadlock, which the checker reports. Accesses are sequentially consistent there: weaker
//! orderings are for the thread sanitizer to judge.

use super::{prepare, run};
use crate::memory::own_for_test;
use crate::per_cpu::{self, PerCpu};
use crate::start::Kernel;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};
use embodios_abi::Call;
use embodios_arch::host::{Program, run_core, switch_off};
use embodios_arch::{CpuId, UserContext, UserStart, VirtAddr, register_handlers};
use embodios_core_set::CoreSet;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::{Condvar, Mutex};
use shuttle::{Config, Runner, thread};

/// Schedules tried, at random and with few changes of core (Burckhardt et al., "A randomized scheduler with
/// probabilistic guarantees of finding bugs", ASPLOS 2010).
const SCHEDULES: usize = 3_000;
const CHANGES: usize = 4;
/// Bytes of a core's stack.
const STACK: usize = 0x4_0000;

fn check(model: fn()) {
    register_handlers(&Kernel);
    let mut config = Config::new();
    // Statics hold nothing that is worth more than its memory.
    (config.stack_size, config.silence_warnings) = (STACK, true);
    Runner::new(RandomScheduler::new(SCHEDULES), config.clone()).run(model);
    Runner::new(PctScheduler::new(CHANGES, SCHEDULES), config).run(model);
}

/// Memory that threads share. Uses of its word are points where another core may go on, which a plain atomic's are not.
struct Memory {
    word: AtomicU32,
    point: shuttle::sync::atomic::AtomicBool,
    /// A set of cores for a call: core 0.
    cores: [u64; 1],
}

impl Memory {
    fn leak() -> &'static Self {
        let point = shuttle::sync::atomic::AtomicBool::new(false);
        Box::leak(Box::new(Self { word: AtomicU32::new(0), point, cores: [1] }))
    }

    fn load(&self) -> u32 {
        self.point.load(Ordering::SeqCst);
        self.word.load(Ordering::SeqCst)
    }

    fn store(&self, value: u32) {
        self.point.load(Ordering::SeqCst);
        self.word.store(value, Ordering::SeqCst);
    }

    fn wait(&self, seen: u32) -> SystemCall {
        (Call::Wait as u64, [self.word.as_ptr() as u64, seen.into(), u64::MAX])
    }

    fn wake(&self, count: u64) -> SystemCall {
        (Call::Wake as u64, [self.word.as_ptr() as u64, count, 0])
    }
}

/// Number and arguments.
type SystemCall = (u64, [u64; 3]);

/// One step of a thread, up to its next system call; `None` at its end.
type Step = Box<dyn Fn() -> Option<SystemCall>>;

/// Number of threads that have come to their end.
type Ends = Arc<(Mutex<usize>, Condvar)>;

/// An engine thread.
struct Actor {
    step: Step,
    ends: Ends,
    /// All of them.
    count: usize,
}

/// A [`Program`].
fn act(actor: u64) -> SystemCall {
    // SAFETY: `machine` passes a leaked actor.
    let actor = unsafe { &*core::ptr::with_exposed_provenance::<Actor>(actor as usize) };
    (actor.step)().unwrap_or_else(|| {
        let mut ended = actor.ends.0.lock().unwrap();
        *ended += 1;
        let is_last = *ended == actor.count;
        drop(ended);
        actor.ends.1.notify_all();
        // The last one stays: an engine without a thread would be started anew.
        if is_last { (Call::Sleep as u64, [u64::MAX, 0, 0]) } else { (Call::ThreadExit as u64, [0; 3]) }
    })
}

/// Runs threads, each on its core, on a machine of `cores` cores until all have come to their end.
fn machine(cores: usize, memory: &'static Memory, threads: Vec<(usize, Step)>) {
    per_cpu::install((0..cores).map(PerCpu::on_host).collect());
    prepare(cores);
    for core in per_cpu::all() {
        super::SCHEDULER.lock().set_online(core.cpu.index());
        core.online.store(true, Ordering::SeqCst);
    }
    own_for_test(memory);
    let ends = Ends::default();
    let count = threads.len();
    for (core, step) in threads {
        let actor: &Actor = Box::leak(Box::new(Actor { step, ends: ends.clone(), count }));
        let start = UserStart {
            entry: VirtAddr(act as Program as usize as u64),
            stack_top: VirtAddr(0),
            argument: core::ptr::from_ref(actor).expose_provenance() as u64,
        };
        let mut scheduler = super::SCHEDULER.lock();
        let slot = scheduler.take_slot().expect("few threads");
        scheduler.create(slot, UserContext::new(&start), 5, CoreSet::from_iter([core]), core);
    }
    let cores: Vec<_> =
        per_cpu::all().iter().map(|core| thread::spawn(|| run_core(core.local, run))).collect();
    let mut ended = ends.0.lock().unwrap();
    while *ended < count {
        ended = ends.1.wait(ended).unwrap();
    }
    drop(ended);
    switch_off();
    for core in cores {
        core.join().expect("a core panicked");
    }
}

/// Turns of each of two players.
const ROUNDS: u32 = 3;

/// One of two threads that pass a ball: it is even for one and odd for the other.
fn player(ball: &'static Memory, mine: u32) -> Step {
    let round = Cell::new(0);
    Box::new(move || {
        if round.get() == ROUNDS {
            return None;
        }
        let (seen, expected) = (ball.load(), 2 * round.get() + mine);
        if seen != expected {
            return Some(ball.wait(seen));
        }
        round.set(round.get() + 1);
        ball.store(expected + 1);
        Some(ball.wake(1))
    })
}

#[test]
fn two_cores_that_wake_each_other() {
    check(|| {
        let ball = Memory::leak();
        machine(2, ball, vec![(0, player(ball, 0)), (1, player(ball, 1))]);
    });
}

#[test]
fn two_threads_of_one_core_that_wake_each_other() {
    check(|| {
        let ball = Memory::leak();
        machine(1, ball, vec![(0, player(ball, 0)), (0, player(ball, 1))]);
    });
}

/// A thread that waits until the word is not 0.
fn waiter(memory: &'static Memory) -> Step {
    Box::new(move || (memory.load() == 0).then(|| memory.wait(0)))
}

#[test]
fn one_wake_reaches_all_who_wait_on_all_cores() {
    check(|| {
        let memory = Memory::leak();
        let waker: Step = Box::new(|| {
            let first = memory.load() == 0;
            memory.store(1);
            first.then(|| memory.wake(u64::MAX))
        });
        let threads = vec![(0, waker), (1, waiter(memory)), (2, waiter(memory)), (2, waiter(memory))];
        machine(3, memory, threads);
    });
}

/// A thread is not where it was when the call that moves it returns: that takes the flag, the interrupt and the
/// wake-up of the mover.
#[test]
fn a_thread_that_runs_is_moved_before_the_call_returns() {
    check(|| {
        let memory = Memory::leak();
        let called = Cell::new(false);
        // The first thread to be made has number 0.
        let runner: Step = Box::new(|| {
            let here = per_cpu::this().cpu;
            if memory.load() == 1 {
                assert_eq!(here, CpuId(0), "moved and still there");
                return None;
            }
            thread::yield_now();
            Some((Call::Yield as u64, [0; 3]))
        });
        let mover: Step = Box::new(move || {
            if called.replace(true) {
                memory.store(1);
                return None;
            }
            Some((Call::AffinitySet as u64, [0, memory.cores.as_ptr() as u64, 1]))
        });
        machine(2, memory, vec![(1, runner), (0, mover)]);
    });
}

#[test]
fn a_thread_is_joined_when_it_is_gone() {
    check(|| {
        let memory = Memory::leak();
        let called = Cell::new(false);
        let short: Step = Box::new(|| {
            memory.store(1);
            None
        });
        let joiner: Step = Box::new(move || {
            if called.replace(true) {
                assert_eq!(memory.load(), 1, "joined before its end");
                return None;
            }
            Some((Call::ThreadJoin as u64, [0, u64::MAX, 0]))
        });
        machine(2, memory, vec![(1, short), (0, joiner)]);
    });
}
