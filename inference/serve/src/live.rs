//! `/events`: figures for the page, twice a second while somebody looks.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_http::SECOND;
use serde_json::{Value, json};

use crate::figures::{CoreTimes, Figures};
use crate::jobs::Jobs;
use crate::metrics::{Metrics, Now, seconds};
use crate::recent::Spread;
use crate::settings::Clock;

/// Nanoseconds from one event to the next.
pub const PERIOD: u64 = SECOND / 2;
/// Most requests that are told of one by one, the oldest.
const MOST_JOBS: usize = 32;

/// What is told beside counts.
#[derive(Clone, Copy, Debug)]
pub struct State<'a> {
    /// The values as of now.
    pub now: Now<'a>,
    /// The time.
    pub clock: Clock,
    /// Whether it takes no more work.
    pub is_draining: bool,
    /// Requests, those that wait too.
    pub jobs: &'a Jobs,
    /// Times of the latest steps, once there were any.
    pub steps: Option<Spread>,
}

/// An event. Counts only grow: the page makes rates of them.
pub fn event(metrics: &Metrics, figures: &Figures, state: State<'_>) -> String {
    let State { now, clock, is_draining, jobs, steps } = state;
    let core = |core: &CoreTimes| {
        json!({
            "core": core.core,
            "working": seconds(core.working),
            "waiting": seconds(core.waiting),
            "asleep": seconds(core.asleep),
        })
    };
    let cores: Vec<Value> = figures.cores.iter().map(core).collect();
    let jobs = jobs.iter().take(MOST_JOBS);
    let jobs = jobs.map(|(id, job)| json!({ "id": id.0, "prompt": job.prompt, "made": job.made }));
    let spread = steps.map(|spread| {
        json!({
            "count": spread.count,
            "mean": seconds(spread.mean),
            "p50": seconds(spread.median),
            "p99": seconds(spread.p99),
            "max": seconds(spread.longest),
        })
    });
    let figures = json!({
        "seconds": seconds(clock.now),
        "unix": clock.unix,
        "model": (!now.model.is_empty()).then_some(now.model),
        "draining": is_draining,
        "connections": now.connections,
        "running": now.running,
        "waiting": now.waiting,
        "jobs": jobs.collect::<Vec<Value>>(),
        "prompt_tokens": metrics.prompt_tokens,
        "generation_tokens": metrics.generation_tokens,
        "prefix_queries": figures.prefix_queries,
        "prefix_hits": figures.prefix_hits,
        "requests": metrics.finished.iter().sum::<u64>(),
        "steps": figures.steps,
        "step_count": metrics.steps.count(),
        "step_seconds": metrics.steps.sum(),
        "step": spread,
        "kv_blocks": figures.blocks,
        "kv_blocks_used": figures.blocks_used,
        "kv_blocks_retained": figures.blocks_retained,
        "preemptions": figures.preemptions,
        "restarts": figures.restarts,
        "memory": figures.memory,
        "memory_free": figures.memory_free,
        "cores": cores,
    });
    format!("data: {figures}\n\n")
}
