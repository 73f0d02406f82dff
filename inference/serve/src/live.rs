//! `/events`: figures for the page, twice a second while somebody looks.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Value, json};

use crate::figures::Figures;
use crate::metrics::{Metrics, Now, seconds};
use crate::settings::{Clock, SECOND};

/// Nanoseconds from one event to the next.
pub const PERIOD: u64 = SECOND / 2;

/// What is told beside counts.
#[derive(Clone, Copy, Debug)]
pub struct State<'a> {
    /// The values as of now.
    pub now: Now<'a>,
    /// The time.
    pub clock: Clock,
    /// Whether it takes no more work.
    pub is_draining: bool,
}

/// An event. Counts only grow: the page makes rates of them.
pub fn event(metrics: &Metrics, figures: &Figures, state: State<'_>) -> String {
    let State { now, clock, is_draining } = state;
    let core = |core: &crate::figures::CoreTimes| {
        json!({
            "core": core.core,
            "working": seconds(core.working),
            "waiting": seconds(core.waiting),
            "asleep": seconds(core.asleep),
        })
    };
    let cores: Vec<Value> = figures.cores.iter().map(core).collect();
    let figures = json!({
        "seconds": seconds(clock.now),
        "unix": clock.unix,
        "model": (!now.model.is_empty()).then_some(now.model),
        "draining": is_draining,
        "connections": now.connections,
        "running": now.running,
        "waiting": now.waiting,
        "prompt_tokens": metrics.prompt_tokens,
        "generation_tokens": metrics.generation_tokens,
        "requests": metrics.finished.iter().sum::<u64>(),
        "steps": figures.steps,
        "kv_blocks": figures.blocks,
        "kv_blocks_used": figures.blocks_used,
        "restarts": figures.restarts,
        "memory": figures.memory,
        "memory_free": figures.memory_free,
        "cores": cores,
    });
    format!("data: {figures}\n\n")
}
