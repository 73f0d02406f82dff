//! Steps of a batch: requests join and grow, rows pass through the model, events are handed on.

use alloc::vec::Vec;

use embodios_pool::Pool;

use super::active::{Active, Made};
use super::burst::Burst;
use super::plan::{BURST_PRODUCTS, Plan, Strategy};
use super::request::{Event, Failure, Finish, Outcome, RequestId};
use super::{Batch, schedule};
use crate::forward::Forward;

impl<'m> Batch<'m> {
    /// Makes one step, or a burst where groups are data-parallel and all requests decode: up to 64 steps of some
    /// milliseconds in all. Result: whether there is more to do.
    pub fn step(&mut self, pool: &mut Pool, on_event: &mut dyn FnMut(Event<'_>)) -> bool {
        self.advance(pool, BURST_PRODUCTS, on_event)
    }

    /// As [`Self::step`], with bursts of up to 64 steps whatever they take, unless a request ends: where nothing is to
    /// be submitted or cancelled before that, and events may come late.
    pub fn long_step(&mut self, pool: &mut Pool, on_event: &mut dyn FnMut(Event<'_>)) -> bool {
        self.advance(pool, usize::MAX, on_event)
    }

    /// Makes one step, or a burst of up to so many `products` of a core. An interrupt ends all requests.
    fn advance(&mut self, pool: &mut Pool, products: usize, on_event: &mut dyn FnMut(Event<'_>)) -> bool {
        if pool.interrupted() {
            self.cancel_all(pool, on_event);
            return false;
        }
        self.admit(pool, on_event);
        self.grow(pool, on_event);
        let decoding = self.active.iter().all(Active::is_decoding);
        schedule::take(&mut self.active, self.forward.capacity());
        let workers = pool.workers();
        if let Err(error) = self.room(pool, |batch| batch.forward.prepare(workers)) {
            let failed = Finish::Failed(Failure::OutOfMemory(error));
            while let Some(Active { id, .. }) = self.active.last() {
                let id = *id;
                let outcome = self.end(self.active.len() - 1, failed, pool.platform().now_ns());
                on_event(Event::Finished { id, outcome });
            }
        } else if !self.active.is_empty() {
            let mut chosen = Plan::new(self.model, self.active.len(), workers, self.settings.strategy);
            let burst = Burst::new(match chosen.strategy {
                Strategy::DataParallel { groups } if decoding => {
                    let left = self.active.iter().map(Active::steps_left).min().unwrap_or(1);
                    self.grow_ahead(left.min(chosen.burst(self.model, groups, products)))
                }
                _ => 1,
            });
            let Self { active, forward, groups, blocks, plan, steps, .. } = self;
            let run = |forward: &mut Forward<'m>, active: &mut [Active<'m>], pool: &mut Pool| {
                burst.run(forward, active, pool);
            };
            if let Strategy::DataParallel { groups: count } = chosen.strategy
                && !groups.run(pool, active, count, run)
            {
                chosen = chosen.uneven();
            }
            if chosen.strategy == Strategy::TensorParallel {
                run(forward, active, pool);
            }
            *plan = Some(chosen);
            *steps += burst.steps();
            active.iter_mut().for_each(|active| active.keep(blocks));
            self.report(pool, burst.steps(), on_event);
        }
        self.lengths() != (0, 0)
    }

    /// Ends all requests.
    fn cancel_all(&mut self, pool: &Pool, on_event: &mut dyn FnMut(Event<'_>)) {
        let active = self.active.iter().chain(self.preempted.iter().map(|preempted| &preempted.active));
        let waiting = self.waiting.iter().map(|waiting| waiting.id);
        let ids: Vec<RequestId> = active.map(|active| active.id).chain(waiting).collect();
        for id in ids {
            if let Some(outcome) = self.cancel(pool, id) {
                on_event(Event::Finished { id, outcome });
            }
        }
    }

    /// Hands on the events of some steps, one step after the other, and ends the requests that are over.
    fn report(&mut self, pool: &Pool, steps: usize, on_event: &mut dyn FnMut(Event<'_>)) {
        for step in 0..steps {
            let mut index = 0;
            while let Some(active) = self.active.get(index) {
                let id = active.id;
                let (made, finish) = active.unreported(step);
                if let Some(Made { token, log_probability, likeliest, text }) = made {
                    on_event(Event::Token { id, token, log_probability, likeliest, text });
                }
                match finish {
                    Some(finish) => {
                        let outcome = self.end(index, finish, pool.platform().now_ns());
                        on_event(Event::Finished { id, outcome });
                    }
                    None => index += 1,
                }
            }
        }
        self.active.iter_mut().for_each(Active::reported);
    }

    /// Ends the active request at `index`.
    pub(super) fn end(&mut self, index: usize, finish: Finish, now: u64) -> Outcome {
        let active = self.active.remove(index);
        self.over(active, finish, now)
    }

    /// The outcome of a request that joined once; its blocks are taken back.
    pub(super) fn over(&mut self, active: Active<'_>, finish: Finish, now: u64) -> Outcome {
        let (outcome, sequence) = active.end(finish, now);
        self.blocks.end(sequence);
        self.gone += 1;
        outcome
    }
}
