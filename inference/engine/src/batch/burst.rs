//! A decode burst: steps in a row between which no request joins, leaves or is cancelled.
//!
//! Data-parallel groups synchronise after a burst only, so that none waits for another at each step. A burst ends early
//! where a request does, since others may take its place.

use embodios_pool::Pool;
use embodios_pool::sync::atomic::Ordering::Relaxed;
use embodios_pool::sync::atomic::{AtomicBool, AtomicUsize};

use super::active::Active;
use crate::forward::Forward;

/// Steps of the longest burst: so many tokens of a request may wait for their events.
pub(super) const MOST_STEPS: usize = 64;

/// A burst of all groups.
#[derive(Debug)]
pub(super) struct Burst {
    /// Steps that it has at most.
    most: usize,
    /// Some request has ended before that.
    over: AtomicBool,
    /// Steps of the group that made most.
    steps: AtomicUsize,
}

impl Burst {
    /// A burst of up to `most` steps, each of which takes every sequence's latest token; the tokens of the first step
    /// are set already, and may be others.
    pub(super) const fn new(most: usize) -> Self {
        Self { most, over: AtomicBool::new(false), steps: AtomicUsize::new(0) }
    }

    /// Runs it for a group's sequences on the group's workers.
    pub(super) fn run(&self, forward: &mut Forward<'_>, active: &mut [Active<'_>], pool: &mut Pool) {
        let platform = pool.platform();
        for step in 1..=self.most {
            forward.step(pool, active);
            pool.split(active, 1, |_, active| active.iter_mut().for_each(|active| active.choose(platform)));
            self.steps.fetch_max(step, Relaxed);
            // Where all end with the burst, the first one stops no other.
            if step == self.most {
                return;
            }
            if active.iter().any(Active::is_over) {
                self.over.store(true, Relaxed);
            }
            if self.over.load(Relaxed) {
                return;
            }
            active.iter_mut().for_each(Active::take_latest);
        }
    }

    /// Steps made.
    pub(super) fn steps(&self) -> usize {
        self.steps.load(Relaxed)
    }
}
