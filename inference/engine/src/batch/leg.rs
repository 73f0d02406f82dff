//! A leg: the steps that sequences go in a row before anybody looks who joins, leaves or is cancelled.
//!
//! Groups of cores meet after a leg only, so that none waits for another at each step. A leg ends early where a request
//! does, since others may take its place.

use embodios_pool::Pool;
use embodios_pool::sync::atomic::Ordering::Relaxed;
use embodios_pool::sync::atomic::{AtomicBool, AtomicUsize};

use super::active::Active;
use crate::forward::Forward;

/// Steps of the longest leg: so many tokens of a request may wait to be told of.
pub(super) const MOST_STEPS: usize = 64;

/// A leg of all groups.
#[derive(Debug)]
pub(super) struct Leg {
    /// Steps that it has at most.
    most: usize,
    /// Some request is over sooner than that.
    over: AtomicBool,
    /// Steps that the group went which went most.
    steps: AtomicUsize,
}

impl Leg {
    /// A leg of up to `most` steps, for each of which every sequence takes its latest token; those of the first step
    /// are set already, and may be others.
    pub(super) const fn new(most: usize) -> Self {
        Self { most, over: AtomicBool::new(false), steps: AtomicUsize::new(0) }
    }

    /// Goes it with a group's sequences on its workers.
    pub(super) fn go(&self, forward: &mut Forward<'_>, active: &mut [Active<'_>], pool: &mut Pool) {
        let platform = pool.platform();
        for step in 1..=self.most {
            forward.step(pool, active);
            pool.split(active, 1, |_, active| active.iter_mut().for_each(|active| active.choose(platform)));
            self.steps.fetch_max(step, Relaxed);
            // Where all end with the leg, who is first stops nobody.
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

    /// Steps gone.
    pub(super) fn steps(&self) -> usize {
        self.steps.load(Relaxed)
    }
}
