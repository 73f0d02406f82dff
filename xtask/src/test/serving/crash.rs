//! An engine that crashes while it serves: its streams end, a fresh one is there soon, and answers the same.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};

use super::server::{COMPLETIONS, Server, story, sum};
use crate::client::{Client, PATIENCE, get, post};

/// Lines that crash it: by an access that faults, and by a panic.
pub const CRASHES: [&str; 2] = ["crash null\n", "crash panic\n"];
/// Metric of how often the engine was started afresh.
const RESTARTS: &str = "embodios_restarts_total";
/// Streams that run meanwhile.
const STREAMS: usize = 8;
/// Time for the answer to the first question whether it is back. The next ones have more: QEMU tries a connection that
/// the machine did not answer again after seconds, so another one is sooner there.
const ANSWER: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_millis(2);

/// Times from a crash on.
pub struct Back {
    /// Statuses of `/health`, and when each was first seen; `None` for no answer.
    health: Vec<(Option<u16>, Duration)>,
    /// When the next request was answered.
    answered: Duration,
}

/// Crashes the engine in each way.
///
/// # Errors
/// When something does not come back, or comes back otherwise.
pub fn crash(server: &Server) -> Result<Vec<Back>> {
    let known = answer(server)?;
    (1..)
        .zip(CRASHES)
        .map(|(number, line)| once(server, line, number, &known).with_context(|| format!("{line:?}")))
        .collect()
}

fn once(server: &Server, line: &'static str, number: u32, known: &Value) -> Result<Back> {
    let body = story(240, json!({ "stream": true, "prompt": "One day" })).to_string();
    let mut streams: Vec<Client> = (0..STREAMS).map(|_| server.client()).collect::<Result<_>>()?;
    streams.iter_mut().try_for_each(|client| client.send(post(COMPLETIONS, "", &body)))?;
    for client in &mut streams {
        ensure!(client.head()?.status == 200, "a stream does not begin");
        client.chunk()?.context("a stream of nothing")?;
    }
    let begun = Instant::now();
    server.type_line(line)?;
    let health = health(server, begun, number)?;
    ensure!(answer(server)? == *known, "the next answer is another one than {known}");
    let back = Back { health, answered: begun.elapsed() };
    let restarts = server.metric(&[RESTARTS])?;
    ensure!(restarts == f64::from(number), "{restarts} restarts are counted, not {number}");
    for (index, client) in streams.into_iter().enumerate() {
        ended(client).with_context(|| format!("stream {index}"))?;
    }
    server.until_idle()?;
    Ok(back)
}

/// Asks for `/health` until the engine after crash `number` says 200.
fn health(server: &Server, begun: Instant, number: u32) -> Result<Vec<(Option<u16>, Duration)>> {
    let mut seen: Vec<(Option<u16>, Duration)> = Vec::new();
    let mut patience = ANSWER;
    while begun.elapsed() < PATIENCE {
        let ask = |path| Client::connect_for(server.address, patience)?.ask(get(path, ""));
        let status = ask("/health").ok().map(|answer| answer.status);
        if seen.last().is_none_or(|(last, _)| *last != status) {
            seen.push((status, begun.elapsed()));
        }
        if status == Some(200)
            && ask("/metrics").and_then(|metrics| sum(metrics.text()?, &[RESTARTS])).ok()
                == Some(number.into())
        {
            return Ok(seen);
        }
        patience += patience / 4;
        thread::sleep(PAUSE);
    }
    bail!("no fresh engine serves: {seen:?}")
}

/// Checks that a stream has no proper end. Who only listens hears nothing of a machine that began afresh; who sends is
/// reset.
fn ended(mut client: Client) -> Result<()> {
    let _ = client.send(get("/health", ""));
    while let Ok(chunk) = client.chunk() {
        let chunk = chunk.context("it ended as if it were whole")?;
        ensure!(chunk != b"data: [DONE]\n\n", "it came to its end");
    }
    client.read_out()
}

/// The answer that has to be the same.
fn answer(server: &Server) -> Result<Value> {
    server.choice(COMPLETIONS, &story(12, json!({ "logits_hash": true })))
}

impl std::fmt::Display for Back {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (status, time) in &self.health {
            let status = status.map_or("no answer".to_owned(), |status| status.to_string());
            write!(f, "health {status} after {:.3} s, ", time.as_secs_f64())?;
        }
        write!(f, "the next answer after {:.3} s", self.answered.as_secs_f64())
    }
}
