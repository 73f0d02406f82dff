//! Many prompts at once, shared among all cores: requests join and leave between steps, or between runs of a few of
//! them (`leg.rs`).
//!
//! A step takes the latest token of every request that generates, and some tokens of prompts. Prompts go ahead in
//! large pieces while nobody generates, and in small ones beside those who do, so that nobody waits much longer for its
//! next token than when all generate. Every request's tokens and log-probabilities are the same bits as when it is
//! alone.
//!
//! Keys and values lie in pages under one budget; a request joins when its pages and the memory for the rest are there,
//! waits for them while others have them, and none is ever taken from it. Of a prompt's beginning that a request in the
//! batch has too, whole pages are computed once.

mod active;
mod admission;
mod apart;
mod choices;
mod leg;
mod plan;
mod request;
mod schedule;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use embodios_gguf::memory::{OutOfMemory, reserved};
use embodios_kernels::Kernels;
use embodios_pool::Pool;
use embodios_text::tokenizer::Tokenizer;

use crate::cache::{CacheError, Limits, Pages};
use crate::forward::{CHUNK, Forward};
use crate::model::Model;
use crate::prompt;
use active::{Active, Hold, Told, Waiting};
use apart::Groups;
use leg::Leg;
use plan::LEG;
pub use plan::{Plan, Way};
pub use request::{
    Event, Failure, Finish, MOST_LIKELIEST, Outcome, Refusal, Request, RequestId, Status, Times,
};

/// What a batch may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of keys and values.
    pub budget: usize,
    /// Positions of a request: `None` for what the model was trained for.
    pub context: Option<usize>,
    /// Most requests at the same time, up to 64.
    pub active: usize,
    /// Most tokens of a step, up to 64; no fewer than there are requests at the same time.
    pub chunk: usize,
    /// Most requests that wait.
    pub waiting: usize,
    /// How to use the cores; `None` to choose.
    pub way: Option<Way>,
}

impl Settings {
    /// Up to 32 requests at once, and any number that wait.
    #[must_use]
    pub const fn new(budget: usize) -> Self {
        Self { budget, context: None, active: 32, chunk: CHUNK, waiting: usize::MAX, way: None }
    }

    /// Room for nothing but `request`: a batch of one.
    #[must_use]
    pub fn single(model: &Model<'_>, budget: usize, request: &Request) -> Self {
        let positions = request.prompt.len().saturating_add(request.limit);
        let context = positions.clamp(1, model.config.context);
        Self { context: Some(context), active: 1, chunk: CHUNK.min(context), ..Self::new(budget) }
    }
}

