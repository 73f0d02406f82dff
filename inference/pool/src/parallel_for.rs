//! A loop over indices on all workers.

use core::ops::Range;

use super::units::share;
use super::{Mode, Pool, PoolError, Work};
use crate::sync::atomic::AtomicBool;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Empty jobs that measure the cost of a dispatch.
const PROBES: usize = 31;

/// Pieces a worker, when the grain is automatic and workers take work from each other: few enough that taking
/// them costs little, enough that the last ones are short.
const PIECES: usize = 16;

impl Pool {
    /// Calls `body(worker, sub-range)` on the workers, so that every index of `range` is in exactly one sub-range, and
    /// returns when all have returned. An empty range calls nothing.
    ///
    /// Sub-ranges begin at multiples of `grain` from the range's start. With [`Mode::Static`] each worker gets at most
    /// one; with [`Mode::Dynamic`] they are `grain` long (longer where there would be more than 2^32 - 1) and go to
    /// any free worker. A grain of 0 is automatic: the pool chooses, and takes no other worker for a range so short
    /// that handing it out would take longer than the loop at a nanosecond an index (measured when first needed; not in
    /// deterministic mode).
    ///
    /// Called from inside such a body, it runs `body` once, on the calling worker.
    ///
    /// # Errors
    /// [`PoolError::Panicked`] when a body panicked, where panics unwind; the worker's other sub-ranges are
    /// then left out. [`PoolError::Foreign`] when the pool is at work for another thread.
    pub fn parallel_for(
        &self,
        range: Range<usize>,
        grain: usize,
        body: impl Fn(usize, Range<usize>) + Sync,
    ) -> Result<(), PoolError> {
        if range.is_empty() {
            return Ok(());
        }
        if self.looping.swap(true, Acquire) {
            let worker = self.shared.current().map_err(PoolError::Foreign)?;
            body(worker - self.members.start, range);
            return Ok(());
        }
        let _looping = Looping(&self.looping);
        let length = range.len();
        let workers = match grain {
            0 if !self.fixed && length < self.serial_below() => 1,
            _ => self.workers(),
        };
        let grain = match (grain, self.mode) {
            (0, Mode::Static) => 1,
            (0, Mode::Dynamic) => (length / (workers * PIECES)).max(1),
            (grain, _) => grain,
        };
        let outcome = match self.mode {
            _ if workers == 1 => self.serially(&range, &body),
            Mode::Static => self.in_shares(&range, grain, &body),
            Mode::Dynamic => self.by_stealing(&range, grain, &body),
        };
        outcome.map_err(|panic| PoolError::Panicked { worker: panic.worker, message: panic.message() })
    }

    /// The caller alone.
    fn serially(&self, range: &Range<usize>, body: &Body<'_>) -> Result<(), super::Panic> {
        let caught = &self.shared.teams[self.team].caught;
        caught.run(0, || body(0, range.clone()));
        self.record(0).add(&Work { items: range.len() as u64, ranges: 1, ..Work::default() });
        caught.take().map_or(Ok(()), Err)
    }

    /// One run of grains a worker.
    fn in_shares(&self, range: &Range<usize>, grain: usize, body: &Body<'_>) -> Result<(), super::Panic> {
        let (grains, workers) = (range.len().div_ceil(grain), self.workers());
        self.dispatch(&|worker| {
            let part = indices(range, grain, share(grains, worker, workers));
            let items = part.len() as u64;
            if items > 0 {
                body(worker, part);
                self.record(worker).add(&Work { items, ranges: 1, ..Work::default() });
            }
        })
    }

    /// A share of the grains a worker to begin with; a worker that is done takes half of another's rest.
    fn by_stealing(&self, range: &Range<usize>, grain: usize, body: &Body<'_>) -> Result<(), super::Panic> {
        let workers = self.workers();
        let grain = grain.max(range.len().div_ceil(u32::MAX as usize));
        let grains = range.len().div_ceil(grain);
        let members = &self.shared.workers[self.members.clone()];
        for (worker, own) in members.iter().enumerate() {
            let share = share(grains, worker, workers);
            own.queue.fill(share.start as u32..share.end as u32);
        }
        self.dispatch(&|worker| {
            let mut work = Work::default();
            loop {
                while let Some(piece) = members[worker].queue.take() {
                    let part = indices(range, grain, piece as usize..piece as usize + 1);
                    work.items += part.len() as u64;
                    work.ranges += 1;
                    body(worker, part);
                }
                let victims = (worker + 1..workers).chain(0..worker);
                let Some(stolen) = victims.into_iter().find_map(|victim| members[victim].queue.steal())
                else {
                    break;
                };
                work.steals += 1;
                members[worker].queue.fill(stolen);
            }
            self.record(worker).add(&work);
        })
    }

    /// Indices below which the caller alone is no slower: the cost of a dispatch in nanoseconds.
    fn serial_below(&self) -> usize {
        let known = self.shared.dispatch_ns.load(Relaxed);
        if known != 0 || self.workers() == 1 {
            return known as usize;
        }
        let mut times = [0; PROBES];
        for time in &mut times {
            let begun = self.platform().now_ns();
            self.dispatch_all(&|_| {});
            *time = self.platform().now_ns().saturating_sub(begun);
        }
        times.sort_unstable();
        let median = times[PROBES / 2].clamp(1, u32::MAX.into());
        self.shared.dispatch_ns.store(median as u32, Relaxed);
        median as usize
    }
}

type Body<'a> = dyn Fn(usize, Range<usize>) + Sync + 'a;

/// The indices of some grains of a range.
fn indices(range: &Range<usize>, grain: usize, grains: Range<usize>) -> Range<usize> {
    // A bound past the range's end may be past the last number, too.
    let bound = |count: usize| range.start.saturating_add(count.saturating_mul(grain)).min(range.end);
    bound(grains.start)..bound(grains.end)
}

/// Marks the pool as at work.
struct Looping<'p>(&'p AtomicBool);

impl Drop for Looping<'_> {
    fn drop(&mut self) {
        self.0.store(false, Release);
    }
}
