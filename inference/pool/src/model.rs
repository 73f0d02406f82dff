//! The pool's protocols under a model checker, which runs them under many schedules of their threads:
//! `RUSTFLAGS="--cfg shuttle" cargo test --release -p embodios-pool --lib model`.
//!
//! Every access to an atomic is a point where another thread may go on. Accesses are sequentially consistent there:
//! weaker orderings are for Miri and the thread sanitizer to judge.

use alloc::sync::Arc;
use alloc::vec::Vec;
use std::collections::HashMap;

use shuttle::sync::{Condvar, Mutex};
use shuttle::thread::{self, JoinHandle};

use super::counters::Counters;
use super::queue::Queue;
use super::{Mode, Pool, PoolSettings};
use crate::platform::{Core, CoreCounters, CoreSet, Counter, FULL_CAPACITY, Memory, Platform};
use crate::platform::{PlatformError, Power, ThreadId};
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};

/// Schedules tried, at random and with few changes of thread (Burckhardt et al., "A randomized scheduler with
/// probabilistic guarantees of finding bugs", ASPLOS 2010).
const SCHEDULES: usize = 3_000;
const CHANGES: usize = 4;

fn check(model: fn()) {
    shuttle::check_random(model, SCHEDULES);
    shuttle::check_pct(model, SCHEDULES, CHANGES);
}

/// Threads of the model checker, with a futex of a lock and a condition.
#[derive(Default)]
struct Model {
    cores: Vec<Core>,
    threads: Mutex<HashMap<u64, JoinHandle<()>>>,
    started: AtomicU64,
    futex: Mutex<()>,
    woken: Condvar,
}

impl Model {
    fn leak(cores: usize) -> &'static Self {
        let core = Core {
            hardware_id: 0,
            online: true,
            package: 0,
            physical: 0,
            capacity: FULL_CAPACITY,
            housekeeping: false,
        };
        Box::leak(Box::new(Self { cores: (0..cores).map(|_| core).collect(), ..Self::default() }))
    }
}

impl Platform for Model {
    fn cores(&self) -> &[Core] {
        &self.cores
    }
    fn start_thread(
        &self,
        _cores: &CoreSet,
        entry: extern "C" fn(usize),
        argument: usize,
    ) -> Result<ThreadId, PlatformError> {
        let id = self.started.fetch_add(1, Relaxed) + 1;
        self.threads.lock().unwrap().insert(id, thread::spawn(move || entry(argument)));
        Ok(ThreadId(id))
    }
    fn join_thread(&self, thread: ThreadId) -> Result<(), PlatformError> {
        let handle = self.threads.lock().unwrap().remove(&thread.0);
        handle.ok_or(PlatformError::NoSuchThread(thread))?.join().unwrap();
        Ok(())
    }
    fn current_thread(&self) -> ThreadId {
        ThreadId(0)
    }
    fn set_affinity(&self, _thread: ThreadId, _cores: &CoreSet) -> Result<(), PlatformError> {
        Ok(())
    }
    fn affinity(&self, _thread: ThreadId) -> Result<CoreSet, PlatformError> {
        Ok(CoreSet::new())
    }
    fn reserve_cores(&self, _cores: &CoreSet) -> Result<(), PlatformError> {
        Ok(())
    }
    fn release_cores(&self) {}
    fn yield_now(&self) {
        thread::yield_now();
    }
    fn sleep_ns(&self, _nanoseconds: u64) {
        thread::yield_now();
    }
    fn wait(&self, word: &AtomicU32, expected: u32, _deadline: u64) {
        let lock = self.futex.lock().unwrap();
        if word.load(Relaxed) == expected {
            drop(self.woken.wait(lock).unwrap());
        }
    }
    fn wake(&self, _word: &AtomicU32, _count: u32) {
        let _lock = self.futex.lock().unwrap();
        self.woken.notify_all();
    }
    fn now_ns(&self) -> u64 {
        0
    }
    fn current_core(&self) -> usize {
        0
    }
    fn write(&self, _bytes: &[u8]) {}
    fn read(&self, _buffer: &mut [u8]) -> usize {
        0
    }
    fn memory(&self) -> Memory {
        Memory { total: 0, free: 0, engine: 0, idle: 0 }
    }
    fn core_counters(&self, _core: usize) -> CoreCounters {
        CoreCounters::default()
    }
    fn counters(&self, _report: &mut dyn FnMut(Counter)) {}
    fn self_test(&self, _wakes: u32) -> (u32, u32) {
        (0, 0)
    }
    fn power(&self, _action: Power) -> PlatformError {
        panic!("a model has no power")
    }
}

