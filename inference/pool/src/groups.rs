//! Workers split into groups that work on their own, each under one of its workers.

use alloc::sync::Arc;

use super::units::Units;
use super::{Pool, PoolError};
use crate::sync::atomic::AtomicBool;

impl Pool {
    /// Splits the workers into groups of `sizes`, in their order, and calls `job(group, pool)` on the first worker of
    /// each, all at once, with a pool of the group's workers alone. They serve it until the job returns; a group of one
    /// works without the others. Workers in no group rest. Nothing is allocated.
    ///
    /// # Errors
    /// [`PoolError::Groups`] when a size is 0 or there are not so many workers, [`PoolError::InGroup`] inside a
    /// group, [`PoolError::Panicked`] when a job panicked, where panics unwind.
    pub fn groups(
        &mut self,
        sizes: &[usize],
        job: impl Fn(usize, &mut Self) + Sync,
    ) -> Result<(), PoolError> {
        if self.pinned.is_none() {
            return Err(PoolError::InGroup);
        }
        let (wanted, workers) = (sizes.iter().sum(), self.workers());
        if wanted > workers || sizes.contains(&0) {
            return Err(PoolError::Groups { wanted, workers });
        }
        self.shared.teams[1..].iter().for_each(super::team::Team::renew);
        let outcome = self.dispatch(&|worker| {
            let mut first = 0;
            for (group, &size) in sizes.iter().enumerate() {
                if worker == first {
                    job(group, &mut self.group(first, size));
                } else if (first..first + size).contains(&worker) {
                    self.shared.teams[team(first)].serve(
                        &self.shared.policy,
                        worker - first,
                        self.record(worker),
                    );
                }
                first += size;
            }
        });
        outcome.map_err(|panic| PoolError::Panicked { worker: panic.worker, message: panic.message() })
    }

    /// As [`Self::groups`], where group `g` has item `g` of `own` and the elements `bounds[g]..bounds[g + 1]` of
    /// `shared` for itself: calls `job(own, elements, pool)`.
    ///
    /// # Errors
    /// As [`Self::groups`].
    ///
    /// # Panics
    /// When there are not one bound more than groups, in ascending order, or items for too few.
    pub fn groups_at<T: Send, U: Send>(
        &mut self,
        sizes: &[usize],
        own: &mut [T],
        (shared, bounds): (&mut [U], &[usize]),
        job: impl Fn(&mut T, &mut [U], &mut Self) + Sync,
    ) -> Result<(), PoolError> {
        assert!(bounds.len() == sizes.len() + 1 && bounds.is_sorted(), "bounds of the groups' shares");
        assert!(own.len() >= sizes.len(), "an item for every group");
        let (own, shared) = (Units::new(own, 1), Units::new(shared, 1));
        self.groups(sizes, |group, pool| {
            // SAFETY: ascending bounds make disjoint shares; each group runs once.
            let (own, shared) = unsafe {
                (own.slice(&(group..group + 1)), shared.slice(&(bounds[group]..bounds[group + 1])))
            };
            job(&mut own[0], shared, pool);
        })
    }

    /// A pool of `size` workers from `first` on.
    fn group(&self, first: usize, size: usize) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            members: first..first + size,
            team: team(first),
            mode: self.mode,
            budget_ns: self.budget_ns,
            fixed: self.fixed,
            looping: AtomicBool::new(false),
            threads: alloc::vec::Vec::new(),
            pinned: None,
        }
    }
}

/// Index of the team of the group that begins with worker `first`.
const fn team(first: usize) -> usize {
    1 + first
}