/// A batch.
pub struct Batch<'m> {
    model: &'m Model<'m>,
    tokenizer: &'m Tokenizer<'m>,
    settings: Settings,
    context: usize,
    pages: Pages,
    waiting: VecDeque<Waiting>,
    active: Vec<Active<'m>>,
    forward: Forward<'m>,
    kernels: Kernels,
    groups: Groups<'m>,
    next: u64,
    /// Requests that took part and do no more.
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
        let pages = Pages::new(model, settings.budget)?;
        let context = pages.context(Limits { context: settings.context, budget: settings.budget })?;
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
            pages,
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

    /// Makes room for steps on the pool's workers ahead of the first request, which else waits for that when it joins.
    ///
    /// # Errors
    /// When there is no memory for steps that all cores go together; that of groups is dispensable.
    pub fn prepare(&mut self, pool: &Pool) -> Result<(), OutOfMemory> {
        let Self { model, settings, kernels, context, forward, groups, .. } = self;
        let workers = pool.workers();
        forward.prepare(workers)?;
        if let Some(counts) = Plan::groups(model, settings.active, workers, settings.way) {
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
        if let Some(wanted) = request.log_probabilities.filter(|&wanted| wanted > MOST_LIKELIEST) {
            return Err(Refusal::Likeliest { wanted });
        }
        let limits = Limits { context: Some(self.positions(&request)), budget: self.settings.budget };
        self.pages.context(limits).map_err(Refusal::Budget)?;
        if self.waiting.len() >= self.settings.waiting {
            return Err(Refusal::QueueFull { waiting: self.waiting.len() });
        }
        let id = RequestId(self.next);
        self.next += 1;
        let submitted = pool.platform().now_ns();
        self.waiting.push_back(Waiting { id, request, submitted, hold: Hold::Nothing });
        Ok(id)
    }

    /// Ends a request: no token of it is made from now on. Its outcome so far; `None` when there is no such request.
    pub fn cancel(&mut self, pool: &Pool, id: RequestId) -> Option<Outcome> {
        let now = pool.platform().now_ns();
        if let Some(index) = self.active.iter().position(|active| active.id == id) {
            return Some(self.end(index, Finish::Cancelled, now));
        }
        let index = self.waiting.iter().position(|waiting| waiting.id == id)?;
        let Waiting { request, submitted, .. } = self.waiting.remove(index)?;
        Some(Outcome::nothing(Finish::Cancelled, request.prompt.len(), submitted, now))
    }

    /// Where a request stands; `None` when it is over or never was.
    #[must_use]
    pub fn status(&self, id: RequestId) -> Option<Status> {
        let active =
            self.active.iter().find(|active| active.id == id).map(|active| match active.is_generating() {
                true => Status::Generating,
                false => Status::Prefill,
            });
        active.or_else(|| self.waiting.iter().any(|waiting| waiting.id == id).then_some(Status::Queued))
    }

    /// Requests that wait, and those that take part.
    #[must_use]
    pub fn lengths(&self) -> (usize, usize) {
        (self.waiting.len(), self.active.len())
    }

    /// The pages of keys and values.
    #[must_use]
    pub const fn pages(&self) -> &Pages {
        &self.pages
    }

    /// How the last step used the cores.
    #[must_use]
    pub const fn plan(&self) -> Option<Plan> {
        self.plan
    }

    /// Steps so far.
    #[must_use]
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// How often a request that waits was compared with those that take part.
    #[must_use]
    pub const fn comparisons(&self) -> u64 {
        self.comparisons
    }

    /// Goes one step, or a few in a row where cores go apart and everybody generates: up to 64, of so many products as
    /// take a fast core some milliseconds. Result: whether there is more to do.
    pub fn step(&mut self, pool: &mut Pool, tell: &mut dyn FnMut(Event<'_>)) -> bool {
        self.go(pool, LEG, tell)
    }

    /// As [`Self::step`], but up to 64 steps in a row whatever they take, unless a request ends: for who has nothing to
    /// submit or cancel before that, nor minds to be told late of tokens.
    pub fn long_step(&mut self, pool: &mut Pool, tell: &mut dyn FnMut(Event<'_>)) -> bool {
        self.go(pool, usize::MAX, tell)
    }

    /// Goes one step, or where groups go apart and everybody generates, as many as take a core up to so many
    /// `products`. An interrupt ends all requests.
    fn go(&mut self, pool: &mut Pool, products: usize, tell: &mut dyn FnMut(Event<'_>)) -> bool {
        if pool.interrupted() {
            self.cancel_all(pool, tell);
            return false;
        }
        self.admit(pool, tell);
        let generating = self.active.iter().all(Active::is_generating);
        schedule::take(&mut self.active, self.forward.capacity());
        let platform = pool.platform();
        let Self { model, settings, active, forward, groups, plan, steps, .. } = self;
        if let Err(error) = forward.prepare(pool.workers()) {
            let failed = Finish::Failed(Failure::OutOfMemory(error));
            while let Some(Active { id, .. }) = self.active.last() {
                let id = *id;
                let outcome = self.end(self.active.len() - 1, failed, platform.now_ns());
                tell(Event::Finished { id, outcome });
            }
        } else if !active.is_empty() {
            let mut chosen = Plan::new(model, active.len(), pool.workers(), settings.way);
            let leg = Leg::new(match chosen.way {
                Way::Apart { groups } if generating => {
                    let left = active.iter().map(Active::steps_left).min().unwrap_or(1);
                    left.min(chosen.steps(model, groups, products))
                }
                _ => 1,
            });
            let go = |forward: &mut Forward<'m>, active: &mut [Active<'m>], pool: &mut Pool| {
                leg.go(forward, active, pool);
            };
            if let Way::Apart { groups: count } = chosen.way
                && !groups.go(pool, active, count, go)
            {
                chosen = chosen.uneven();
            }
            if chosen.way == Way::Together {
                go(forward, active, pool);
            }
            *plan = Some(chosen);
            *steps += leg.steps();
            self.tell(pool, leg.steps(), tell);
        }
        !self.active.is_empty() || !self.waiting.is_empty()
    }

    /// Ends all requests.
    fn cancel_all(&mut self, pool: &Pool, tell: &mut dyn FnMut(Event<'_>)) {
        let active = self.active.iter().map(|active| active.id);
        let ids: Vec<RequestId> = active.chain(self.waiting.iter().map(|waiting| waiting.id)).collect();
        for id in ids {
            if let Some(outcome) = self.cancel(pool, id) {
                tell(Event::Finished { id, outcome });
            }
        }
    }

    /// Tells of what was made in some steps, one step after the other, and takes leave of requests that are over.
    fn tell(&mut self, pool: &Pool, steps: usize, tell: &mut dyn FnMut(Event<'_>)) {
        for step in 0..steps {
            let mut index = 0;
            while let Some(active) = self.active.get(index) {
                let id = active.id;
                let (told, finish) = active.told(step);
                if let Some(Told { token, log_probability, likeliest, text }) = told {
                    tell(Event::Token { id, token, log_probability, likeliest, text });
                }
                match finish {
                    Some(finish) => {
                        let outcome = self.end(index, finish, pool.platform().now_ns());
                        tell(Event::Finished { id, outcome });
                    }
                    None => index += 1,
                }
            }
        }
        self.active.iter_mut().for_each(Active::all_told);
    }

    /// Runs a request to its end, beside those that the batch has.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn run_one(
        &mut self,
        pool: &mut Pool,
        request: Request,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<Outcome, Refusal> {
        let wanted = self.submit(pool, request)?;
        let mut result = None;
        while result.is_none() {
            self.step(pool, &mut |event| match event {
                Event::Finished { id, outcome } if id == wanted => result = Some(outcome),
                event => tell(event),
            });
        }
        Ok(result.expect("the loop ends with it"))
    }

    /// Runs a whole list of requests to their ends; what each one came to, in order.
    pub fn run(&mut self, pool: &mut Pool, requests: impl IntoIterator<Item = Request>) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut places = Vec::new();
        for request in requests {
            let now = pool.platform().now_ns();
            let place = outcomes.len();
            outcomes.push(None);
            let prompt_tokens = request.prompt.len();
            match self.submit(pool, request) {
                Ok(id) => places.push((id, place)),
                Err(refusal) => {
                    outcomes[place] =
                        Some(Outcome::nothing(Finish::Refused(refusal), prompt_tokens, now, now))
                }
            }
        }
        let mut tell = |event: Event<'_>| {
            if let Event::Finished { id, outcome } = event
                && let Ok(index) = places.binary_search_by_key(&id, |&(id, _)| id)
            {
                outcomes[places[index].1] = Some(outcome);
            }
        };
        while self.long_step(pool, &mut tell) {}
        outcomes.into_iter().flatten().collect()
    }

    /// Ends an active request, and takes its pages back.
    fn end(&mut self, index: usize, finish: Finish, now: u64) -> Outcome {
        let (outcome, sequence) = self.active.remove(index).end(finish, now);
        self.pages.end(sequence);
        self.ended += 1;
        outcome
    }
}
