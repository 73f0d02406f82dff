//! The report of `bench serve`: medians of all rounds, as data.

use serde::Serialize;

use super::figures::LoadFigures;
use super::idle::AwakeCore;
use super::start::StartTimes;
use crate::bench::batch::Threshold;

/// Thresholds: streams over HTTP against the console's batch, what HTTP adds to the first token, and idle cores.
const SPEED: f64 = 0.95;
const ADDED_MS: f64 = 3.0;
const AWAKE: f64 = 0.01;

/// Medians, and what they are of.
#[derive(Clone, Debug, Serialize)]
pub struct ServeReport {
    /// Model, as the option names it.
    pub model: String,
    /// The guest, and its accelerator.
    pub place: String,
    /// Host processor, cores and load before.
    pub machine: String,
    /// Time of the start, UTC.
    pub date: String,
    /// Number of rounds.
    pub rounds: u32,
    /// Tokens of each prompt, and generated for each.
    pub prompt: u32,
    pub generated: u32,
    /// Loads by number of clients.
    pub loads: Vec<LoadRow>,
    /// The batch of 8.
    pub batch: Option<BatchBeside>,
    /// Time to the first token of a short prompt.
    pub first: FirstToken,
    /// Cores while nobody asked.
    pub idle: Vec<AwakeCore>,
    /// Number of boots, and the medians of their times.
    pub boots: u32,
    pub start: Option<StartTimes>,
}

/// One load on both servers.
#[derive(Clone, Debug, Serialize)]
pub struct LoadRow {
    /// Number of clients.
    pub clients: u32,
    /// The guest.
    pub engine: LoadFigures,
    /// llama-server, if compared.
    #[serde(rename = "llama-server", skip_serializing_if = "Option::is_none")]
    pub llama_server: Option<LoadFigures>,
}

/// Tokens a second of 8 streams over HTTP, beside the console's batch of the same lengths.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BatchBeside {
    /// Over HTTP.
    pub http: f64,
    /// At the console of a guest without a network.
    pub console: f64,
    /// The median ratio of both in a round.
    pub ratio: f64,
}

/// Milliseconds to the first token of a short prompt on an idle machine.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FirstToken {
    /// Over HTTP.
    pub http_ms: f64,
    /// At the console of a guest without a network.
    pub console_ms: f64,
    /// The median of what HTTP adds in a round.
    pub added_ms: f64,
    /// llama-server's, if compared.
    #[serde(rename = "llama-server_ms", skip_serializing_if = "Option::is_none")]
    pub llama_server_ms: Option<f64>,
}

impl ServeReport {
    /// The judged figures.
    pub fn thresholds(&self) -> [Threshold; 3] {
        let awake = self.idle.iter().map(|core| core.awake).reduce(f64::max);
        [
            Threshold {
                name: "8 streams over HTTP / batch of 8 at the console",
                value: self.batch.map(|batch| batch.ratio),
                limit: SPEED,
                at_least: true,
            },
            Threshold {
                name: "first token over HTTP - at the console, ms",
                value: Some(self.first.added_ms),
                limit: ADDED_MS,
                at_least: false,
            },
            Threshold {
                name: "idle: share of time awake of the busiest core",
                value: awake,
                limit: AWAKE,
                at_least: false,
            },
        ]
    }
}
