//! Random batches, and whether each request gets in any company what it gets alone: the same tokens, probabilities and
//! text, bit for bit. For the console's `test` and the host's tests, which differ in how large and how many they are.
//!
//! Requests are out of what users mix: many begin alike, some sample, some stop at a text. They join between steps,
//! wait where pages are few, and some are cancelled on their way; cores work together, apart or as the batch plans it.

mod alone;
mod random;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use embodios_engine::batch::{Batch, Event, Finish, Outcome, Request, RequestId, Settings, Way};
use embodios_engine::cache::Pages;
use embodios_engine::model::Model;
use embodios_kernels::{KV_BLOCK, Kernels};
use embodios_pool::Pool;
use embodios_text::tokenizer::Tokenizer;

pub use alone::Alone;
pub use random::{Random, Sizes};

/// What was compared so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Batches.
    pub batches: usize,
    /// Their requests that ended by themselves.
    pub finished: usize,
    /// Their requests that were cancelled.
    pub cancelled: usize,
    /// Tokens of prompts that another request had passed through the model.
    pub shared: usize,
    /// Steps that all cores went together.
    pub together: usize,
    /// Steps that groups of cores went apart.
    pub apart: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batches, finished, cancelled, shared, together, apart } = self;
        write!(
            f,
            "{batches} batches: {finished} requests ended, {cancelled} cancelled, {shared} tokens shared, \
             {together} steps together, {apart} apart"
        )
    }
}

/// Requests, each with what it comes to alone, and the batches that are made of them.
pub struct Company<'m> {
    model: &'m Model<'m>,
    tokenizer: &'m Tokenizer<'m>,
    kernels: Kernels,
    sizes: Sizes,
    random: Random,
    known: Vec<(Request, Alone)>,
    tally: Tally,
}

impl<'m> Company<'m> {
    /// None yet. Requests follow from `seed`; who joins and is cancelled when, also from how far groups of cores have
    /// come when a request of another group ends early.
    #[must_use]
    pub fn new(
        model: &'m Model<'m>,
        tokenizer: &'m Tokenizer<'m>,
        kernels: Kernels,
        sizes: Sizes,
        seed: u64,
    ) -> Self {
        let (random, known) = (Random::new(seed), Vec::new());
        Self { model, tokenizer, kernels, sizes, random, known, tally: Tally::default() }
    }

    /// What was compared so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Draws `count` requests and runs each alone.
    ///
    /// # Errors
    /// When one cannot be run.
    pub fn meet(&mut self, pool: &mut Pool, count: usize) -> Result<(), String> {
        for _ in 0..count {
            let request = self.random.request(self.sizes, self.model.config.vocabulary);
            let alone = Alone::of(self.model, self.tokenizer, self.kernels, pool, &request)?;
            self.known.push((request, alone));
        }
        Ok(())
    }

    /// Makes a random batch of requests met before, and compares.
    ///
    /// # Errors
    /// What is not as it must be.
    ///
    /// # Panics
    /// When no request was met before.
    pub fn batch(&mut self, pool: &mut Pool) -> Result<(), String> {
        let count = 1 + self.random.below(self.sizes.requests);
        let asked: Vec<usize> = (0..count).map(|_| self.random.below(self.known.len())).collect();
        let settings = self.settings(pool.workers())?;
        let number = self.tally.batches;
        let outcomes = self
            .outcomes(pool, settings, &asked)
            .map_err(|why| format!("batch {number} on {} cores: {why}", pool.workers()))?;
        for (&index, (id, outcome)) in asked.iter().zip(&outcomes) {
            let (request, alone) = &self.known[index];
            if !alone.is_same(outcome) {
                return Err(format!(
                    "batch {number} of {count} on {} cores, {:?}, {id:?}: {} {:?} {:016x}, alone {:?} {:016x}: \
                     {request:?}",
                    pool.workers(),
                    settings.way,
                    outcome.finish,
                    outcome.tokens,
                    outcome.logits_hash,
                    alone.tokens,
                    alone.logits_hash
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

    /// Sometimes with too few pages for all at once.
    fn settings(&mut self, workers: usize) -> Result<Settings, String> {
        let page = Pages::new(self.model, usize::MAX).map_err(|error| error.to_string())?.page_bytes();
        let needed = (self.sizes.prompt + self.sizes.tokens).div_ceil(KV_BLOCK);
        let pages = needed + self.random.below(8 * needed);
        let way = match self.random.below(3) {
            0 => None,
            1 => Some(Way::Together),
            _ => Some(Way::Apart { groups: 1 + self.random.below(workers) }),
        };
        let active = 1 + self.random.below(self.sizes.requests);
        Ok(Settings { active, way, ..Settings::new(pages * page) })
    }

    /// What the requests come to in a batch.
    fn outcomes(
        &mut self,
        pool: &mut Pool,
        settings: Settings,
        asked: &[usize],
    ) -> Result<BTreeMap<RequestId, Outcome>, String> {
        let Self { model, tokenizer, kernels, random, known, tally, .. } = self;
        let mut batch =
            Batch::new(model, tokenizer, *kernels, settings).map_err(|error| error.to_string())?;
        let mut waiting = asked.iter();
        let mut outcomes = BTreeMap::new();
        let mut told: BTreeMap<RequestId, Told> = BTreeMap::new();
        let mut more = false;
        loop {
            while (!more || random.one_in(2))
                && let Some(&index) = waiting.next()
            {
                batch.submit(pool, known[index].0.clone()).map_err(|refusal| refusal.to_string())?;
                more = true;
            }
            if !more {
                break;
            }
            if random.one_in(12) {
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
                    let told = told.entry(id).or_default();
                    told.tokens.push(token);
                    told.log_probabilities.extend(log_probability);
                    told.likeliest.extend_from_slice(likeliest);
                    told.text += text;
                }
                Event::Finished { id, outcome } => twice |= outcomes.insert(id, outcome).is_some(),
            });
            check(!twice, || "a request ended twice".into())?;
            let (used, bytes) = (batch.pages().used(), batch.pages().bytes());
            check(used <= bytes && bytes <= settings.budget, || {
                format!("{used} bytes of pages used, {bytes} there, {} allowed", settings.budget)
            })?;
            match batch.plan().map(|plan| plan.way) {
                Some(Way::Apart { .. }) => tally.apart += batch.steps() - before,
                Some(Way::Together) => tally.together += batch.steps() - before,
                None => {}
            }
        }
        check((batch.pages().used(), batch.lengths()) == (0, (0, 0)), || "something is left over".into())?;
        check(outcomes.len() == asked.len(), || "not all requests ended".into())?;
        let nothing = Told::default();
        let as_told = |(id, outcome): (&RequestId, &Outcome)| {
            let Told { tokens, log_probabilities, likeliest, text } = told.get(id).unwrap_or(&nothing);
            *tokens == outcome.tokens
                && *log_probabilities == outcome.log_probabilities
                && *likeliest == outcome.likeliest
                && outcome.text.starts_with(text)
        };
        check(outcomes.iter().all(as_told), || "something else was told than made".into())?;
        Ok(outcomes)
    }
}

/// What was told of a request.
#[derive(Default)]
struct Told {
    tokens: Vec<u32>,
    log_probabilities: Vec<f32>,
    likeliest: Vec<(u32, f32)>,
    text: String,
}

fn check(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}
