//! Load on a server: so many streams at once over HTTP, and when each of their tokens came.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::client::{self, Client, post};
use crate::threads;

/// Path of the call, which both servers have.
const COMPLETIONS: &str = "/v1/completions";

/// Prompts: as many as wanted, no two of which begin alike, so that no cache of prefixes helps.
pub struct Prompts {
    vocabulary: usize,
    tokens: usize,
    next: usize,
}

/// When a stream was asked for, and when its tokens came.
#[derive(Clone, Debug)]
pub struct Stream {
    /// When the request was sent.
    pub begun: Instant,
    /// When each event with text came.
    pub tokens: Vec<Instant>,
    /// When the last event came.
    pub ended: Instant,
}

impl Prompts {
    /// Prompts of so many tokens below `vocabulary`.
    pub const fn new(vocabulary: usize, tokens: usize) -> Self {
        Self { vocabulary, tokens, next: 0 }
    }

    /// The next prompt, as token ids.
    fn next(&mut self) -> Vec<usize> {
        self.next += 1;
        (0..self.tokens).map(|index| (index * 7919 + self.next * 997 + 13) % self.vocabulary).collect()
    }

    /// Requests with the next prompts, for the next loads of every server.
    pub fn requests(&mut self, count: usize, generate: u32) -> Vec<String> {
        (0..count).map(|_| request(&json!(self.next()), generate)).collect()
    }
}

/// A request for a stream of so many tokens, no fewer.
pub fn request(prompt: &Value, generate: u32) -> String {
    let body = json!({
        "prompt": prompt, "max_tokens": generate, "temperature": 0, "ignore_eos": true, "cache_prompt": false,
        "stream": true, "stream_options": { "include_usage": true },
    });
    post(COMPLETIONS, "Content-Type: application/json\r\n", &body.to_string())
}

/// Sends all requests at the same time, each on a connection that is there before.
///
/// # Errors
/// When one is not answered by a whole stream of `generate` tokens.
pub fn run(address: SocketAddr, requests: &[String], generate: u32) -> Result<Vec<Stream>> {
    let connect = |_| Client::connect(address);
    let clients = requests.iter().map(connect).collect::<Result<Vec<_>>>()?;
    let start = Barrier::new(requests.len());
    let streams: Vec<Raw> = thread::scope(|scope| {
        let start = &start;
        let streams: Vec<_> = clients
            .into_iter()
            .zip(requests)
            .map(|(mut client, request)| {
                scope.spawn(move || {
                    start.wait();
                    Raw::take(&mut client, request, generate)
                })
            })
            .collect();
        streams.into_iter().map(threads::join).collect::<Result<_>>()
    })?;
    streams.iter().map(|stream| stream.read(generate)).collect()
}

/// Takes one stream on a connection that is there.
///
/// # Errors
/// As [`run`].
pub fn stream(client: &mut Client, request: &str, generate: u32) -> Result<Stream> {
    Raw::take(client, request, generate)?.read(generate)
}

/// What came of a stream, and when: it is looked at once all are over, so that looking takes nothing from a server.
struct Raw {
    begun: Instant,
    chunks: Vec<(Instant, Vec<u8>)>,
}

impl Raw {
    fn take(client: &mut Client, request: &str, generate: u32) -> Result<Self> {
        let mut chunks = Vec::with_capacity(generate as usize + 4);
        let begun = Instant::now();
        client.send(request)?;
        let answer = client.head()?;
        ensure!(answer.status == 200, "a stream is refused with {}", answer.status);
        while let Some(chunk) = client.chunk()? {
            chunks.push((Instant::now(), chunk));
        }
        Ok(Self { begun, chunks })
    }

    /// The times of events with text; the counts must be those that were asked for.
    fn read(&self, generate: u32) -> Result<Stream> {
        let (mut tokens, mut made) = (Vec::new(), None);
        for (time, chunk) in self.chunks.iter().filter(|(_, chunk)| chunk != b"data: [DONE]\n\n") {
            let event = client::event(chunk)?;
            let has_text = event["choices"][0]["text"].as_str().is_some_and(|text| !text.is_empty());
            tokens.extend(has_text.then_some(*time));
            made = event["usage"]["completion_tokens"].as_u64().or(made);
        }
        let made = made.context("a stream without counts")?;
        ensure!(made == u64::from(generate), "{made} tokens, where {generate} were asked for");
        ensure!(!tokens.is_empty(), "a stream without text");
        let ended = self.chunks.last().map_or(self.begun, |&(time, _)| time);
        Ok(Stream { begun: self.begun, tokens, ended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn tokens_are_events_with_text_and_all_are_there() {
        let begun = Instant::now();
        let at = |milliseconds| begun + Duration::from_millis(milliseconds);
        let event = |milliseconds, json: Value| (at(milliseconds), format!("data: {json}\n\n").into_bytes());
        let text = |milliseconds, text| event(milliseconds, json!({ "choices": [{ "text": text }] }));
        let counts = event(9, json!({ "choices": [], "usage": { "completion_tokens": 3 } }));
        let done = (at(9), b"data: [DONE]\n\n".to_vec());
        let chunks = vec![text(3, "a"), text(4, ""), text(6, "b"), counts, done];
        let mut raw = Raw { begun, chunks };
        let stream = raw.read(3).expect("whole");
        assert_eq!((stream.tokens, stream.ended), (vec![at(3), at(6)], at(9)));
        let error = raw.read(4).expect_err("one is missing").to_string();
        assert!(error.contains("3 tokens, where 4"), "{error}");
        raw.chunks.truncate(3);
        assert!(raw.read(3).is_err());
    }

    #[test]
    fn no_two_prompts_begin_alike() {
        let mut prompts = Prompts::new(512, 4);
        let (first, second) = (prompts.next(), prompts.next());
        assert!(first[0] != second[0] && first.iter().all(|&id| id < 512));
        assert_eq!(prompts.requests(3, 5).len(), 3);
    }
}
