//! A batch of JSON lines: each request is answered by a line as soon as it has finished.

use alloc::format;
use alloc::vec::Vec;

use embodios_pool::Pool;
use serde_json::{Value, json};

use super::{BadLine, Fields, Responder, log_probabilities, text, without_mark};
use crate::batch::{Batch, Event, Outcome, Request, RequestId, Settings};
use crate::cache::CacheError;

/// Totals of a batch's outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests.
    pub requests: usize,
    /// Those of them that failed.
    pub failed: usize,
    /// Tokens made.
    pub tokens: usize,
    /// Tokens of prompts.
    pub prompt_tokens: usize,
    /// From the first submission to the last token.
    pub nanoseconds: u64,
}

impl Tally {
    /// Counts a request.
    pub fn count(&mut self, outcome: &Outcome) {
        self.requests += 1;
        self.failed += usize::from(outcome.finish.is_failure());
        self.tokens += outcome.tokens.len();
        self.prompt_tokens += outcome.prompt_tokens;
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.tokens += other.tokens;
        self.prompt_tokens += other.prompt_tokens;
        self.nanoseconds += other.nanoseconds;
    }
}

/// The requests of a batch, with the numbers of their lines.
#[derive(Debug, Default)]
pub struct JsonBatch {
    requests: Vec<(usize, Request)>,
}

impl JsonBatch {
    /// These requests, as if there were a line for each.
    #[must_use]
    pub fn of(requests: Vec<Request>) -> Self {
        Self { requests: (1..).zip(requests).collect() }
    }

    /// Takes line `number`; returns the immediate answer to one that is no request.
    pub fn take(&mut self, requests: &Responder<'_>, number: usize, line: &[u8]) -> Option<Vec<u8>> {
        if without_mark(line).trim_ascii().is_empty() {
            return None;
        }
        match Fields::parse(line).and_then(|fields| requests.request(fields)) {
            Ok(request) => {
                self.requests.push((number, request));
                None
            }
            Err(error) => Some([text(&error.at_line(number)), b"\n".into()].concat()),
        }
    }

    /// Answers all of them, each by a line.
    ///
    /// # Errors
    /// When the batch cannot begin.
    pub fn answer(
        self,
        requests: &Responder<'_>,
        pool: &mut Pool,
        settings: Settings,
        out: &mut dyn FnMut(&[u8]),
    ) -> Result<Tally, CacheError> {
        let mut batch = Batch::new(requests.model, requests.tokenizer, requests.kernels, settings)?;
        batch.prepare(pool).map_err(CacheError::OutOfMemory)?;
        let mut lines: Vec<(RequestId, usize, bool)> = Vec::new();
        let mut tally = Tally::default();
        let begun = pool.platform().now_ns();
        for (number, request) in self.requests {
            let log_probabilities = request.log_probabilities.is_some();
            match batch.submit(pool, request) {
                Ok(id) => lines.push((id, number, log_probabilities)),
                Err(refusal) => {
                    out(&text(&BadLine::whole(refusal).at_line(number)));
                    out(b"\n");
                    tally.requests += 1;
                    tally.failed += 1;
                }
            }
        }
        let mut on_event = |event: Event<'_>| {
            if let Event::Finished { id, outcome } = event
                && let Ok(index) = lines.binary_search_by_key(&id, |&(id, ..)| id)
            {
                tally.count(&outcome);
                let (_, number, log_probabilities) = lines[index];
                out(&text(&answer(number, log_probabilities, &outcome)));
                out(b"\n");
            }
        };
        while batch.long_step(pool, &mut on_event) {}
        tally.nanoseconds = pool.platform().now_ns() - begun;
        Ok(tally)
    }
}

impl Responder<'_> {
    /// The request of a batch that has these fields: those of `generate`, with `messages` instead of `text` or `ids`
    /// for a chat.
    fn request(&self, mut fields: Fields) -> Result<Request, BadLine> {
        let prompt = match super::messages(&mut fields)? {
            Some(messages) => {
                let messages: Vec<_> = messages.iter().map(|(role, content)| role.says(content)).collect();
                let template = self.chat.as_ref().map_err(BadLine::whole)?;
                let prompt =
                    template.prompt(self.tokenizer, &messages, true, self.now).map_err(BadLine::whole)?;
                super::complete(prompt, "messages")?
            }
            None => self.prompt(&mut fields)?,
        };
        let request = self.continuation(&mut fields, prompt)?;
        fields.finish()?;
        Ok(request)
    }
}

/// The answer to a request that has ended. Times are in milliseconds.
fn answer(number: usize, wanted: bool, outcome: &Outcome) -> Value {
    let Outcome { finish, tokens, text, times, .. } = outcome;
    let milliseconds = |nanoseconds: u64| nanoseconds as f64 / 1e6;
    let gaps = times.gaps().count().max(1) as f64;
    let mut answer = json!({
        "line": number,
        "ids": tokens,
        "text": text,
        "stop": finish.word(),
        "logits_hash": format!("{:016x}", outcome.logits_hash),
        "prompt_tokens": outcome.prompt_tokens,
        "shared_tokens": outcome.shared_tokens,
        "queued_ms": milliseconds(times.queued()),
        "prefill_ms": milliseconds(times.prefill()),
        "token_ms": milliseconds(times.decode()) / gaps,
    });
    if finish.is_failure() {
        answer["error"] = Value::String(format!("{finish}"));
    }
    if wanted {
        answer["logprobs"] = log_probabilities(outcome);
    }
    answer
}
