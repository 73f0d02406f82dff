//! Step times of one guest or process, and medians of several.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::bench::spread::TimeSpread;

/// Jitter of one core.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CoreJitter {
    /// Index of the core.
    pub core: usize,
    /// Times of its share of each step.
    pub share: TimeSpread,
    /// Disturbances by name; `None` for one that is not counted.
    pub counters: BTreeMap<String, Option<u64>>,
}

/// Figures of one guest or process, or the medians of several.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct JitterRun {
    /// Model.
    pub model: String,
    /// Position of the step's token.
    pub position: usize,
    /// Steps timed.
    pub steps: u64,
    /// Times of whole steps.
    pub step: TimeSpread,
    /// Jitter by core.
    pub cores: Vec<CoreJitter>,
    /// Time budget of a job, in nanoseconds.
    pub budget_ns: u64,
    /// Jobs beyond the budget.
    pub budget_misses: u64,
    /// Hashes of all logits, one a run.
    pub hashes: Vec<String>,
}

impl JitterRun {
    /// The largest jitter of a core, as deviation / mean.
    pub fn worst(&self) -> f64 {
        self.cores.iter().map(|core| core.share.relative).fold(0.0, f64::max)
    }

    /// The largest ratio of a core's jitter to that of the same core of `other`.
    pub fn worst_ratio(&self, other: &Self) -> f64 {
        let ratios = self.cores.iter().zip(&other.cores);
        ratios.map(|(own, other)| own.share.relative / other.share.relative).fold(0.0, f64::max)
    }
}

/// Medians of all times, sums of all counts.
///
/// # Errors
/// When runs had different numbers of workers.
pub fn medians(sides: &[JitterRun]) -> Result<JitterRun> {
    let mut result = sides[0].clone();
    ensure!(
        sides.iter().all(|side| side.cores.len() == result.cores.len() && !side.cores.is_empty()),
        "runs had different numbers of workers"
    );
    let spread = |of: &dyn Fn(&JitterRun) -> TimeSpread| {
        TimeSpread::medians(&sides.iter().map(of).collect::<Vec<_>>())
    };
    result.step = spread(&|side| side.step);
    for (index, core) in result.cores.iter_mut().enumerate() {
        core.share = spread(&|side| side.cores[index].share);
        for (name, total) in &mut core.counters {
            *total = sides.iter().map(|side| side.cores[index].counters.get(name).copied().flatten()).sum();
        }
    }
    result.steps = sides.iter().map(|side| side.steps).sum();
    result.budget_misses = sides.iter().map(|side| side.budget_misses).sum();
    Ok(result)
}
