//! What a worker has done, kept by the worker, readable by anyone at any time.

use super::counters::Counters;
use super::histogram::Histogram;
use crate::sync::atomic::AtomicU64;
use crate::sync::atomic::Ordering::Relaxed;

const WORKING: usize = 0;
const WAITING: usize = 1;
const ASLEEP: usize = 2;
const DISPATCHES: usize = 3;
const ITEMS: usize = 4;
const RANGES: usize = 5;
const STEALS: usize = 6;
const SENT: usize = 7;
const RECEIVED: usize = 8;
const MISSES: usize = 9;

/// What a worker has done since the start or the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Nanoseconds inside jobs.
    pub working_ns: u64,
    /// Nanoseconds of looking for a job's begin or end.
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
    /// Jobs that took longer from hand-out to join than the budget, counted by who handed them out.
    pub budget_misses: u64,
}

/// One worker's record; written by its thread only, or while it has nothing to do.
#[derive(Debug, Default)]
pub struct Record {
    work: Counters<10>,
    /// Until when the worker's time is accounted for, in nanoseconds of the platform; 0 before it begins.
    accounted: AtomicU64,
    /// Times from hand-out to join, of the jobs that this worker handed out.
    pub dispatches: Histogram,
}

impl Record {
    /// Adds `work`.
    pub fn add(&self, work: &Work) {
        self.work.update(|words| {
            for (index, value) in [
                (WORKING, work.working_ns),
                (WAITING, work.waiting_ns),
                (ASLEEP, work.asleep_ns),
                (DISPATCHES, work.dispatches),
                (ITEMS, work.items),
                (RANGES, work.ranges),
                (STEALS, work.steals),
                (SENT, work.wakeups_sent),
                (RECEIVED, work.wakeups_received),
                (MISSES, work.budget_misses),
            ] {
                words.add(index, value);
            }
        });
    }

    /// What was done, as of one moment.
    pub fn read(&self) -> Work {
        let words = self.work.read();
        Work {
            working_ns: words[WORKING],
            waiting_ns: words[WAITING],
            asleep_ns: words[ASLEEP],
            dispatches: words[DISPATCHES],
            items: words[ITEMS],
            ranges: words[RANGES],
            steals: words[STEALS],
            wakeups_sent: words[SENT],
            wakeups_received: words[RECEIVED],
            budget_misses: words[MISSES],
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
        self.work.update(|words| words.clear());
        self.dispatches.reset();
    }
}
