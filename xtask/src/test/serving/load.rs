//! Checks of many requests, and of clients that go away: items 27 to 35.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::server::{COMPLETIONS, Server, story, text_of};
use crate::client::{Client, post};
use crate::threads;

/// Choices of a request, the most that there may be.
const CHOICES: usize = 16;
/// Requests that wait at most, and a few more than fill the queue.
const WAITING: usize = 256;
const REQUESTS: usize = 20;
/// Requests that are computed at once.
const ACTIVE: usize = 32;

/// Requests that ended because nobody wanted them.
fn aborts(server: &Server) -> Result<f64> {
    server.metric(&["vllm:request_success_total", "\"abort\""])
}

/// Sends a request on a connection of its own.
fn begin(server: &Server, body: &Value) -> Result<Client> {
    let mut client = server.client()?;
    client.send(post(COMPLETIONS, "", &body.to_string()))?;
    Ok(client)
}

/// Requests that ended, for whatever reason.
fn ended(server: &Server) -> Result<f64> {
    server.metric(&["vllm:request_success_total"])
}

/// Fills the queue, and has all go away: items 27 and 32.
pub fn queue(server: &Server) -> Result<()> {
    let started = || server.metric(&["vllm:request_queue_time_seconds_count"]);
    let (before, begun) = (ended(server)?, started()?);
    let body = story(240, json!({ "n": CHOICES, "stream": true }));
    // All at once, so that no answer frees a place meanwhile.
    let clients: Vec<Client> = (0..REQUESTS).map(|_| begin(server, &body)).collect::<Result<_>>()?;
    let (mut taken, mut refused) = (Vec::new(), 0);
    for mut client in clients {
        let answer = client.head()?;
        match answer.status {
            200 => taken.push(client),
            _ => {
                ensure!((answer.status, answer.header("retry-after")) == (429, Some("1")), "{answer:?}");
                refused += 1;
            }
        }
    }
    ensure!(refused > 0 && taken.len() * CHOICES >= WAITING, "{} were taken, {refused} refused", taken.len());
    let jobs = (taken.len() * CHOICES) as f64;
    taken.into_iter().try_for_each(Client::reset)?;
    server.until_idle()?;
    ensure!(ended(server)? - before == jobs, "{jobs} went away, and {} ended", ended(server)? - before);
    // Most were never started: the batch has room for few at once.
    let begun = started()? - begun;
    ensure!(begun < jobs / 2.0, "{begun} of {jobs} were started");
    Ok(())
}

/// Has the one that waits go away while others run.
pub fn gone_while_waiting(server: &Server) -> Result<()> {
    let alone = text_of(&server.events(COMPLETIONS, &story(20, json!({})))?, 0);
    let aborted = aborts(server)?;
    let all = story(20, json!({ "n": CHOICES, "stream": true }));
    let running: Vec<Client> = (0..ACTIVE / CHOICES).map(|_| begin(server, &all)).collect::<Result<_>>()?;
    let waits = begin(server, &story(20, json!({ "prompt": "The cat" })))?;
    server.until("it waits", || Ok(server.metric(&["vllm:num_requests_waiting"])? == 1.0))?;
    waits.reset()?;
    for mut client in running {
        let events = client.answer()?.events()?;
        for index in 0..CHOICES as u64 {
            ensure!(text_of(&events, index) == alone, "{:?}, not {alone:?}", text_of(&events, index));
        }
    }
    server.until_idle()?;
    ensure!(aborts(server)? == aborted + 1.0, "it was not ended");
    Ok(())
}

/// Checks that requests end before their last token when their clients go: the first by a reset.
fn goes(server: &Server, bodies: [Value; 2], wait: impl Fn(&mut Client) -> Result<()>) -> Result<()> {
    for (body, is_reset) in bodies.iter().zip([true, false]) {
        let made = || server.metric(&["vllm:generation_tokens_total"]);
        let (aborted, before) = (aborts(server)?, made()?);
        let mut client = begin(server, body)?;
        wait(&mut client)?;
        if is_reset {
            client.reset()?;
        } else {
            drop(client);
        }
        server.until("its request ends", || Ok(aborts(server)? == aborted + 1.0))?;
        server.until_idle()?;
        let (tokens, most) = (made()? - before, body["max_tokens"].as_f64().unwrap_or_default());
        ensure!(tokens < most, "{tokens} tokens were made");
    }
    Ok(())
}

pub fn gone_while_streaming(server: &Server) -> Result<()> {
    goes(server, [(); 2].map(|()| story(240, json!({ "stream": true }))), |client| {
        client.head()?;
        (0..3).try_for_each(|_| client.chunk().map(drop))
    })
}

pub fn gone_in_prompt(server: &Server) -> Result<()> {
    // Two, so that nothing of the second is retained.
    let bodies = [0, 50].map(|first| {
        let prompt: Vec<u64> = (0..200).map(|number| 260 + (first + number) % 90).collect();
        story(50, json!({ "prompt": prompt, "stream": true }))
    });
    goes(server, bodies, |_| is_there(server))
}

pub fn gone_without_stream(server: &Server) -> Result<()> {
    goes(server, [(); 2].map(|()| story(240, json!({}))), |_| is_there(server))
}

/// Waits until a request has come: QEMU does not hand on what a connection has sent that is reset at once.
fn is_there(server: &Server) -> Result<()> {
    server.until("a request is there", || Ok(server.requests()? > 0.0))
}

pub fn slow_reader(server: &Server) -> Result<()> {
    let slow = story(60, json!({ "stream": true, "n": 4, "logprobs": 20 }));
    let mut client = begin(server, &slow)?;
    // It reads nothing while others are served, then all there is.
    for _ in 0..2 {
        ensure!(server.events(COMPLETIONS, &story(4, json!({})))?.len() == 5, "another stream");
    }
    server.until_idle()?;
    let answer = client.answer()?;
    ensure!(answer.events()?.len() >= 4 * 60, "{} events", answer.chunks.len());
    Ok(())
}

pub fn side_by_side(server: &Server) -> Result<()> {
    let alone = text_of(&server.events(COMPLETIONS, &story(12, json!({})))?, 0);
    let stream = || -> Result<()> {
        let events = server.events(COMPLETIONS, &story(12, json!({})))?;
        ensure!(events.iter().all(|event| event["id"] == events[0]["id"]), "two ids in a stream");
        ensure!(text_of(&events, 0) == alone, "{:?}, not {alone:?}", text_of(&events, 0));
        Ok(())
    };
    threads::each(8, 0..8, |_| stream())
}

pub fn ready(server: &Server) -> Result<()> {
    ensure!(server.first == 200, "the first answer after the boot is {}", server.first);
    ensure!(server.get("/v1/models")?.status == 200, "no models");
    Ok(())
}
