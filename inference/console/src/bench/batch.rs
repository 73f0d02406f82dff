//! `bench batch`: requests at once against the same ones one after another, which must have the same bits; and what it
//! does to a request that generates when others join.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_engine::batch::{Batch, Event, Finish, Outcome, Request, Settings, Status};
use embodios_engine::cache::{self, CacheError};
use embodios_pool::Pool;
use serde_json::{Value, json};

use super::spread::{HEADING, Spread};
use crate::Console;
use crate::command::ParseError;
use crate::error::CommandError;
use crate::loaded::Loaded;

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

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchBench {
    json: bool,
    /// The only size of batches; `None` for [`SIZES`].
    size: Option<usize>,
    prompt: usize,
    tokens: usize,
    /// Number of workers; `None` for all.
    workers: Option<usize>,
}

impl BatchBench {
    /// Understands `[--json] [-b SIZE] [-p PROMPT] [-n TOKENS] [-c WORKERS]`.
    pub fn parse(rest: &str) -> Result<Self, ParseError> {
        let (mut size, mut prompt, mut tokens, mut workers) = (None, None, None, None);
        let options = &mut [('b', &mut size), ('p', &mut prompt), ('n', &mut tokens), ('c', &mut workers)];
        let json = super::flags("bench batch", rest, options)?;
        let (prompt, tokens) = (prompt.unwrap_or(PROMPT), tokens.unwrap_or(TOKENS));
        Ok(Self { json, size, prompt, tokens, workers })
    }
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
    /// How the last step of the batch used the cores.
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

impl Console<'_> {
    /// Runs all and prints the figures.
    pub(super) fn batch_bench(&mut self, bench: &BatchBench) -> Result<(), CommandError> {
        let (loaded, pool) = self.loaded_and_pool(bench.workers)?;
        let mut rows = Vec::new();
        for size in bench.size.map_or(SIZES.into(), |size| Vec::from([size])) {
            rows.push(compare(loaded, pool, size, bench)?);
        }
        let joined = join(loaded, pool, bench)?;
        let (name, workers) = (loaded.name, pool.workers());
        let text = match bench.json {
            true => format!("{}\n", json_of(name, workers, bench, &rows, &joined)),
            false => text_of(name, workers, bench, &rows, &joined),
        };
        self.say(format_args!("{text}"));
        Ok(())
    }
}

/// Request `number`: no two prompts begin alike.
fn request(loaded: &Loaded, number: usize, prompt: usize, tokens: usize) -> Request {
    let vocabulary = loaded.model.config.vocabulary;
    let ids = (0..prompt).map(|index| ((index * 7919 + number * 997 + 13) % vocabulary) as u32);
    Request::greedy(ids.collect(), tokens)
}

fn batch<'l>(loaded: &'l Loaded, pool: &Pool, active: usize) -> Result<Batch<'l>, CommandError> {
    let Loaded { model, tokenizer, kernels, .. } = loaded;
    let settings = Settings { active, ..Settings::new(cache::budget(&pool.platform().memory())) };
    let mut batch = Batch::new(model, tokenizer, *kernels, settings)?;
    batch.prepare(pool).map_err(CacheError::OutOfMemory)?;
    Ok(batch)
}

