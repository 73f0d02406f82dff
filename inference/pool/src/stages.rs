//! Several splits in one dispatch, one after the other: each may read the results of the one before.
//!
//! Between two of them the workers synchronise at a barrier, which costs less than a join and another fork.

use super::Pool;
use super::units::{Units, share};
use crate::platform::Mark;

/// Stages that the workers do one after the other, the last of which makes elements `T`. Nothing is done before
/// [`Self::run`].
#[must_use = "stages do nothing until they are run"]
pub struct Stages<'a, T, J> {
    pool: &'a Pool,
    /// A worker's part of all stages so far.
    job: J,
    made: Made<'a, T>,
}

/// Results of a stage, for the next one.
enum Made<'a, T> {
    /// By all workers for all.
    Together(Units<'a, T>),
    /// By each worker for itself, the unit of its number.
    Apart(Units<'a, T>),
}

impl Pool {
    /// Begins as [`Self::split_both`] does. The next stage reads `first`.
    ///
    /// # Panics
    /// When the numbers of units differ.
    pub fn stage_both<'a, T: Send + Sync, U: Send>(
        &'a mut self,
        (first, first_unit): (&'a mut [T], usize),
        (second, second_unit): (&'a mut [U], usize),
        part: impl Fn(usize, &mut [T], &mut [U]) + Sync,
    ) -> Stages<'a, T, impl Fn(usize) + Sync> {
        let (pool, workers) = (&*self, self.workers());
        let (first, second) = (Units::new(first, first_unit), Units::new(second, second_unit));
        assert_eq!(first.count(), second.count(), "units of both slices");
        let job = move |worker: usize| {
            pool.take(worker, share(first.count(), worker, workers), |share| {
                // SAFETY: shares of different workers do not overlap, and each is taken once.
                let (first, second) = unsafe { (first.slice(&share), second.slice(&share)) };
                part(share.start, first, second);
            });
        };
        Stages { pool, job, made: Made::Together(first) }
    }

    /// Begins with a split into given shares: worker `w` has the units `bounds[w]..bounds[w + 1]` of `out`, and its own
    /// run of `scratch_unit` elements of `scratch`: calls `part(index of the first unit, units, scratch)` where the
    /// share is not empty. The next stage reads `out`.
    ///
    /// # Panics
    /// When there are not one bound more than workers, in ascending order, or less scratch.
    pub fn stage_at<'a, T: Send + Sync, U: Send>(
        &'a mut self,
        (out, unit, bounds): (&'a mut [T], usize, &'a [usize]),
        (scratch, scratch_unit): (&'a mut [U], usize),
        part: impl Fn(usize, &mut [T], &mut [U]) + Sync,
    ) -> Stages<'a, T, impl Fn(usize) + Sync> {
        let pool = &*self;
        assert!(bounds.len() == pool.workers() + 1 && bounds.is_sorted(), "bounds of the workers' shares");
        let (out, scratch) = (Units::new(out, unit), Units::new(scratch, scratch_unit));
        assert!(scratch.count() >= pool.workers(), "scratch for every worker");
        let job = move |worker: usize| {
            pool.take(worker, bounds[worker]..bounds[worker + 1], |share| {
                // SAFETY: ascending bounds make disjoint shares, and each is taken once.
                let (units, scratch) = unsafe { (out.slice(&share), scratch.slice(&(worker..worker + 1))) };
                part(share.start, units, scratch);
            });
        };
        Stages { pool, job, made: Made::Together(out) }
    }

    /// Waits inside a job for all workers of the pool.
    fn synchronise(&self, worker: usize) {
        let (policy, members) = (&self.shared.policy, self.workers() as u32);
        self.shared.teams[self.team].barrier.wait(policy, members, self.record(worker), || {
            // One phase ends and the next begins; groups stay within one phase of the whole pool.
            if self.pinned.is_some() {
                policy.platform.mark(Mark::Phase);
                policy.platform.mark(Mark::Phase);
            }
        });
    }
}

impl<'a, T: Send + Sync, J: Fn(usize) + Sync> Stages<'a, T, J> {
    /// Goes on, where `out` is split as by [`Pool::split`]: calls `part(what was made, index of the run's first
    /// element, run)`. Where an earlier part has panicked, its results are as it left them.
    pub fn then<U: Send + Sync>(
        self,
        out: &'a mut [U],
        unit: usize,
        part: impl Fn(&[T], usize, &mut [U]) + Sync,
    ) -> Stages<'a, U, impl Fn(usize) + Sync> {
        let (pool, workers, units) = (self.pool, self.pool.workers(), Units::new(out, unit));
        let job = move |worker: usize| {
            let made = self.work(worker);
            pool.take(worker, share(units.count(), worker, workers), |share| {
                // SAFETY: shares of different workers do not overlap, and each is taken once.
                part(made, share.start * unit, unsafe { units.slice(&share) });
            });
        };
        Stages { pool, job, made: Made::Together(units) }
    }

    /// Goes on with the first `count` of `items`, which are shared out: calls `part(what was made, index, item)`. The
    /// next stage reads these. When there is only one, each worker makes it for itself, in the item of its number,
    /// which takes less time than waiting for another that does.
    ///
    /// # Panics
    /// When there are fewer items, or one is to be made and there are fewer than workers.
    pub fn then_each<U: Send + Sync>(
        self,
        items: &'a mut [U],
        count: usize,
        part: impl Fn(&[T], usize, &mut U) + Sync,
    ) -> Stages<'a, U, impl Fn(usize) + Sync> {
        let (pool, workers) = (self.pool, self.pool.workers());
        let alone = count == 1;
        let units = Units::new(&mut items[..if alone { workers } else { count }], 1);
        let job = move |worker: usize| {
            let made = self.work(worker);
            pool.take(worker, share(units.count(), worker, workers), |share| {
                // SAFETY: shares of different workers do not overlap, and each is taken once.
                let items = unsafe { units.slice(&share) };
                let first = if alone { 0 } else { share.start };
                (first..).zip(items).for_each(|(index, item)| part(made, index, item));
            });
        };
        Stages { pool, job, made: if alone { Made::Apart(units) } else { Made::Together(units) } }
    }

    /// Does all stages, on all workers, and returns when all have finished. A panic of one goes on here, where panics
    /// unwind, after the other workers have gone through all stages.
    pub fn run(self) {
        self.pool.dispatch_all(&self.job);
    }

    /// Does a worker's parts of all stages so far, and returns the elements that it may read then. A panic in them is
    /// noted, and the worker goes on, since the others wait for it.
    fn work(&self, worker: usize) -> &[T] {
        self.pool.shared.teams[self.pool.team].caught.run(worker, || (self.job)(worker));
        match &self.made {
            Made::Together(units) => {
                self.pool.synchronise(worker);
                // SAFETY: all workers have returned from the stage that took parts of it, and no later one does.
                unsafe { units.whole() }
            }
            // SAFETY: only this worker has taken this unit, and has returned from the stage that did.
            Made::Apart(units) => unsafe { units.slice(&(worker..worker + 1)) },
        }
    }
}
