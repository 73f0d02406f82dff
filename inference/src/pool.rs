//! One worker a core, and the hand-out of a job's parts to all of them.
//!
//! A job is a function of the worker's index. Handing one out touches shared memory only: workers look
//! for it in a short, bounded spin and then sleep on a futex word, so that an idle core halts. The
//! caller is worker 0. How a job is split never depends on time, only on the number of workers.
//!
//! No wake-up is lost: a worker announces its sleep in `sleepers` before it waits for `epoch` to
//! change, and the caller changes `epoch` before it looks at `sleepers`, all sequentially consistent;
//! so either the caller sees the sleeper and wakes it, or the wait sees the new epoch. The way back
//! (`busy` and `caller_sleeps`) is the same with the roles exchanged.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::marker::PhantomData;
use core::ops::Range;
use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::{AtomicBool, AtomicU32};

use crate::platform::{CoreSet, Platform, PlatformError, ThreadId};

/// Microseconds that a word is looked at before sleeping, when nothing else is said: longer than the caller is busy
/// alone between two tokens, so that workers stay awake from the first token to the last and sleep soon after it.
pub const DEFAULT_SPIN: u32 = 200;

/// How a pool behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Microseconds that a word is looked at before sleeping, 0 for one look.
    pub spin: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { spin: DEFAULT_SPIN }
    }
}

/// Looks between two questions for the time.
const LOOKS: u32 = 64;

/// A job: called once on every worker, with its index.
type Job<'a> = &'a (dyn Fn(usize) + Sync);

struct Shared {
    platform: &'static dyn Platform,
    spin: u32,
    /// Number of the current job; the workers' futex word.
    epoch: AtomicU32,
    /// Workers that are about to wait for `epoch` to change, or do.
    sleepers: AtomicU32,
    /// Workers still at the current job; the caller's futex word.
    busy: AtomicU32,
    /// The caller is about to wait for `busy` to change, or does.
    caller_sleeps: AtomicBool,
    /// The current job; `None` ends the worker.
    job: UnsafeCell<Option<Job<'static>>>,
}

// SAFETY: all fields but `job` are `Sync`. `job` is written by the caller only while no worker is busy, and
// read by workers only between the change of `epoch` and their decrement of `busy`, both of which order
// the accesses. A job itself is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; a job may be called from any thread.
unsafe impl Send for Shared {}

/// The workers. They end when it is dropped.
pub struct Pool {
    shared: Arc<Shared>,
    /// All workers but the caller.
    threads: Vec<ThreadId>,
}

/// What a worker's thread is started with.
struct Start {
    shared: Arc<Shared>,
    index: usize,
}

impl Pool {
    /// Starts a worker on each core of the set but the first, which is the caller's.
    ///
    /// # Errors
    /// When the platform refuses a thread; those already started end.
    pub fn start(
        platform: &'static dyn Platform,
        cores: &CoreSet,
        settings: Settings,
    ) -> Result<Self, PlatformError> {
        if cores.is_empty() {
            return Err(PlatformError::NoCores);
        }
        let shared = Arc::new(Shared {
            platform,
            spin: settings.spin,
            epoch: AtomicU32::new(0),
            sleepers: AtomicU32::new(0),
            busy: AtomicU32::new(0),
            caller_sleeps: AtomicBool::new(false),
            job: UnsafeCell::new(None),
        });
        let mut pool = Self { shared, threads: Vec::new() };
        for (index, core) in cores.iter().enumerate().skip(1) {
            let start = Box::into_raw(Box::new(Start { shared: Arc::clone(&pool.shared), index }));
            match platform.start_thread(&CoreSet::from_iter([core]), work, start.expose_provenance()) {
                Ok(thread) => pool.threads.push(thread),
                Err(error) => {
                    // SAFETY: made from a box above; no thread was started that would take it.
                    drop(unsafe { Box::from_raw(start) });
                    return Err(error);
                }
            }
        }
        Ok(pool)
    }

    /// Number of workers, the caller included.
    #[must_use]
    pub const fn workers(&self) -> usize {
        self.threads.len() + 1
    }

