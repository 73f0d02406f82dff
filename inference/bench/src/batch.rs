//! `bench batch`: requests at once against the same ones one after another, which must have the same bits; and the cost
//! to a request that generates when others join.

mod shown;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_engine::batch::{Batch, Event, Outcome, Request, Settings, Status};
use embodios_engine::cache::{self, CacheError};
use embodios_pool::Pool;

use crate::error::check_finished;
use crate::spread::Spread;
use crate::{BenchError, Subject};

/// Sizes of batches when nothing else is said.
const SIZES: [usize; 5] = [1, 2, 4, 8, 16];
/// Tokens of each prompt, and made from each, when nothing else is said.
const PROMPT: usize = 32;
const TOKENS: usize = 64;
/// Requests that join one that generates.
const OTHERS: usize = 7;
/// Tokens that it has made by then, and tokens that it makes in all.
const ALONE: usize = 16;
const IN_ALL: usize = 160;

/// Options of the bench.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Sizes of batches.
    pub sizes: Vec<usize>,
    /// Tokens of each prompt.
    pub prompt: usize,
    /// Tokens made from each.
    pub tokens: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { sizes: SIZES.into(), prompt: PROMPT, tokens: TOKENS }
    }
}

/// Figures of a model.
pub struct Figures {
    model: String,
    workers: usize,
    /// Tokens of each prompt, and made from each.
    prompt: usize,
    tokens: usize,
    rows: Vec<Row>,
    joined: Joined,
}

/// Times in nanoseconds.
#[derive(Clone, Copy)]
struct Times {
    /// Until the first token of any.
    prompt: u64,
    /// From then on.
    generation: u64,
}

/// One size.
struct Row {
    size: usize,
    together: Times,
    /// One after another.
    alone: Times,
    /// Plan of the last step of the batch.
    plan: String,
}

/// Gaps between the tokens of a request that others join.
struct Joined {
    before: Spread,
    /// Until all have begun to generate.
    meanwhile: Spread,
    after: Spread,
    all: Spread,
    /// Nanoseconds from the others' submission until all have begun to generate.
    until_ready: u64,
}

/// Runs all.
///
/// # Errors
/// When there is no memory for it, or a request does not go to its end or has other bits than alone.
pub fn measure(subject: Subject<'_>, pool: &mut Pool, options: &Options) -> Result<Figures, BenchError> {
    let mut rows = Vec::new();
    for &size in &options.sizes {
        rows.push(compare(subject, pool, size, options)?);
    }
    let joined = join(subject, pool, options)?;
    let &Options { prompt, tokens, .. } = options;
    Ok(Figures { model: subject.name.into(), workers: pool.workers(), prompt, tokens, rows, joined })
}

/// Request `number`: no two prompts begin alike.
fn request(subject: Subject<'_>, number: usize, prompt: usize, tokens: usize) -> Request {
    let vocabulary = subject.model.config.vocabulary;
    let ids = (0..prompt).map(|index| ((index * 7919 + number * 997 + 13) % vocabulary) as u32);
    Request::greedy(ids.collect(), tokens)
}

fn batch<'m>(subject: Subject<'m>, pool: &Pool, active: usize) -> Result<Batch<'m>, BenchError> {
    let Subject { model, tokenizer, kernels, .. } = subject;
    let settings = Settings { active, ..Settings::new(cache::budget(&pool.platform().memory())) };
    let mut batch = Batch::new(model, tokenizer, kernels, settings)?;
    batch.prepare(pool).map_err(CacheError::OutOfMemory)?;
    Ok(batch)
}

