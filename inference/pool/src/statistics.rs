//! Statistics of the workers, read while they work or not.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Pool;
use super::histogram::{Histogram, Summary};
use super::record::Work;
use super::shared::Shared;

/// One worker and its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerStatistics {
    /// The worker's core.
    pub core: usize,
    /// Its work.
    pub work: Work,
}

/// Reads a pool's statistics from any thread, at any time.
#[derive(Clone)]
pub struct Monitor(Arc<Shared>);

impl Monitor {
    /// Every worker; each one's figures are as of one moment.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerStatistics> {
        self.0
            .cores
            .iter()
            .zip(0..)
            .map(|(&core, index)| WorkerStatistics { core, work: self.worker(index) })
            .collect()
    }

    /// One of them, without an allocation.
    ///
    /// # Panics
    /// When there is no such worker.
    #[must_use]
    pub fn worker(&self, index: usize) -> Work {
        self.0.workers[index].record.read()
    }

    /// Times from a job's hand-out to its join. A group of one takes none: all of its time is a job of the whole pool.
    #[must_use]
    pub fn dispatches(&self) -> Summary {
        Histogram::summary(self.0.workers.iter().map(|worker| &worker.record.dispatches))
    }
}

impl Pool {
    /// Reads the statistics of the whole pool.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor(Arc::clone(&self.shared))
    }

    /// Begins this pool's statistics anew.
    pub fn reset_statistics(&mut self) {
        let workers = &self.shared.workers[self.members.clone()];
        workers.iter().for_each(|worker| worker.record.reset());
    }
}
