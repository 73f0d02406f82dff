//! One worker a core, and the hand-out of a job's parts to all of them.
//!
//! A job is a function of the worker's index; the caller is worker 0. [`Pool::run`], the `split` family and [`Stages`]
//! cut a job by the number of workers alone, never by time: the model's forward pass uses nothing else.
//! [`Pool::parallel_for`] can also let workers take work from each other. The way of a job to the workers is [`team`]'s
//! business.
//!
//! The system below is behind the [`platform::Platform`] trait: threads, waiting and waking, time.
#![cfg_attr(not(any(test, feature = "std")), no_std)]

extern crate alloc;

mod barrier;
mod caught;
mod counters;
mod deterministic;
mod epoch;
mod error;
mod groups;
mod histogram;
#[cfg(all(test, shuttle))]
mod model;
mod parallel_for;
mod pinned;
pub mod platform;
mod queue;
mod record;
mod shared;
mod split;
mod stages;
mod statistics;
pub mod sync;
mod team;
mod thread;
mod units;
mod wait_policy;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use crate::platform::{CoreSet, Mark, Platform, PlatformError, ThreadId};
use crate::sync::atomic::AtomicBool;
use caught::Panic;
pub use deterministic::Deterministic;
pub use error::PoolError;
pub use histogram::Summary;
use pinned::Pinned;
use record::Record;
pub use record::Work;
use shared::Shared;
pub use stages::Stages;
pub use statistics::{Monitor, WorkerStatistics};
use team::Job;
pub use thread::start_thread;
pub use units::share;

/// Microseconds of polling before sleeping, when nothing else is said: longer than the caller is busy alone between two
/// tokens, so that workers stay awake from the first token to the last and sleep soon after it.
pub const DEFAULT_SPIN: u32 = 200;

/// Settings of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// Microseconds of polling before a worker sleeps, 0 for one poll.
    pub spin: u32,
    /// Division of the range of [`Pool::parallel_for`].
    pub mode: Mode,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { spin: DEFAULT_SPIN, mode: Mode::Static }
    }
}

/// Division of the range of [`Pool::parallel_for`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One run of indices a worker, the same whenever range, grain and number of workers are.
    Static,
    /// Workers that are done take work from those that are not.
    Dynamic,
}

/// The workers, or a group of them. They end when it is dropped.
pub struct Pool {
    shared: Arc<Shared>,
    /// The workers of this pool among the shared ones. The first is the caller.
    members: Range<usize>,
    /// Index of their team.
    team: usize,
    mode: Mode,
    /// Nanoseconds that a job may take without being counted as a miss.
    budget_ns: u64,
    /// Whether the whole pool is in deterministic mode at present.
    fixed: bool,
    /// [`Self::parallel_for`] is at work.
    looping: AtomicBool,
    /// The workers' threads, without the caller's; none of a group's own.
    threads: Vec<ThreadId>,
    /// The caller's place; `None` in a group.
    pinned: Option<Pinned>,
}

impl Pool {
    /// Starts a worker on each core of the set but the first, which the caller is moved to until the pool is dropped.
    ///
    /// # Errors
    /// When the set is empty or holds a core that is not online, or the platform refuses a thread; those already
    /// started end.
    pub fn start(
        platform: &'static dyn Platform,
        cores: &CoreSet,
        settings: PoolSettings,
    ) -> Result<Self, PlatformError> {
        let first = check(platform, cores)?;
        let pinned = Pinned::new(platform, first)?;
        let shared = Arc::new(Shared::new(platform, cores, settings.spin));
        let mut pool = Self {
            members: 0..1,
            team: 0,
            mode: settings.mode,
            budget_ns: u64::MAX,
            fixed: false,
            looping: AtomicBool::new(false),
            threads: Vec::new(),
            pinned: Some(pinned),
            shared,
        };
        pool.shared.workers[0].set_thread(platform.current_thread());
        for index in 1..cores.len() {
            let thread = shared::start_worker(&pool.shared, index)?;
            pool.shared.workers[index].set_thread(thread);
            pool.threads.push(thread);
            pool.members.end += 1;
        }
        Ok(pool)
    }

    /// Moves to another set of cores: starts workers there, then ends those of before. The statistics begin anew.
    ///
    /// # Errors
    /// As [`Self::start`], and then nothing has changed; [`PoolError::InGroup`] in a group,
    /// [`PoolError::Deterministic`] in that mode.
    pub fn resize(&mut self, cores: &CoreSet) -> Result<(), PoolError> {
        if self.pinned.is_none() {
            return Err(PoolError::InGroup);
        }
        if self.fixed {
            return Err(PoolError::Deterministic);
        }
        let mut next = Self::start(self.platform(), cores, PoolSettings { spin: 0, mode: self.mode })?;
        next.shared.policy.set_spin_ns(self.shared.policy.spin_ns());
        if let (Some(later), Some(earlier)) = (&mut next.pinned, &mut self.pinned) {
            later.take_over(earlier);
        }
        *self = next;
        Ok(())
    }

