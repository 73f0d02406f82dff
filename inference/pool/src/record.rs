//! Record of a worker's work, kept by the worker, readable by any thread at any time.

use super::counters::Counters;
use super::histogram::Histogram;
use crate::sync::atomic::AtomicU64;
use crate::sync::atomic::Ordering::Relaxed;

/// Work of a worker since the start or the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Nanoseconds inside jobs.
    pub working_ns: u64,
    /// Nanoseconds of polling for a job's begin or end.
    pub waiting_ns: u64,
    /// Nanoseconds asleep for the same.
    pub asleep_ns: u64,
    /// Jobs taken part in.
    pub dispatches: u64,
    /// Indices or units worked on.
    pub items: u64,
    /// Runs of consecutive items.
    pub ranges: u64,
    /// Times that work was taken from another worker.
    pub steals: u64,
    /// Wake-ups sent to other workers.
    pub wakeups_sent: u64,
    /// Times woken.
    pub wakeups_received: u64,
    /// Jobs that took longer from hand-out to join than the budget, counted by the worker that handed them out; none of
    /// a group of one.
    pub budget_misses: u64,
}

impl Work {
    /// Both together.
    #[must_use]
    pub const fn and(&self, other: &Self) -> Self {
        Self {
            working_ns: self.working_ns + other.working_ns,
            waiting_ns: self.waiting_ns + other.waiting_ns,
            asleep_ns: self.asleep_ns + other.asleep_ns,
            dispatches: self.dispatches + other.dispatches,
            items: self.items + other.items,
            ranges: self.ranges + other.ranges,
            steals: self.steals + other.steals,
            wakeups_sent: self.wakeups_sent + other.wakeups_sent,
            wakeups_received: self.wakeups_received + other.wakeups_received,
            budget_misses: self.budget_misses + other.budget_misses,
        }
    }

    /// Every figure with its name.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u64); 10] {
        [
            ("working_ns", self.working_ns),
            ("waiting_ns", self.waiting_ns),
            ("asleep_ns", self.asleep_ns),
            ("dispatches", self.dispatches),
            ("items", self.items),
            ("ranges", self.ranges),
            ("steals", self.steals),
            ("wakeups_sent", self.wakeups_sent),
            ("wakeups_received", self.wakeups_received),
            ("budget_misses", self.budget_misses),
        ]
    }
}

/// One worker's record; written by its thread only, or while it has nothing to do.
#[derive(Debug, Default)]
pub struct Record {
    /// The figures of [`Work`] in the order of [`Work::named`].
    work: Counters<10>,
    /// Until when the worker's time is accounted for, in nanoseconds of the platform; 0 before it begins.
    accounted: AtomicU64,
    /// Times from hand-out to join, of the jobs that this worker handed out, but for a group of one.
    pub dispatches: Histogram,
}

impl Record {
    /// Adds `work`.
    pub fn add(&self, work: &Work) {
        self.work.update(|words| {
            for (index, (_, value)) in work.named().into_iter().enumerate() {
                words[index].add(value);
            }
        });
    }

    /// The work so far, as of one moment.
    pub fn read(&self) -> Work {
        let [
            working_ns,
            waiting_ns,
            asleep_ns,
            dispatches,
            items,
            ranges,
            steals,
            wakeups_sent,
            wakeups_received,
            budget_misses,
        ] = self.work.read();
        Work {
            working_ns,
            waiting_ns,
            asleep_ns,
            dispatches,
            items,
            ranges,
            steals,
            wakeups_sent,
            wakeups_received,
            budget_misses,
        }
    }

    /// Nanoseconds from the last such call to `now`, which the caller has to account for.
    pub fn settle(&self, now: u64) -> u64 {
        let before = self.accounted.load(Relaxed);
        self.accounted.store(now.max(before), Relaxed);
        if before == 0 { 0 } else { now.saturating_sub(before) }
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.work.clear();
        self.dispatches.reset();
    }
}
