//! The batch-invariance test: every request of random batches has the tokens, log-probabilities and text of a solo run,
//! bit for bit. For the console's `test` and the host's tests, which differ in how large and how many they are.
//!
//! Requests are what users mix: many share a prefix, some go on from another one's answer, some sample, some stop at a
//! text. They join between steps, wait or are preempted where KV blocks are few, find prefixes of others that go on or
//! have ended, and some are cancelled; strategies are tensor-parallel, data-parallel or the plan's.

mod random;
mod solo;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use embodios_engine::batch::{Batch, Event, Finish, Outcome, Request, RequestId, Settings, Strategy};
use embodios_engine::cache::BlockPool;
use embodios_engine::model::Model;
use embodios_kernels::{KV_BLOCK, Kernels};
use embodios_pool::Pool;
use embodios_text::tokenizer::Tokenizer;

pub use random::{Random, Sizes};
pub use solo::Solo;

/// Counts of what was compared so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Batches.
    pub batches: usize,
    /// Their requests that ended by themselves.
    pub finished: usize,
    /// Their requests that were cancelled.
    pub cancelled: usize,
    /// Tokens of shared and retained prefixes.
    pub shared: usize,
    /// Preemptions.
    pub preempted: u64,
    /// Tensor-parallel steps.
    pub tensor_parallel: usize,
    /// Data-parallel steps.
    pub data_parallel: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batches, finished, cancelled, shared, preempted, tensor_parallel, data_parallel } = self;
        write!(
            f,
            "{batches} batches: {finished} requests ended, {cancelled} cancelled, {preempted} times one preempted, \
             {shared} tokens shared, {tensor_parallel} tensor-parallel steps, {data_parallel} data-parallel"
        )
    }
}

/// Requests with their solo runs, and the batches that are drawn from them.
pub struct RandomBatches<'m> {
    model: &'m Model<'m>,
    tokenizer: &'m Tokenizer<'m>,
    kernels: Kernels,
    sizes: Sizes,
    random: Random,
    requests: Vec<(Request, Solo)>,
    tally: Tally,
}

impl<'m> RandomBatches<'m> {
    /// No requests yet. They follow from `seed`; which one joins or is cancelled when, also from how far a group of
    /// cores has come when a request of another group ends early.
    #[must_use]
    pub fn new(
        model: &'m Model<'m>,
        tokenizer: &'m Tokenizer<'m>,
        kernels: Kernels,
        sizes: Sizes,
        seed: u64,
    ) -> Self {
        let (random, requests) = (Random::new(seed), Vec::new());
        Self { model, tokenizer, kernels, sizes, random, requests, tally: Tally::default() }
    }

    /// The tally so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Draws `count` requests and runs each by itself.
    ///
    /// # Errors
    /// When one cannot be run.
    pub fn draw(&mut self, pool: &mut Pool, count: usize) -> Result<(), String> {
        for _ in 0..count {
            let mut request = self.random.request(self.sizes, self.model.config.vocabulary);
            if self.random.one_in(3) && !self.requests.is_empty() {
                let (last, solo) = &self.requests[self.random.below(self.requests.len())];
                request.prompt = [&last.prompt[..], &solo.tokens, &request.prompt].concat();
                request.prompt.truncate(self.sizes.prompt);
            }
            let solo = Solo::of(self.model, self.tokenizer, self.kernels, pool, &request)?;
            self.requests.push((request, solo));
        }
        Ok(())
    }

    /// Draws requests enough for `count` random batches, then runs these and compares.
    ///
    /// # Errors
    /// When a request cannot be run by itself, or the first difference.
    pub fn batches(&mut self, pool: &mut Pool, count: u32) -> Result<(), String> {
        self.draw(pool, self.sizes.requests + 4 * count as usize)?;
        (0..count).try_for_each(|_| self.batch(pool))
    }

    /// Runs a random batch of the requests drawn, and compares.
    ///
    /// # Errors
    /// The first difference.
    ///
    /// # Panics
    /// When no request was drawn.
    pub fn batch(&mut self, pool: &mut Pool) -> Result<(), String> {
        let count = 1 + self.random.below(self.sizes.requests);
        let asked: Vec<usize> = (0..count).map(|_| self.random.below(self.requests.len())).collect();
        let settings = self.settings(pool.workers(), &asked)?;
        let number = self.tally.batches;
        let outcomes = self
            .outcomes(pool, settings, &asked)
            .map_err(|why| format!("batch {number} on {} cores: {why}", pool.workers()))?;
        for (&index, (id, outcome)) in asked.iter().zip(&outcomes) {
            let (request, solo) = &self.requests[index];
            if !solo.is_same(outcome) {
                return Err(format!(
                    "batch {number} of {count} on {} cores, {:?}, {id:?}: {} {:?} {:016x}, solo {:?} {:016x}: \
                     {request:?}",
                    pool.workers(),
                    settings.strategy,
                    outcome.finish,
                    outcome.tokens,
                    outcome.logits_hash,
                    solo.tokens,
                    solo.logits_hash
                ));
            }
            match outcome.finish {
                Finish::Cancelled => self.tally.cancelled += 1,
                _ => self.tally.finished += 1,
            }
            self.tally.shared += outcome.shared_tokens;
        }
        self.tally.batches += 1;
        Ok(())
    }