    /// Number of workers, the caller included.
    #[must_use]
    pub const fn workers(&self) -> usize {
        self.members.end - self.members.start
    }

    /// The core of each worker.
    #[must_use]
    pub fn cores(&self) -> &[usize] {
        &self.shared.cores[self.members.clone()]
    }

    /// The thread of each worker.
    pub fn threads(&self) -> impl Iterator<Item = ThreadId> {
        self.shared.workers[self.members.clone()].iter().map(shared::Worker::thread)
    }

    /// The platform that runs the workers.
    #[must_use]
    pub fn platform(&self) -> &'static dyn Platform {
        self.shared.policy.platform
    }

    /// Whether workers poll at all before they sleep.
    #[must_use]
    pub fn spins(&self) -> bool {
        self.shared.policy.spin_ns() > 0
    }

    /// Whether there was an interrupt that is not acknowledged: batches end then.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        self.shared.policy.interrupted()
    }

    /// Acknowledges so many of [`Platform::interrupts`].
    pub fn acknowledge(&self, interrupts: u32) {
        self.shared.policy.acknowledge(interrupts);
    }

    /// Sets the division of the range of [`Self::parallel_for`] from now on. Without effect in deterministic mode.
    pub const fn set_mode(&mut self, mode: Mode) {
        if !self.fixed {
            self.mode = mode;
        }
    }

    /// Calls `job` on every worker with its index and returns when all have returned. A panic of one goes on
    /// here, where panics unwind.
    pub fn run(&mut self, job: &(dyn Fn(usize) + Sync)) {
        self.dispatch_all(&|worker| {
            job(worker);
            self.record(worker).add(&Work { items: 1, ranges: 1, ..Work::default() });
        });
    }

    /// The record of one of this pool's workers.
    fn record(&self, worker: usize) -> &Record {
        &self.shared.workers[self.members.start + worker].record
    }

    /// As [`Self::dispatch`], but a panic goes on here, where panics unwind.
    fn dispatch_all(&self, job: Job<'_>) {
        if let Err(panic) = self.dispatch(job) {
            panic.resume();
        }
    }

    /// Hands `job` to all workers, does the caller's part, waits for the others and keeps the records (a group of one
    /// counts only). Only one may be under way: callers hold `&mut self` or `looping`.
    fn dispatch(&self, job: Job<'_>) -> Result<(), Panic> {
        let Shared { policy, teams, .. } = &*self.shared;
        let (team, record) = (&teams[self.team], self.record(0));
        // Groups fork and join within one phase of the whole pool.
        let whole = self.pinned.is_some();
        if !whole && self.workers() == 1 {
            // All of it is the whole pool's job, whose time is taken; looking at the clock for each part costs a small
            // model more than handing it out.
            team.caught.run(0, || job(0));
            record.add(&Work { dispatches: 1, ..Work::default() });
            return team.caught.take().map_or(Ok(()), Err);
        }
        let begun = policy.platform.now_ns();
        if whole {
            policy.platform.mark(Mark::Phase);
        }
        // SAFETY: the caller of this function alone is at work with this team, and joins below.
        let forked = unsafe { team.fork(policy, self.workers() as u32 - 1, begun, Some(job)) };
        // Before its first job, and between two, the caller of a group works on the whole pool's job.
        let alone = record.settle(begun);
        team.caught.run(0, || job(0));
        let own = policy.platform.now_ns();
        let working_ns = record.settle(own) + if whole { 0 } else { alone };
        let joined = forked.join(own);
        if whole {
            policy.platform.mark(Mark::Phase);
        }
        let end = if self.workers() == 1 { own } else { policy.platform.now_ns() };
        let took = end.saturating_sub(begun);
        record.add(&Work {
            working_ns,
            waiting_ns: record.settle(end).saturating_sub(joined.asleep_ns),
            dispatches: 1,
            budget_misses: u64::from(took > self.budget_ns),
            ..joined
        });
        record.dispatches.record(took);
        team.caught.take().map_or(Ok(()), Err)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let Shared { policy, teams, .. } = &*self.shared;
        let others = self.workers() as u32 - 1;
        // SAFETY: no other thread has the pool, so no job is under way.
        drop(unsafe { teams[self.team].fork(policy, others, policy.platform.now_ns(), None) });
        for &thread in &self.threads {
            let joined = policy.platform.join_thread(thread);
            debug_assert_eq!(joined, Ok(()), "worker thread {thread}");
        }
    }
}

/// The first core of the set, when all are online.
fn check(platform: &dyn Platform, cores: &CoreSet) -> Result<usize, PlatformError> {
    let online = |core: usize| platform.cores().get(core).is_some_and(|core| core.online);
    match cores.iter().find(|&core| !online(core)) {
        Some(core) => Err(PlatformError::Offline(core)),
        None => cores.iter().next().ok_or(PlatformError::NoCores),
    }
}
