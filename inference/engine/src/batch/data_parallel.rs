//! Data-parallel steps: groups of cores take some of the sequences each.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use embodios_gguf::memory::{OutOfMemory, reserved};
use embodios_kernels::Kernels;
use embodios_pool::{Pool, PoolError};

use super::plan::largest;
use crate::forward::{CHUNK, Forward, Slot};
use crate::model::Model;

/// The groups' forward passes and shares.
#[derive(Debug)]
pub(super) struct Groups<'m> {
    forwards: Vec<Forward<'m>>,
    /// Most sequences that a group can take.
    sequences: usize,
    /// Workers for whose groups there was no memory.
    given_up: usize,
    sizes: Vec<usize>,
    bounds: Vec<usize>,
}

impl<'m> Groups<'m> {
    /// No groups yet.
    pub(super) const fn new() -> Self {
        Self { forwards: Vec::new(), sequences: 0, given_up: 0, sizes: Vec::new(), bounds: Vec::new() }
    }

    /// Allocates what any of these numbers of groups of `workers` workers need for up to `sequences` sequences; steps
    /// of no more allocate nothing. Where there is no memory for it there are no groups: steps are tensor-parallel
    /// then.
    pub(super) fn prepare(
        &mut self,
        model: &'m Model<'m>,
        kernels: Kernels,
        context: usize,
        counts: RangeInclusive<usize>,
        workers: usize,
        sequences: usize,
    ) {
        let prepared = workers != self.given_up
            && self.allocate(model, kernels, context, counts, workers, sequences).is_ok();
        if !prepared {
            self.give_up(workers);
        }
    }

    /// Gives the memory of all groups back, and does without groups of so many workers. Result: whether there was any.
    pub(super) fn give_up(&mut self, workers: usize) -> bool {
        let had = !self.forwards.is_empty();
        *self = Self { given_up: workers, ..Self::new() };
        had
    }

    fn allocate(
        &mut self,
        model: &'m Model<'m>,
        kernels: Kernels,
        context: usize,
        counts: RangeInclusive<usize>,
        workers: usize,
        sequences: usize,
    ) -> Result<(), OutOfMemory> {
        // The fewer groups, the more rows, sequences and workers each.
        let (fewest, groups) = counts.into_inner();
        let (rows, sequences) = (largest(CHUNK, fewest), largest(sequences, fewest));
        if self.sizes.capacity() < groups {
            self.sizes = reserved(groups, "groups")?;
            self.bounds = reserved(groups + 1, "groups")?;
        }
        if self.sequences < sequences || self.forwards.iter().any(|forward| forward.capacity() < rows) {
            self.forwards.clear();
            self.sequences = sequences;
        }
        while self.forwards.len() < groups {
            self.forwards.push(Forward::new(model, kernels, rows, self.sequences, context)?);
        }
        self.forwards.iter_mut().try_for_each(|forward| forward.prepare(workers.div_ceil(fewest)))
    }

    /// Calls `run` in each of `groups` groups with its forward pass, its share of the slots, and its workers. Result:
    /// whether it did; not where a group would have more than its share, or the pool is a group itself.
    pub(super) fn run<P: AsRef<Slot> + Send>(
        &mut self,
        pool: &mut Pool,
        slots: &mut [P],
        groups: usize,
        run: impl Fn(&mut Forward<'m>, &mut [P], &mut Pool) + Sync,
    ) -> bool {
        let Self { forwards, sequences, sizes, bounds, .. } = self;
        let rows = |slots: &[P]| slots.iter().map(|slot| slot.as_ref().tokens.len()).sum::<usize>();
        let (workers, total) = (pool.workers(), rows(slots));
        if forwards.len() < groups {
            return false;
        }
        sizes.clear();
        bounds.clear();
        bounds.push(0);
        let mut before = 0;
        for group in 1..=groups {
            sizes.push(workers * group / groups - workers * (group - 1) / groups);
            let mut end = bounds[group - 1];
            while end < slots.len() && (group == groups || before < total * group / groups) {
                before += rows(&slots[end..=end]);
                end += 1;
            }
            bounds.push(end);
        }
        let prepared = forwards.iter_mut().zip(&*sizes).all(|(forward, &size)| forward.prepare(size).is_ok());
        let fits = |slots: &[P], forward: &Forward<'m>| {
            let count = slots.iter().filter(|slot| !slot.as_ref().tokens.is_empty()).count();
            count <= *sequences && rows(slots) <= largest(total, groups).min(forward.capacity())
        };
        let shares = bounds.array_windows().map(|&[start, end]| &slots[start..end]);
        if !prepared || !shares.zip(&*forwards).all(|(slots, forward)| fits(slots, forward)) {
            return false;
        }
        match pool.groups_at(sizes, forwards, (slots, bounds), run) {
            Ok(()) => true,
            Err(PoolError::InGroup) => false,
            Err(error) => panic!("steps in groups: {error}"),
        }
    }
}