/// Runs the requests, `active` of them at the same time. Each one's times and outcome, and how the cores were used.
fn run(
    subject: Subject<'_>,
    pool: &mut Pool,
    active: usize,
    size: usize,
    options: &Options,
) -> Result<(Times, Vec<Outcome>, String), BenchError> {
    let mut batch = batch(subject, pool, active)?;
    let requests: Vec<Request> =
        (0..size).map(|number| request(subject, number, options.prompt, options.tokens)).collect();
    let outcomes = batch.run(pool, requests);
    check_finished(&outcomes)?;
    let times = |select: fn(&Outcome) -> u64| outcomes.iter().map(select);
    let generation = |outcome: &Outcome| outcome.times.decode();
    let times = if active == 1 {
        Times {
            prompt: times(|outcome| outcome.times.prefill()).sum(),
            generation: outcomes.iter().map(generation).sum(),
        }
    } else {
        let first = times(|outcome| outcome.times.tokens[0]).min().unwrap_or(0);
        let begun = times(|outcome| outcome.times.started).min().unwrap_or(0);
        let end = times(|outcome| outcome.times.finished).max().unwrap_or(0);
        Times { prompt: first - begun, generation: end - first }
    };
    let plan = batch.plan().map_or(String::new(), |plan| format!("{plan}"));
    Ok((times, outcomes, plan))
}

/// One size, at once and one after another. An untimed run comes first: it fetches memory from the system, which
/// requests at once take most of, and later runs find it there.
fn compare(subject: Subject<'_>, pool: &mut Pool, size: usize, options: &Options) -> Result<Row, BenchError> {
    run(subject, pool, size, size, options)?;
    let (together, outcomes, plan) = run(subject, pool, size, size, options)?;
    let (alone, expected, _) = run(subject, pool, 1, size, options)?;
    for (number, (found, expected)) in (1..).zip(outcomes.iter().zip(&expected)) {
        if found.logits_hash != expected.logits_hash {
            let hashes = [found, expected].map(|outcome| format!("{:016x}", outcome.logits_hash));
            let what = format!("request {number} of a batch of {size}");
            return Err(BenchError::OtherBits { what, hashes });
        }
    }
    Ok(Row { size, together, alone, plan })
}

/// Lets others join a request that generates.
fn join(subject: Subject<'_>, pool: &mut Pool, options: &Options) -> Result<Joined, BenchError> {
    let platform = pool.platform();
    let room = (subject.model.config.context + 1).saturating_sub(options.prompt).max(1);
    let (in_all, alone) = (IN_ALL.min(room), ALONE.min(room / 2));
    let mut batch = batch(subject, pool, 1 + OTHERS)?;
    let first = batch.submit(pool, request(subject, 0, options.prompt, in_all))?;
    let mut others = Vec::new();
    let (mut submitted, mut ready) = (0, 0);
    let mut made = 0;
    let mut ended: Option<Outcome> = None;
    while ended.is_none() {
        if made == alone && others.is_empty() {
            submitted = platform.now_ns();
            for number in 1..=OTHERS {
                others.push(batch.submit(pool, request(subject, number, options.prompt, in_all))?);
            }
        }
        let more = batch.step(pool, &mut |event| match event {
            Event::Token { id, .. } => made += usize::from(id == first),
            Event::Finished { id, outcome } if id == first => ended = Some(outcome),
            Event::Finished { .. } => {}
        });
        if ready == 0
            && !others.is_empty()
            && others.iter().all(|&other| batch.status(other) == Some(Status::Decode))
        {
            ready = platform.now_ns();
        }
        if !more {
            break;
        }
    }
    let times = ended.map(|outcome| outcome.times).unwrap_or_default();
    let ready = if ready == 0 { times.finished } else { ready };
    let ends = || times.tokens.iter().skip(1).zip(times.gaps());
    let within = |from: u64, to: u64| {
        Spread::of(ends().filter(|&(&end, _)| from < end && end <= to).map(|(_, gap)| gap))
    };
    Ok(Joined {
        before: within(0, submitted),
        meanwhile: within(submitted, ready),
        after: within(ready, u64::MAX),
        all: Spread::of(times.gaps()),
        until_ready: ready.saturating_sub(submitted),
    })
}
