//! Continuous batching: requests join and leave between steps, or between bursts of a few steps (`burst.rs`).
//!
//! A step takes the latest token of every request in decode, and tokens of prompts in prefill. Prefill goes ahead in
//! large chunks while no request decodes, and in small ones beside those that do, so that the time per output token
//! stays about what it is when all decode. Every request's tokens and log-probabilities are the same bits in any
//! batch, as in a batch of one: batch invariance.
//!
//! Keys and values lie in KV blocks under one budget. A request joins when its blocks and the memory for the rest are
//! there, waits while others have them, and is never preempted. The whole blocks of a prefix that a request in the
//! batch has too are shared.

mod active;
mod admission;
mod burst;
mod choices;
mod data_parallel;
mod plan;
mod request;
mod run;
mod schedule;
mod settings;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use embodios_gguf::memory::{OutOfMemory, reserved};
use embodios_kernels::Kernels;
use embodios_pool::Pool;
use embodios_text::tokenizer::Tokenizer;

use crate::cache::{BlockPool, CacheError, Limits};
use crate::forward::{CHUNK, Forward};
use crate::model::Model;
use crate::prompt::{self, PromptError};
use active::{Active, Hold, Made, Waiting};
use burst::Burst;
use data_parallel::Groups;
use plan::BURST_PRODUCTS;
pub use plan::{Plan, Strategy};
pub use request::{
    Event, Failure, Finish, MOST_LIKELIEST, Outcome, Refusal, Request, RequestId, Status, Times,
};
pub use settings::Settings;

/// A batch.
pub struct Batch<'m> {
    model: &'m Model<'m>,
    tokenizer: &'m Tokenizer<'m>,
    settings: Settings,
    context: usize,
    blocks: BlockPool,
    waiting: VecDeque<Waiting>,
    active: Vec<Active<'m>>,
    forward: Forward<'m>,
    kernels: Kernels,
    groups: Groups<'m>,
    next: u64,
    /// Active requests that have ended.
    ended: u64,
    comparisons: u64,
    plan: Option<Plan>,
    steps: usize,
}

impl<'m> Batch<'m> {
    /// An empty batch.
    ///
    /// # Errors
    /// When the context is not the model's or does not fit the budget, or there is no memory for the buffers.
    pub fn new(
        model: &'m Model<'m>,
        tokenizer: &'m Tokenizer<'m>,
        kernels: Kernels,
        mut settings: Settings,
    ) -> Result<Self, CacheError> {
        settings.active = settings.active.clamp(1, CHUNK);
        settings.chunk = settings.chunk.clamp(settings.active, CHUNK);
        let blocks = BlockPool::new(model, settings.budget)?;
        let context = blocks.context(Limits { context: settings.context, budget: settings.budget })?;
        let build = || {
            let forward = Forward::new(model, kernels, settings.chunk, settings.active, context)?;
            Ok((forward, reserved(settings.active, "requests")?))
        };
        let (forward, active) = build().map_err(CacheError::OutOfMemory)?;
        Ok(Self {
            model,
            tokenizer,
            settings,
            context,
            blocks,
            waiting: VecDeque::new(),
            active,
            forward,
            kernels,
            groups: Groups::new(),
            next: 0,
            ended: 0,
            comparisons: 0,
            plan: None,
            steps: 0,
        })
    }

    /// Allocates what steps on the pool's workers need before the first request joins, which would wait for that.
    ///
    /// # Errors
    /// When there is no memory for tensor-parallel steps; data-parallel ones are dispensable.
    pub fn prepare(&mut self, pool: &Pool) -> Result<(), OutOfMemory> {
        let Self { model, settings, kernels, context, forward, groups, .. } = self;
        let workers = pool.workers();
        forward.prepare(workers)?;
        if let Some(counts) = Plan::groups(model, settings.active, workers, settings.strategy) {
            groups.prepare(model, *kernels, *context, counts, workers, settings.active);
        }
        Ok(())
    }