    /// The platform that runs the workers.
    #[must_use]
    pub fn platform(&self) -> &'static dyn Platform {
        self.shared.platform
    }

    /// Calls `job` on every worker with its index and returns when all have returned.
    pub fn run(&mut self, job: &(dyn Fn(usize) + Sync)) {
        let _join = self.hand_out(Some(job));
        job(0);
    }

    /// Splits `out` into one run of whole units a worker (the last unit may be short) and calls
    /// `part(index of the run's first element, run)` on each, all at once.
    pub fn split<T: Send>(&mut self, out: &mut [T], unit: usize, part: impl Fn(usize, &mut [T]) + Sync) {
        self.split_each([out], unit, |_, first, run| part(first, run));
    }

    /// As [`Self::split`] for the units of several slices, shared out as if they were one: calls
    /// `part(index of the slice, index of the run's first element, run)`.
    pub fn split_each<T: Send, const N: usize>(
        &mut self,
        slices: [&mut [T]; N],
        unit: usize,
        part: impl Fn(usize, usize, &mut [T]) + Sync,
    ) {
        let workers = self.workers();
        let slices = slices.map(|slice| Units::new(slice, unit));
        let count = slices.iter().map(Units::count).sum();
        self.run_units(count, &|worker| {
            let share = share(count, worker, workers);
            let mut before = 0;
            for (index, slice) in slices.iter().enumerate() {
                let within = |bound: usize| bound.clamp(before, before + slice.count()) - before;
                let units = within(share.start)..within(share.end);
                before += slice.count();
                if !units.is_empty() {
                    // SAFETY: shares of different workers do not overlap, and each is taken once.
                    part(index, units.start * unit, unsafe { slice.slice(&units) });
                }
            }
        });
    }

    /// As [`Self::split`] for two slices of equally many units: calls `part(index of the first unit,
    /// run of the first, run of the second)`.
    ///
    /// # Panics
    /// When the numbers of units differ.
    pub fn split_both<T: Send, U: Send>(
        &mut self,
        (first, first_unit): (&mut [T], usize),
        (second, second_unit): (&mut [U], usize),
        part: impl Fn(usize, &mut [T], &mut [U]) + Sync,
    ) {
        let workers = self.workers();
        let (first, second) = (Units::new(first, first_unit), Units::new(second, second_unit));
        assert_eq!(first.count(), second.count(), "units of both slices");
        self.run_units(first.count(), &|worker| {
            let share = share(first.count(), worker, workers);
            if !share.is_empty() {
                // SAFETY: shares of different workers do not overlap, and each is taken once.
                let (first, second) = unsafe { (first.slice(&share), second.slice(&share)) };
                part(share.start, first, second);
            }
        });
    }

    /// Gives worker `w` the units `bounds[w]..bounds[w + 1]` of `out`, and its own run of `scratch_unit` elements of
    /// `scratch`: calls `part(index of the first unit, units, scratch)` on those whose share is not empty.
    ///
    /// # Panics
    /// When there are not one bound more than workers, in ascending order.
    pub fn split_at<T: Send, U: Send>(
        &mut self,
        (out, unit, bounds): (&mut [T], usize, &[usize]),
        (scratch, scratch_unit): (&mut [U], usize),
        part: impl Fn(usize, &mut [T], &mut [U]) + Sync,
    ) {
        assert!(bounds.len() == self.workers() + 1 && bounds.is_sorted(), "bounds of the workers' shares");
        let (out, scratch) = (Units::new(out, unit), Units::new(scratch, scratch_unit));
        assert!(scratch.count() >= self.workers(), "scratch for every worker");
        let busy = bounds.array_windows().filter(|[start, end]| start < end).count();
        self.run_units(busy, &|worker| {
            let share = bounds[worker]..bounds[worker + 1];
            if !share.is_empty() {
                // SAFETY: ascending bounds make disjoint shares, and each is taken once.
                let (units, scratch) = unsafe { (out.slice(&share), scratch.slice(&(worker..worker + 1))) };
                part(share.start, units, scratch);
            }
        });
    }

    /// Runs a job that shares out `count` units. One unit is the caller's, without the others.
    fn run_units(&mut self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        if count > 1 {
            self.run(job);
        } else {
            (0..self.workers()).for_each(job);
        }
    }

    /// Gives `job` to all workers but the caller. The result waits for them when dropped, also while
    /// a panic of the caller's own part unwinds, so that the job outlives its use.
    fn hand_out<'a>(&'a mut self, job: Option<Job<'a>>) -> Join<'a> {
        let shared = &*self.shared;
        let others = self.threads.len() as u32;
        if others > 0 {
            // SAFETY: only the lifetime changes; `Join` ends no earlier than the last use, and borrows the job.
            let job = unsafe { core::mem::transmute::<Option<Job<'a>>, Option<Job<'static>>>(job) };
            // SAFETY: no worker is busy: the last `Join` has waited, and `&mut self` allows no second one.
            unsafe { *shared.job.get() = job };
            shared.busy.store(others, SeqCst);
            shared.epoch.fetch_add(1, SeqCst);
            if shared.sleepers.load(SeqCst) > 0 {
                shared.platform.wake(&shared.epoch, others);
            }
        }
        Join { shared }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        drop(self.hand_out(None));
        for &thread in &self.threads {
            let joined = self.shared.platform.join_thread(thread);
            debug_assert_eq!(joined, Ok(()), "worker thread {thread}");
        }
    }
}

