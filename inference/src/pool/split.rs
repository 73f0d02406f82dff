//! Slices shared out to all workers, a run of whole units each.

use core::ops::Range;

use super::units::{Units, share};
use super::{Pool, Work};

impl Pool {
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
        let slices = slices.map(|slice| Units::new(slice, unit));
        let count = slices.iter().map(Units::count).sum();
        self.share_evenly(count, &|share| {
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
        let (first, second) = (Units::new(first, first_unit), Units::new(second, second_unit));
        assert_eq!(first.count(), second.count(), "units of both slices");
        self.share_evenly(first.count(), &|share| {
            // SAFETY: shares of different workers do not overlap, and each is taken once.
            let (first, second) = unsafe { (first.slice(&share), second.slice(&share)) };
            part(share.start, first, second);
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
        self.share_out(busy, &|worker| bounds[worker]..bounds[worker + 1], &|worker, share| {
            // SAFETY: ascending bounds make disjoint shares, and each is taken once.
            let (units, scratch) = unsafe { (out.slice(&share), scratch.slice(&(worker..worker + 1))) };
            part(share.start, units, scratch);
        });
    }

    /// As [`Self::share_out`], with equal shares of `0..count`.
    fn share_evenly(&mut self, count: usize, job: &(dyn Fn(Range<usize>) + Sync)) {
        let workers = self.workers();
        self.share_out(count, &|worker| share(count, worker, workers), &|_, share| job(share));
    }

    /// Calls `job(worker, share)` on each worker, unless its share is empty. When no more than one is `busy`, the
    /// caller does it all, without the others.
    fn share_out(
        &mut self,
        busy: usize,
        share_of: &(dyn Fn(usize) -> Range<usize> + Sync),
        job: &(dyn Fn(usize, Range<usize>) + Sync),
    ) {
        let part = |worker: usize, on: usize| {
            let share = share_of(worker);
            let items = share.len() as u64;
            if items > 0 {
                job(worker, share);
                self.record(on).add(&Work { items, ranges: 1, ..Work::default() });
            }
        };
        if busy <= 1 {
            (0..self.workers()).for_each(|worker| part(worker, 0));
        } else if let Err(panic) = self.dispatch(&|worker| part(worker, worker)) {
            panic.resume();
        }
    }
}
