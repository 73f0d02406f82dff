//! What all connections share: the model, the jobs, the counts.

use embodios_api::{ApiError, Served};
use embodios_http::{Answer, Connection};

use crate::figures::Figures;
use crate::jobs::Jobs;
use crate::live::{self, State};
use crate::metrics::{Metrics, Now, report};
use crate::recent::Recent;
use crate::reply::{Numbers, Reply};
use crate::settings::{Clock, Settings};

/// Seconds after which a request that was not taken may come again.
const RETRY_AFTER: &str = "1";

/// What all connections share.
pub struct Shared<'m> {
    pub settings: Settings,
    pub served: Option<Served<'m>>,
    pub is_draining: bool,
    pub jobs: Jobs,
    pub metrics: Metrics,
    pub recent: Recent,
    pub figures: Figures,
    pub numbers: Numbers,
    pub clock: Clock,
    /// Open connections.
    pub connections: usize,
    /// Bytes that bodies on their way can come to hold.
    pub reserved: usize,
    /// Whether there is more to do at once.
    pub is_due: bool,
}

impl Shared<'_> {
    /// Answers a request.
    pub fn answer(&mut self, http: &mut Connection, answer: &Answer, body: &[u8]) {
        if self.is_draining {
            http.finish();
        }
        self.metrics.answered(answer.status());
        http.answer(answer, body, self.clock.now);
    }

    /// Answers a request by JSON.
    pub fn json(&mut self, http: &mut Connection, reply: &Reply, status: u16, body: &[u8]) {
        let answer = reply.answer(status, self.clock).with("content-type", "application/json");
        self.answer(http, &answer, body);
    }

    /// Answers a request by an error.
    pub fn error(&mut self, http: &mut Connection, reply: &Reply, error: &ApiError) {
        let answer = self.error_head(reply, error);
        self.answer(http, &answer, &error.body());
    }

    /// The head of an answer by an error.
    pub fn error_head(&self, reply: &Reply, error: &ApiError) -> Answer {
        let answer = reply.answer(error.status, self.clock).with("content-type", "application/json");
        match error.status {
            401 => answer.with("www-authenticate", "Bearer"),
            429 | 503 => answer.with("retry-after", RETRY_AFTER),
            // OpenAI's client would ask three times.
            501 => answer.with("x-should-retry", "false"),
            _ => answer,
        }
    }

    /// Begins a stream of events as the answer to a request.
    pub fn stream(&mut self, http: &mut Connection, reply: &Reply, ignored: &str) {
        let answer = reply
            .answer(200, self.clock)
            .with("content-type", "text/event-stream")
            .with("cache-control", "no-cache")
            .with("x-accel-buffering", "no");
        self.metrics.answered(200);
        http.stream(&with_ignored(answer, ignored), self.clock.now);
    }

    fn now(&self) -> Now<'_> {
        Now {
            model: self.served.as_ref().map_or("", |served| served.name),
            running: self.jobs.active(),
            waiting: self.jobs.waiting(),
            connections: self.connections,
        }
    }

    /// Answers `/metrics`.
    pub fn metrics(&mut self, http: &mut Connection, reply: &Reply) {
        let text = report(&self.metrics, &self.figures, self.now());
        let kind = "text/plain; version=0.0.4; charset=utf-8";
        let answer = reply.answer(200, self.clock).with("content-type", kind);
        self.answer(http, &answer, text.as_bytes());
    }

    /// An event of `/events`.
    pub fn live(&self) -> alloc::string::String {
        let state = State {
            now: self.now(),
            clock: self.clock,
            is_draining: self.is_draining,
            jobs: &self.jobs,
            steps: self.recent.spread(),
        };
        live::event(&self.metrics, &self.figures, state)
    }
}

/// An answer that names the fields of its request that were ignored, if there are any.
pub fn with_ignored(answer: Answer, ignored: &str) -> Answer {
    if ignored.is_empty() { answer } else { answer.with("x-embodios-ignored", ignored) }
}
