//! Abuse of a machine that serves: requests that are damaged, clients that misbehave, and what must hold meanwhile and
//! afterwards. Owns the order of things and the judgement.

pub mod command;
mod crowd;
mod damage;
mod manner;
mod request;
mod rest;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::random::Random;
use super::server::{COMPLETIONS, Server, story};
use crate::client::post;
use crate::threads;
use crowd::Crowd;
use manner::{Manner, Outcome};
use rest::Rest;

/// Clients at once.
const CLIENTS: u64 = 16;
/// Requests between two looks at whether all is well.
const LOOK: u64 = 500;
/// Requests between two words on how far it is.
const TOLD: u64 = 10_000;
/// Time between two looks at how far the clients are.
const PAUSE: Duration = Duration::from_millis(20);
/// Different ordinary requests.
const ORDINARY: u64 = 64;
/// Bytes of a request that are shown.
const SHOWN: usize = 2000;

/// What is done to a machine.
#[derive(Clone, Copy, Debug)]
pub struct Abuse {
    /// Start of the random numbers.
    pub seed: u64,
    /// Number of the first damaged request, and how many there are.
    pub first: u64,
    pub requests: u64,
    /// Ordinary requests afterwards.
    pub ordinary: u64,
    /// Connections at once, before and after.
    pub connections: usize,
}

/// What came of it.
pub struct Held {
    outcomes: BTreeMap<Outcome, u64>,
    looks: u64,
    at_once: Vec<(usize, usize)>,
    begin: Rest,
    damaged: Rest,
    ordinary: Rest,
}

impl Abuse {
    /// Does it.
    ///
    /// # Errors
    /// When the machine does not hold: the words name the seed, and the request where it was one.
    pub fn run(self, server: &Server) -> Result<Held> {
        self.hold(server).with_context(|| format!("seed {}", self.seed))
    }

    fn hold(self, server: &Server) -> Result<Held> {
        let known = Known::ask(server)?;
        // Whatever is made once and kept is there before anything is compared.
        ordinary(server, self.ordinary.min(10 * ORDINARY))?;
        let begin = Rest::of(server)?;
        let mut at_once = vec![crowd::at_once(server, self.connections)?];
        let (outcomes, mut looks) = self.damaged(server, &known)?;
        at_once.push(crowd::at_once(server, self.connections)?);
        known.check(server)?;
        let damaged = begin.again(server, rest::ANY)?;
        ordinary(server, self.ordinary)?;
        known.check(server)?;
        looks += 2;
        let ordinary = damaged.again(server, rest::SAME)?;
        Ok(Held { outcomes, looks, at_once, begin, damaged, ordinary })
    }

    /// Sends the damaged requests. Result: what came of them, and how often the known one was asked meanwhile.
    fn damaged(self, server: &Server, known: &Known) -> Result<(BTreeMap<Outcome, u64>, u64)> {
        let Self { seed, first, requests, .. } = self;
        let (next, end) = (AtomicU64::new(first), first + requests);
        let outcomes = Mutex::new(BTreeMap::new());
        let (mut crowd, mut looks) = (Crowd::default(), 0);
        thread::scope(|scope| {
            let client = || -> Result<()> {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return Ok(());
                    }
                    match one(server, seed, number) {
                        Ok(outcome) => {
                            *outcomes
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .entry(outcome)
                                .or_default() += 1;
                        }
                        Err(error) => {
                            next.store(end, Ordering::Relaxed);
                            return Err(error);
                        }
                    }
                }
            };
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
            let mut look = || -> Result<()> {
                while !clients.iter().all(thread::ScopedJoinHandle::is_finished) {
                    let asked = next.load(Ordering::Relaxed) - first;
                    if asked / LOOK >= looks {
                        looks += 1;
                        if looks % (TOLD / LOOK) == 0 {
                            eprintln!("xtask: {asked} of {requests} damaged requests");
                        }
                        crowd.turn(server, &mut Random::new(!seed, looks))?;
                        known.check(server).with_context(|| format!("about request {}", first + asked))?;
                    }
                    thread::sleep(PAUSE);
                }
                Ok(())
            };
            let looked = look();
            next.fetch_max(end, Ordering::Relaxed);
            let results = clients.into_iter().map(threads::join);
            let wrong: Vec<String> =
                results.filter_map(Result::err).map(|error| format!("{error:#}")).collect();
            ensure!(wrong.is_empty(), wrong.join("\n"));
            looked
        })?;
        Ok((outcomes.into_inner().unwrap_or_else(PoisonError::into_inner), looks))
    }
}

/// Makes and sends one damaged request.
fn one(server: &Server, seed: u64, number: u64) -> Result<Outcome> {
    let mut random = Random::new(seed, number);
    let attempt = request::make(&mut random);
    let manner = Manner::of(&attempt, &mut random);
    manner.perform(server, &attempt).with_context(|| {
        let shown = &attempt.bytes[..attempt.bytes.len().min(SHOWN)];
        let (length, text) = (attempt.bytes.len(), shown.escape_ascii());
        format!("request {number}, {manner:?}, {:?} expected, {length} bytes: {text}", attempt.expected)
    })
}

/// Sends ordinary requests, each of a few many times, from several clients.
fn ordinary(server: &Server, requests: u64) -> Result<()> {
    threads::each(CLIENTS, 0..requests, |number| {
        let mut random = Random::new(0, number % ORDINARY);
        let prompt: Vec<usize> = (0..1 + random.below(80)).map(|_| 260 + random.below(200)).collect();
        let body = story(1 + random.below(6), json!({ "prompt": prompt, "stream": random.one_in(2) }));
        let answer = server.ask(post(COMPLETIONS, "", &body.to_string()))?;
        ensure!(answer.status == 200, "ordinary request {number}: {}: {:?}", answer.status, answer.text());
        Ok(())
    })
}

/// A request whose answer is known.
struct Known(Value);

impl Known {
    fn ask(server: &Server) -> Result<Self> {
        let body = story(12, json!({ "logits_hash": true })).to_string();
        let mut answer = None;
        // A full queue is no fault.
        server.until("a known request finds room", || {
            let found = server.ask(post(COMPLETIONS, "", &body))?;
            match found.status {
                429 => Ok(false),
                200 => {
                    answer = Some(found.json()?["choices"][0].clone());
                    Ok(true)
                }
                other => bail!("the known request: {other}: {:?}", found.text()),
            }
        })?;
        let answer = answer.context("an answer")?;
        ensure!(answer["logits_hash"].is_string(), "no hash: {answer}");
        Ok(Self(answer))
    }

    /// Checks that the answer is the same, by the same engine.
    fn check(&self, server: &Server) -> Result<()> {
        let now = Self::ask(server)?.0;
        ensure!(now == self.0, "the known request is answered {now}, not {}", self.0);
        let restarts = server.metric(&["embodios_restarts_total"])?;
        ensure!(restarts == 0.0, "the engine was started afresh {restarts} times");
        Ok(())
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcomes: Vec<String> =
            self.outcomes.iter().map(|(what, count)| format!("{what} {count}")).collect();
        writeln!(f, "damaged requests: {}", outcomes.join(", "))?;
        for (answered, given_up) in &self.at_once {
            writeln!(f, "connections at once: {answered} answered, {given_up} given up as too slow")?;
        }
        writeln!(f, "a known request: {} times the same bytes and logits", self.looks)?;
        writeln!(f, "at the beginning: {}", self.begin)?;
        writeln!(f, "after the damaged: {}", self.damaged)?;
        write!(f, "after the ordinary: {}", self.ordinary)
    }
}
