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

    /// As [`Self::split_each`], but each slice is shared out by itself, so that a worker has the same part of all.
    pub fn split_alike<T: Send, const N: usize>(
        &mut self,
        slices: [&mut [T]; N],
        unit: usize,
        part: impl Fn(usize, usize, &mut [T]) + Sync,
    ) {
        let slices = slices.map(|slice| Units::new(slice, unit));
        let workers = self.workers();
        self.dispatch_all(&|worker| {
            for (index, slice) in slices.iter().enumerate() {
                self.take(worker, share(slice.count(), worker, workers), |share| {
                    // SAFETY: shares of different workers do not overlap, and each is taken once.
                    part(index, share.start * unit, unsafe { slice.slice(&share) });
                });
            }
        });
    }

    /// As [`Self::split`] for the same units of all of up to `MOST` slices of one length: calls
    /// `part(index of the runs' first element, a run of each)`.
    ///
    /// # Panics
    /// When lengths differ, or there are more slices.
    pub fn split_across<'a, T: Send + 'a, const MOST: usize>(
        &mut self,
        slices: impl Iterator<Item = &'a mut [T]>,
        unit: usize,
        part: impl Fn(usize, &mut [&mut [T]]) + Sync,
    ) {
        let mut units = [const { None }; MOST];
        let mut count = 0;
        for slice in slices {
            units[count] = Some(Units::new(slice, unit));
            count += 1;
        }
        let units = &units[..count];
        let Some(Some(first)) = units.first() else { return };
        assert!(units.iter().flatten().all(|units| units.len() == first.len()), "slices of one length");
        self.share_evenly(first.count(), &|share| {
            let mut runs = [const { None }; MOST];
            for (run, units) in runs.iter_mut().zip(units.iter().flatten()) {
                // SAFETY: shares of different workers do not overlap, and each is taken once of each slice.
                *run = Some(unsafe { units.slice(&share) });
            }
            let mut runs = runs.map(Option::unwrap_or_default);
            part(share.start * unit, &mut runs[..count]);
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

    /// Calls `job(share)` on each worker with its equal share of `0..count`, unless that is empty. When there is no
    /// more than one, the caller does it, without the others.
    fn share_evenly(&mut self, count: usize, job: &(dyn Fn(Range<usize>) + Sync)) {
        let workers = self.workers();
        if count <= 1 {
            self.take(0, 0..count, job);
        } else {
            self.dispatch_all(&|worker| self.take(worker, share(count, worker, workers), job));
        }
    }

    /// Calls `part(share)` on worker `worker`, unless its share is empty.
    pub(super) fn take(&self, worker: usize, share: Range<usize>, part: impl FnOnce(Range<usize>)) {
        let items = share.len() as u64;
        if items > 0 {
            part(share);
            self.record(worker).add(&Work { items, ranges: 1, ..Work::default() });
        }
    }
}