/// Waits for the workers.
struct Join<'a> {
    shared: &'a Shared,
}

impl Drop for Join<'_> {
    fn drop(&mut self) {
        let Shared { platform, spin, busy, caller_sleeps, .. } = self.shared;
        if spin_until(*platform, *spin, || busy.load(SeqCst) == 0) {
            return;
        }
        caller_sleeps.store(true, SeqCst);
        loop {
            match busy.load(SeqCst) {
                0 => break,
                still => platform.wait(busy, still),
            }
        }
        caller_sleeps.store(false, SeqCst);
    }
}

/// A worker's thread: takes every job once until there is none. `argument` is a leaked [`Start`].
extern "C" fn work(argument: usize) {
    let start = core::ptr::with_exposed_provenance_mut::<Start>(argument);
    // SAFETY: `Pool::start` leaked it for this thread alone.
    let start = unsafe { Box::from_raw(start) };
    let Shared { platform, spin, epoch, sleepers, busy, caller_sleeps, job } = &*start.shared;
    let mut seen = 0;
    loop {
        if !spin_until(*platform, *spin, || epoch.load(SeqCst) != seen) {
            sleepers.fetch_add(1, SeqCst);
            while epoch.load(SeqCst) == seen {
                platform.wait(epoch, seen);
            }
            sleepers.fetch_sub(1, SeqCst);
        }
        seen = seen.wrapping_add(1);
        // SAFETY: the epoch changed, and the caller leaves the job alone until `busy` is 0.
        let job = unsafe { *job.get() };
        if let Some(job) = job {
            job(start.index);
        }
        if busy.fetch_sub(1, SeqCst) == 1 && caller_sleeps.load(SeqCst) {
            platform.wake(busy, 1);
        }
        if job.is_none() {
            return;
        }
    }
}

/// Looks at `done` for up to `budget` microseconds. Result: whether it came true.
fn spin_until(platform: &dyn Platform, budget: u32, done: impl Fn() -> bool) -> bool {
    if budget == 0 || done() {
        return done();
    }
    let start = platform.now_ns();
    while platform.now_ns() - start < u64::from(budget) * 1_000 {
        for _ in 0..LOOKS {
            if done() {
                return true;
            }
            spin_loop();
        }
    }
    done()
}

/// The part of `count` units that belongs to `worker` of `workers`.
fn share(count: usize, worker: usize, workers: usize) -> Range<usize> {
    count * worker / workers..count * (worker + 1) / workers
}

/// A slice that workers take disjoint parts of.
struct Units<'a, T> {
    base: *mut T,
    length: usize,
    unit: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: it only hands out exclusive parts of a slice whose elements may be sent.
unsafe impl<T: Send> Sync for Units<'_, T> {}

impl<'a, T> Units<'a, T> {
    fn new(slice: &'a mut [T], unit: usize) -> Self {
        Self { base: slice.as_mut_ptr(), length: slice.len(), unit, borrow: PhantomData }
    }

    const fn count(&self) -> usize {
        self.length.div_ceil(self.unit)
    }

    /// The elements of units `share`.
    ///
    /// # Safety
    /// No part may be handed out twice at the same time.
    #[expect(clippy::mut_from_ref, reason = "the parts are disjoint")]
    unsafe fn slice(&self, share: &Range<usize>) -> &mut [T] {
        let start = (share.start * self.unit).min(self.length);
        let end = (share.end * self.unit).min(self.length);
        // SAFETY: inside the borrowed slice, and nobody else has this part.
        unsafe { core::slice::from_raw_parts_mut(self.base.add(start), end - start) }
    }
}
