//! Continuous batching: requests join and leave between steps, or between bursts of a few steps (`burst.rs`).
//!
//! A step takes the latest token of every request in decode, and tokens of prompts in prefill. Prefill goes ahead in
//! large chunks while no request decodes, and in small ones beside those that do, so that the time per output token
//! stays about what it is when all decode. Every request's tokens and log-probabilities are the same bits in any
//! batch, as in a batch of one: batch invariance.
//!
//! Keys and values lie in KV blocks under one budget. A request joins when the blocks of its prompt and the memory for
//! the rest are there, and takes blocks as it grows (`growth.rs`). Where none is left, who joined last is preempted and
//! goes on later. Full blocks are kept as prefixes: requests that begin alike share them, and they are retained when a
//! request ends, until their place is wanted.

mod active;
mod admission;
mod buffers;
mod burst;
mod choices;
mod data_parallel;
mod growth;
mod plan;
mod request;
mod run;
mod schedule;
mod settings;
mod steps;
mod text;
mod waiting;

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
use active::Active;
use data_parallel::Groups;
pub use plan::{Plan, Strategy};
pub use request::{
    Event, Failure, Finish, MOST_LIKELIEST, Outcome, Refusal, Request, RequestId, Status, Times,
};
pub use settings::Settings;
use waiting::{Hold, Preempted, Waiting};

/// Bytes that stay free when a request joins or grows: for its answer, and what else allocates without asking.
const SPARE: usize = 512 << 10;

/// A batch.
pub struct Batch<'m> {
    model: &'m Model<'m>,
    tokenizer: &'m Tokenizer<'m>,
    settings: Settings,
    context: usize,
    blocks: BlockPool,
    waiting: VecDeque<Waiting>,
    active: Vec<Active<'m>>,
    /// Requests that gave their blocks up, who had joined last first.
    preempted: Vec<Preempted<'m>>,
    forward: Forward<'m>,
    kernels: Kernels,
    groups: Groups<'m>,
    next: u64,
    /// Times that a request ended or was preempted, so that blocks or memory came back.
    gone: u64,
    preemptions: u64,
    /// Tokens of prompts that were looked for among the prefixes, and those that were found.
    looked_for: u64,
    found: u64,
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
        let blocks = BlockPool::new(model, settings.budget)?.with_spare(SPARE);
        let context = blocks.context(Limits { context: settings.context, budget: settings.budget })?;
        let build = || {
            let forward = Forward::new(model, kernels, settings.chunk, settings.active, context)?;
            let most = settings.active;
            Ok((forward, reserved(most, "requests")?, reserved(most, "requests")?))
        };
        let (forward, active, preempted) = build().map_err(CacheError::OutOfMemory)?;
        Ok(Self {
            model,
            tokenizer,
            settings,
            context,
            blocks,
            waiting: VecDeque::new(),
            active,
            preempted,
            forward,
            kernels,
            groups: Groups::new(),
            next: 0,
            gone: 0,
            preemptions: 0,
            looked_for: 0,
            found: 0,
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
        if let Some(index) = self.preempted.iter().position(|preempted| preempted.active.id == id) {
            let active = self.preempted.remove(index).active;
            return Some(self.over(active, Finish::Cancelled, now));
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
        let preempted = self.preempted.iter().map(|preempted| preempted.active.id);
        let mut waiting = preempted.chain(self.waiting.iter().map(|waiting| waiting.id));
        active.or_else(|| waiting.any(|waiting| waiting == id).then_some(Status::Queued))
    }

    /// Numbers of waiting and active requests; preempted ones wait.
    #[must_use]
    pub fn lengths(&self) -> (usize, usize) {
        (self.preempted.len() + self.waiting.len(), self.active.len())
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

    /// Tokens of prompts that were looked for among the prefixes when their requests joined, and those that were found.
    #[must_use]
    pub const fn prefix_tokens(&self) -> (u64, u64) {
        (self.looked_for, self.found)
    }

    /// Times that a request was preempted.
    #[must_use]
    pub const fn preemptions(&self) -> u64 {
        self.preemptions
    }

    /// Gives back the memory of all blocks that no request has, the retained ones among them.
    pub fn give_back(&mut self) {
        self.blocks.release(usize::MAX);
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

    /// Comparisons of a waiting request with the blocks and requests that are there.
    #[must_use]
    pub const fn comparisons(&self) -> u64 {
        self.comparisons
    }
}