    /// Often with too few blocks for all at once, and sometimes with hardly more than one request needs.
    fn settings(&mut self, workers: usize, asked: &[usize]) -> Result<Settings, String> {
        let block = BlockPool::new(self.model, usize::MAX).map_err(|error| error.to_string())?.block_bytes();
        let needs = |&index: &usize| {
            let Request { prompt, limit, .. } = &self.requests[index].0;
            (prompt.len() + limit - 1).div_ceil(KV_BLOCK)
        };
        let needed = asked.iter().map(needs).max().unwrap_or(1);
        let is_tight = !self.random.one_in(3);
        let blocks = needed + self.random.below(if is_tight { 2 } else { 8 * needed });
        let strategy = match self.random.below(3) {
            0 => None,
            1 => Some(Strategy::TensorParallel),
            _ => Some(Strategy::DataParallel { groups: 1 + self.random.below(workers) }),
        };
        let active = if is_tight { self.sizes.requests } else { 1 + self.random.below(self.sizes.requests) };
        Ok(Settings { active, strategy, ..Settings::new(blocks * block) })
    }

    /// The outcomes of the requests in a batch.
    fn outcomes(
        &mut self,
        pool: &mut Pool,
        settings: Settings,
        asked: &[usize],
    ) -> Result<BTreeMap<RequestId, Outcome>, String> {
        let Self { model, tokenizer, kernels, sizes, random, requests, tally } = self;
        let mut batch =
            Batch::new(model, tokenizer, *kernels, settings).map_err(|error| error.to_string())?;
        let mut waiting = asked.iter();
        let mut outcomes = BTreeMap::new();
        let mut reported: BTreeMap<RequestId, Reported> = BTreeMap::new();
        let mut more = false;
        loop {
            while (!more || random.one_in(2))
                && let Some(&index) = waiting.next()
            {
                batch.submit(pool, requests[index].0.clone()).map_err(|refusal| refusal.to_string())?;
                more = true;
            }
            if !more {
                break;
            }
            if random.one_in(12.max(2 * sizes.limit)) {
                let id = RequestId(random.below(asked.len() - waiting.len()) as u64);
                let outcome = batch.cancel(pool, id);
                check(outcome.is_none() == outcomes.contains_key(&id), || {
                    format!("{id:?} could not be cancelled")
                })?;
                outcomes.extend(outcome.map(|outcome| (id, outcome)));
            }
            let mut twice = false;
            let before = batch.steps();
            let step = if random.one_in(3) { Batch::long_step } else { Batch::step };
            more = step(&mut batch, pool, &mut |event| match event {
                Event::Token { id, token, log_probability, likeliest, text } => {
                    let reported = reported.entry(id).or_default();
                    reported.tokens.push(token);
                    reported.log_probabilities.extend(log_probability);
                    reported.likeliest.extend_from_slice(likeliest);
                    reported.text += text;
                }
                Event::Finished { id, outcome } => twice |= outcomes.insert(id, outcome).is_some(),
            });
            check(!twice, || "a request ended twice".into())?;
            let (used, bytes) = (batch.blocks().used(), batch.blocks().bytes());
            check(used <= bytes && bytes <= settings.budget, || {
                format!("{used} bytes of blocks used, {bytes} there, {} allowed", settings.budget)
            })?;
            match batch.plan().map(|plan| plan.strategy) {
                Some(Strategy::DataParallel { .. }) => tally.data_parallel += batch.steps() - before,
                Some(Strategy::TensorParallel) => tally.tensor_parallel += batch.steps() - before,
                None => {}
            }
        }
        tally.preempted += batch.preemptions();
        check((batch.blocks().used(), batch.lengths()) == (0, (0, 0)), || {
            "requests or KV blocks are left over".into()
        })?;
        batch.give_back();
        check((batch.blocks().retained(), batch.blocks().bytes()) == (0, 0), || "KV blocks are lost".into())?;
        check(outcomes.len() == asked.len(), || "not all requests ended".into())?;
        let nothing = Reported::default();
        let as_reported = |(id, outcome): (&RequestId, &Outcome)| {
            let Reported { tokens, log_probabilities, likeliest, text } =
                reported.get(id).unwrap_or(&nothing);
            *tokens == outcome.tokens
                && *log_probabilities == outcome.log_probabilities
                && *likeliest == outcome.likeliest
                && outcome.text.starts_with(text)
        };
        check(outcomes.iter().all(as_reported), || "events differ from the outcome".into())?;
        Ok(outcomes)
    }
}

/// The events of a request.
#[derive(Default)]
struct Reported {
    tokens: Vec<u32>,
    log_probabilities: Vec<f32>,
    likeliest: Vec<(u32, f32)>,
    text: String,
}

fn check(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}
