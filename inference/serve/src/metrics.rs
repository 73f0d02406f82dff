//! What the server counts of its own work.

mod histogram;
mod prometheus;
mod report;

use alloc::collections::BTreeMap;

use embodios_engine::batch::{Finish, Outcome};

pub use histogram::Histogram;
pub use report::{Now, report};

/// Nanoseconds as seconds.
pub fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// Reasons of ends by the names that Prometheus' users know, as [`Metrics::finished`] counts them.
pub const REASONS: [&str; 4] = ["stop", "length", "abort", "error"];
const STOP: usize = 0;
const LENGTH: usize = 1;
const ABORT: usize = 2;
const ERROR: usize = 3;

/// Counts since the start.
#[derive(Debug)]
pub struct Metrics {
    /// Tokens of prompts that passed through the model.
    pub prompt_tokens: u64,
    /// Tokens made.
    pub generation_tokens: u64,
    /// Requests that ended, by reason.
    pub finished: [u64; REASONS.len()],
    /// From submission to the first token.
    pub first_token: Histogram,
    /// Mean time of a request's other tokens.
    pub output_token: Histogram,
    /// Time of each of them.
    pub inter_token: Histogram,
    /// From submission to the end.
    pub whole: Histogram,
    /// From submission to the beginning of the prompt.
    pub queued: Histogram,
    /// From there to the first logits.
    pub prefill: Histogram,
    /// From there to the last token.
    pub decode: Histogram,
    /// Time of each step, or burst of steps.
    pub steps: Histogram,
    /// Requests of each.
    pub rows: Histogram,
    /// Connections taken.
    pub connections: u64,
    /// Answers by status.
    pub answers: BTreeMap<u16, u64>,
}

impl Metrics {
    pub const fn new() -> Self {
        Self {
            prompt_tokens: 0,
            generation_tokens: 0,
            finished: [0; REASONS.len()],
            first_token: Histogram::of_times(),
            output_token: Histogram::of_times(),
            inter_token: Histogram::of_times(),
            whole: Histogram::of_times(),
            queued: Histogram::of_times(),
            prefill: Histogram::of_times(),
            decode: Histogram::of_times(),
            steps: Histogram::of_times(),
            rows: Histogram::of_counts(),
            connections: 0,
            answers: BTreeMap::new(),
        }
    }

    /// Counts a request that ended before it was the batch's.
    pub const fn never_began(&mut self) {
        self.finished[ABORT] += 1;
    }

    /// Counts a request that the batch refused.
    pub const fn refused(&mut self) {
        self.finished[ERROR] += 1;
    }

    /// Counts the end of a request.
    pub fn finished(&mut self, outcome: &Outcome) {
        self.finished[match outcome.finish {
            Finish::End(_) | Finish::StopText => STOP,
            Finish::Limit | Finish::ContextFull => LENGTH,
            Finish::Cancelled => ABORT,
            Finish::Refused(_) | Finish::Failed(_) => ERROR,
        }] += 1;
        let times = &outcome.times;
        if times.started == 0 {
            return;
        }
        self.queued.add(seconds(times.queued()));
        self.whole.add(seconds(times.finished.saturating_sub(times.submitted)));
        let (Some(&first), Some(&last)) = (times.tokens.first(), times.tokens.last()) else { return };
        self.first_token.add(seconds(first.saturating_sub(times.submitted)));
        self.prefill.add(seconds(times.prefill()));
        self.decode.add(seconds(times.decode()));
        times.gaps().for_each(|gap| self.inter_token.add(seconds(gap)));
        if let gaps @ 1.. = times.tokens.len() - 1 {
            self.output_token.add(seconds(last.saturating_sub(first)) / gaps as f64);
        }
    }

    /// Counts an answer.
    pub fn answered(&mut self, status: u16) {
        *self.answers.entry(status).or_default() += 1;
    }
}