/// A pool whose workers look once and sleep.
fn pool(workers: usize, mode: Mode) -> Pool {
    Pool::start(Model::leak(workers), &CoreSet::first(workers), PoolSettings { spin: 0, mode }).unwrap()
}

fn counts(length: usize) -> Vec<AtomicUsize> {
    (0..length).map(|_| AtomicUsize::new(0)).collect()
}

/// Fork and join: every job reaches every worker, no wake-up is lost, and the workers end. A lost wake-up is a
/// deadlock, which the checker reports.
#[test]
fn jobs_reach_all_workers() {
    check(|| {
        let mut pool = pool(3, Mode::Static);
        for _ in 0..2 {
            let calls = counts(3);
            pool.run(&|worker| {
                calls[worker].fetch_add(1, Relaxed);
            });
            assert!(calls.iter().all(|calls| calls.load(Relaxed) == 1));
        }
    });
}

#[test]
fn every_index_once_by_stealing() {
    check(|| {
        let pool = pool(3, Mode::Dynamic);
        let done = counts(7);
        pool.parallel_for(0..7, 1, |_, part| {
            part.for_each(|index| {
                done[index].fetch_add(1, Relaxed);
            });
        })
        .unwrap();
        assert!(done.iter().all(|done| done.load(Relaxed) == 1));
    });
}

#[test]
fn groups_end_before_the_call_returns() {
    check(|| {
        let mut pool = pool(4, Mode::Static);
        let calls = counts(4);
        pool.groups(&[2, 2], |group, pool| {
            pool.run(&|worker| {
                calls[2 * group + worker].fetch_add(1, Relaxed);
            });
        })
        .unwrap();
        assert!(calls.iter().all(|calls| calls.load(Relaxed) == 1));
    });
}

/// No worker begins a stage before all have ended the one before, also where some have no part of it.
#[test]
fn stages_follow_each_other() {
    check(|| {
        let mut pool = pool(3, Mode::Static);
        for count in [1, 2] {
            let (mut first, mut nothing, mut items, mut out) = ([0; 3], [(); 3], [0; 3], [0; 3]);
            pool.stage_both((&mut first, 1), (&mut nothing, 1), |_, first, _| first.fill(1))
                .then_each(&mut items, count, |first, _, item| *item = first.iter().sum())
                .then(&mut out, 1, |items, _, out| out.fill(items.iter().sum()))
                .run();
            assert_eq!(out, [3 * count; 3]);
        }
    });
}

#[test]
fn groups_go_through_stages_apart() {
    check(|| {
        let mut pool = pool(4, Mode::Static);
        pool.groups(&[2, 2], |_, pool| {
            let (mut first, mut nothing, mut out) = ([0; 2], [(); 2], [0; 2]);
            pool.stage_both((&mut first, 1), (&mut nothing, 1), |_, first, _| first.fill(1))
                .then(&mut out, 1, |first, _, out| out.fill(first.iter().sum()))
                .run();
            assert_eq!(out, [2; 2]);
        })
        .unwrap();
    });
}

/// Every schedule of an owner and a thief over three pieces.
#[test]
fn a_queue_gives_each_piece_once() {
    let model = || {
        let queue = Arc::new(Queue::default());
        queue.fill(0..3);
        let thief = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.steal().map_or(0, |stolen| stolen.len()))
        };
        let mut taken = 0;
        while queue.take().is_some() {
            taken += 1;
        }
        assert_eq!(taken + thief.join().unwrap(), 3);
    };
    shuttle::check_dfs(model, None);
}

/// Words that are read together were written together.
#[test]
fn counters_are_read_as_of_one_moment() {
    check(|| {
        let counters = Arc::new(Counters::<2>::default());
        let writer = {
            let counters = Arc::clone(&counters);
            thread::spawn(move || {
                for _ in 0..3 {
                    counters.update(|words| {
                        words[0].add(1);
                        words[1].add(10);
                    });
                }
            })
        };
        let [ones, tens] = counters.read();
        assert_eq!(tens, 10 * ones);
        writer.join().unwrap();
        assert_eq!(counters.read(), [3, 30]);
    });
}