    /// Takes a request; it joins at one of the next steps.
    ///
    /// # Errors
    /// [`Refusal`]; the batch is as before.
    pub fn submit(&mut self, pool: &Pool, request: Request) -> Result<RequestId, Refusal> {
        prompt::check(&request.prompt, self.model.config.vocabulary, 0, self.context)
            .map_err(Refusal::Prompt)?;
        let vocabulary = self.model.config.vocabulary;
        if let Some(&(token, _)) = request.bias.iter().find(|&&(token, _)| token as usize >= vocabulary) {
            return Err(Refusal::Prompt(PromptError::NoSuchToken { token, vocabulary }));
        }
        if let Some(wanted) = request.log_probabilities.filter(|&wanted| wanted > MOST_LIKELIEST) {
            return Err(Refusal::Likeliest { wanted });
        }
        let limits = Limits { context: Some(self.positions(&request)), budget: self.settings.budget };
        self.blocks.context(limits).map_err(Refusal::Budget)?;
        if self.waiting.len() >= self.settings.waiting {
            return Err(Refusal::QueueFull { waiting: self.waiting.len() });
        }
        let id = RequestId(self.next);
        self.next += 1;
        let submitted = pool.platform().now_ns();
        self.waiting.push_back(Waiting { id, request, submitted, hold: Hold::Nothing });
        Ok(id)
    }

    /// Ends a request: no token of it is made from now on. Result: its outcome so far; `None` when there is none.
    pub fn cancel(&mut self, pool: &Pool, id: RequestId) -> Option<Outcome> {
        let now = pool.platform().now_ns();
        if let Some(index) = self.active.iter().position(|active| active.id == id) {
            return Some(self.end(index, Finish::Cancelled, now));
        }
        let index = self.waiting.iter().position(|waiting| waiting.id == id)?;
        let Waiting { request, submitted, .. } = self.waiting.remove(index)?;
        Some(Outcome::nothing(Finish::Cancelled, request.prompt.len(), submitted, now))
    }

    /// The state of a request; `None` when it is over or never was.
    #[must_use]
    pub fn status(&self, id: RequestId) -> Option<Status> {
        let active =
            self.active.iter().find(|active| active.id == id).map(|active| match active.is_decoding() {
                true => Status::Decode,
                false => Status::Prefill,
            });
        active.or_else(|| self.waiting.iter().any(|waiting| waiting.id == id).then_some(Status::Queued))
    }

    /// Numbers of waiting and active requests.
    #[must_use]
    pub fn lengths(&self) -> (usize, usize) {
        (self.waiting.len(), self.active.len())
    }

    /// Most positions of a request.
    #[must_use]
    pub const fn context(&self) -> usize {
        self.context
    }

    /// The KV blocks.
    #[must_use]
    pub const fn blocks(&self) -> &BlockPool {
        &self.blocks
    }

    /// The plan of the last step.
    #[must_use]
    pub const fn plan(&self) -> Option<Plan> {
        self.plan
    }

    /// Steps so far.
    #[must_use]
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// Comparisons of a waiting request with the active ones so far.
    #[must_use]
    pub const fn comparisons(&self) -> u64 {
        self.comparisons
    }

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
        let decoding = self.active.iter().all(Active::is_decoding);
        schedule::take(&mut self.active, self.forward.capacity());
        let platform = pool.platform();
        let Self { model, settings, active, forward, groups, plan, steps, .. } = self;
        if let Err(error) = forward.prepare(pool.workers()) {
            let failed = Finish::Failed(Failure::OutOfMemory(error));
            while let Some(Active { id, .. }) = self.active.last() {
                let id = *id;
                let outcome = self.end(self.active.len() - 1, failed, platform.now_ns());
                on_event(Event::Finished { id, outcome });
            }
        } else if !active.is_empty() {
            let mut chosen = Plan::new(model, active.len(), pool.workers(), settings.strategy);
            let burst = Burst::new(match chosen.strategy {
                Strategy::DataParallel { groups } if decoding => {
                    let left = active.iter().map(Active::steps_left).min().unwrap_or(1);
                    left.min(chosen.burst(model, groups, products))
                }
                _ => 1,
            });
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
            self.report(pool, burst.steps(), on_event);
        }
        !self.active.is_empty() || !self.waiting.is_empty()
    }

    /// Ends all requests.
    fn cancel_all(&mut self, pool: &Pool, on_event: &mut dyn FnMut(Event<'_>)) {
        let active = self.active.iter().map(|active| active.id);
        let ids: Vec<RequestId> = active.chain(self.waiting.iter().map(|waiting| waiting.id)).collect();
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

    /// Ends an active request, and takes its blocks back.
    fn end(&mut self, index: usize, finish: Finish, now: u64) -> Outcome {
        let (outcome, sequence) = self.active.remove(index).end(finish, now);
        self.blocks.end(sequence);
        self.ended += 1;
        outcome
    }
}
