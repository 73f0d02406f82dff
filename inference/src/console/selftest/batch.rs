//! Tests of batches: whatever company a request has, and however the cores are used, it gets what it gets alone.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::ControlFlow;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::batch::{Batch, Event, Finish, Outcome, Request, RequestId, Settings, Way};
use crate::cache::Limits;
use crate::console::loaded::Loaded;
use crate::generate::{self, generate};
use crate::pool::Pool;
use crate::sample::Sampling;
use crate::session::Session;

/// Requests of a batch, tokens of the longest prompt, most tokens made of it: an emulated core takes some 100 ms a token.
const REQUESTS: usize = 5;
const PROMPT: usize = 10;
const TOKENS: usize = 5;
/// Bytes of keys and values of a request alone.
const BUDGET: usize = 1 << 28;

struct Random(Xoshiro256PlusPlus);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        (self.0.next_u64() % bound as u64) as usize
    }

    fn request(&mut self, vocabulary: usize) -> Request {
        let length = 1 + self.below(PROMPT);
        let sampled = Sampling { temperature: 0.9, top_k: 40, repetition: 1.1, ..Sampling::GREEDY };
        let sampling = match self.below(2) {
            0 => Sampling::GREEDY,
            _ => Sampling { seed: self.0.next_u64(), ..sampled },
        };
        Request {
            prompt: (0..length).map(|_| self.below(vocabulary) as u32).collect(),
            limit: 1 + self.below(TOKENS),
            end: Vec::new(),
            sampling,
            stops: Vec::new(),
            log_probabilities: true,
        }
    }
}

/// What a request gets.
struct Alone {
    tokens: Vec<u32>,
    log_probabilities: Vec<f32>,
    logits_hash: u64,
}

/// Runs a request in a session of its own.
fn alone(loaded: &Loaded, pool: &mut Pool, request: &Request) -> Result<Alone, String> {
    let Request { prompt, limit, sampling, .. } = request;
    let limits = Limits { context: Some(prompt.len() + limit), budget: BUDGET };
    let mut session =
        Session::new(&loaded.model, loaded.kernels, limits).map_err(|error| error.to_string())?;
    let (mut tokens, mut log_probabilities) = (Vec::new(), Vec::new());
    let single = generate::Request { prompt, limit: *limit, end: &[], sampling: *sampling };
    let report = generate(&mut session, pool, &single, &mut |made| {
        tokens.push(made.token);
        log_probabilities.push(made.log_probabilities().of(made.token));
        ControlFlow::Continue(())
    });
    let logits_hash = report.map_err(|error| error.to_string())?.logits_hash;
    Ok(Alone { tokens, log_probabilities, logits_hash })
}

/// Random requests, another list on each number of workers, that join a batch one after the other, one of them
/// cancelled on its way: with all cores together, and apart.
pub fn company_leaves_no_trace(loaded: &Loaded, pool: &mut Pool) -> Result<(), String> {
    let workers = pool.workers();
    let mut random = Random(Xoshiro256PlusPlus::seed_from_u64(workers as u64));
    let vocabulary = loaded.model.config.vocabulary;
    let requests: Vec<Request> = (0..REQUESTS).map(|_| random.request(vocabulary)).collect();
    let expected =
        requests.iter().map(|request| alone(loaded, pool, request)).collect::<Result<Vec<_>, _>>()?;
    for way in [Way::Together, Way::Apart { groups: workers }] {
        let outcomes = batched(loaded, pool, &mut random, &requests, way)?;
        for (number, (outcome, alone)) in outcomes.iter().zip(&expected).enumerate() {
            if !is_same(outcome, alone) {
                return Err(format!(
                    "request {number} on {workers} cores {way}: {:?} {:016x}, alone {:?} {:016x}",
                    outcome.tokens, outcome.logits_hash, alone.tokens, alone.logits_hash
                ));
            }
        }
    }
    Ok(())
}

/// What the requests come to in a batch.
fn batched(
    loaded: &Loaded,
    pool: &mut Pool,
    random: &mut Random,
    requests: &[Request],
    way: Way,
) -> Result<Vec<Outcome>, String> {
    let Loaded { model, tokenizer, kernels, .. } = loaded;
    let settings = Settings { active: 1 + random.below(REQUESTS), way: Some(way), ..Settings::new(BUDGET) };
    let mut batch = Batch::new(model, tokenizer, *kernels, settings).map_err(|error| error.to_string())?;
    let victim = RequestId(random.below(REQUESTS) as u64);
    let mut outcomes = Vec::from_iter(requests.iter().map(|_| None));
    let mut waiting = requests.iter();
    let mut more = false;
    loop {
        while (!more || random.below(2) == 0)
            && let Some(request) = waiting.next()
        {
            batch.submit(pool, request.clone()).map_err(|error| error.to_string())?;
            more = true;
        }
        if !more {
            break;
        }
        if random.below(4) == 0
            && let Some(outcome) = batch.cancel(pool, victim)
        {
            outcomes[victim.0 as usize] = Some(outcome);
        }
        more = batch.step(pool, &mut |event| {
            if let Event::Finished { id, outcome } = event {
                outcomes[id.0 as usize] = Some(outcome);
            }
        });
    }
    outcomes.into_iter().collect::<Option<_>>().ok_or_else(|| format!("not all requests ended, cores {way}"))
}

/// Whether the same came of it, or the beginning of that where it was cancelled.
fn is_same(outcome: &Outcome, alone: &Alone) -> bool {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let made = match outcome.finish {
        Finish::Cancelled => outcome.tokens.len().min(alone.tokens.len()),
        Finish::Done(_) if outcome.logits_hash == alone.logits_hash => alone.tokens.len(),
        _ => return false,
    };
    outcome.tokens == alone.tokens[..made]
        && bits(&outcome.log_probabilities) == bits(&alone.log_probabilities[..made])
}