/// Runs the requests, `active` of them at the same time. Each one's times and outcome, and how the cores were used.
fn run(
    loaded: &Loaded,
    pool: &mut Pool,
    active: usize,
    size: usize,
    bench: &BatchBench,
) -> Result<(Times, Vec<Outcome>, String), CommandError> {
    let mut batch = batch(loaded, pool, active)?;
    let requests: Vec<Request> =
        (0..size).map(|number| request(loaded, number, bench.prompt, bench.tokens)).collect();
    let outcomes = batch.run(pool, requests);
    for (request, outcome) in (1..).zip(&outcomes) {
        if outcome.finish != Finish::Limit {
            return Err(CommandError::Unfinished { request, finish: outcome.finish });
        }
    }
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
fn compare(loaded: &Loaded, pool: &mut Pool, size: usize, bench: &BatchBench) -> Result<Row, CommandError> {
    run(loaded, pool, size, size, bench)?;
    let (together, outcomes, plan) = run(loaded, pool, size, size, bench)?;
    let (alone, expected, _) = run(loaded, pool, 1, size, bench)?;
    for (number, (found, expected)) in (1..).zip(outcomes.iter().zip(&expected)) {
        if found.logits_hash != expected.logits_hash {
            let hashes = [found, expected].map(|outcome| format!("{:016x}", outcome.logits_hash));
            let what = format!("request {number} of a batch of {size}");
            return Err(CommandError::OtherBits { what, hashes });
        }
    }
    Ok(Row { size, together, alone, plan })
}

/// Lets others join a request that generates.
fn join(loaded: &Loaded, pool: &mut Pool, bench: &BatchBench) -> Result<Joined, CommandError> {
    let platform = pool.platform();
    let room = (loaded.model.config.context + 1).saturating_sub(bench.prompt).max(1);
    let (in_all, alone) = (IN_ALL.min(room), ALONE.min(room / 2));
    let mut batch = batch(loaded, pool, 1 + OTHERS)?;
    let first = batch.submit(pool, request(loaded, 0, bench.prompt, in_all))?;
    let mut others = Vec::new();
    let (mut submitted, mut ready) = (0, 0);
    let mut made = 0;
    let mut ended: Option<Outcome> = None;
    while ended.is_none() {
        if made == alone && others.is_empty() {
            submitted = platform.now_ns();
            for number in 1..=OTHERS {
                others.push(batch.submit(pool, request(loaded, number, bench.prompt, in_all))?);
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

/// Tokens a second.
fn rate(tokens: usize, nanoseconds: u64) -> f64 {
    tokens as f64 * 1e9 / nanoseconds.max(1) as f64
}

fn json_of(model: &str, workers: usize, bench: &BatchBench, rows: &[Row], joined: &Joined) -> Value {
    let times = |&Times { prompt, generation }: &Times| {
        let total = prompt + generation;
        json!({ "prompt_ns": prompt, "generation_ns": generation, "total_ns": total })
    };
    let rows = rows.iter().map(|Row { size, together, alone, plan }| {
        json!({ "batch": size, "together": times(together), "alone": times(alone), "plan": plan })
    });
    json!({
        "model": model,
        "workers": workers,
        "prompt": bench.prompt,
        "generated": bench.tokens,
        "rows": rows.collect::<Vec<_>>(),
        "joined": {
            "others": OTHERS,
            "before": joined.before.json(),
            "meanwhile": joined.meanwhile.json(),
            "after": joined.after.json(),
            "all": joined.all.json(),
            "until_ready_ns": joined.until_ready,
        },
    })
}

fn text_of(model: &str, workers: usize, bench: &BatchBench, rows: &[Row], joined: &Joined) -> String {
    let &BatchBench { prompt, tokens, .. } = bench;
    let mut text = format!(
        "{model}, {workers} workers, prompts of {prompt} tokens, {tokens} made of each; tokens/s\n\
         requests  at once  one after another   ratio  generating at once  one after another   ratio\n"
    );
    for Row { size, together, alone, plan } in rows {
        let all = |times: &Times| rate(size * tokens, times.prompt + times.generation);
        let generation = |times: &Times| rate(size * (tokens - 1), times.generation);
        text += &format!(
            "{size:>8} {:>8.1} {:>18.1} {:>7.2} {:>19.1} {:>18.1} {:>7.2}  {plan}\n",
            all(together),
            all(alone),
            all(together) / all(alone),
            generation(together),
            generation(alone),
            generation(together) / generation(alone).max(f64::MIN_POSITIVE),
        );
    }
    text += &format!(
        "time from token to token of a request that {OTHERS} others join; they generate after \
         {:.1} ms\n{:<11}{HEADING}\n",
        joined.until_ready as f64 / 1e6,
        "",
    );
    for (name, spread) in [
        ("alone", joined.before),
        ("they join", joined.meanwhile),
        ("together", joined.after),
        ("all", joined.all),
    ] {
        text += &format!("{name:<11}{spread}\n");
    }
    text += &format!("p99 / median: {:.2}\n", joined.all.p99 as f64 / joined.all.p50.max(1) as f64);
    text
}
