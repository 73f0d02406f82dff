//! Batch times of one run of the engine or of llama.cpp, and medians of several.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::bench::median;
use crate::bench::spread::TimeSpread;

/// Nanoseconds of a batch, or of its requests one after another.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct BatchTimes {
    /// Time until the first token of any.
    pub prompt_ns: f64,
    /// Time from then on.
    pub generation_ns: f64,
    /// The sum of both.
    pub total_ns: f64,
}

/// Times of one batch size.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct BatchRow {
    /// Number of requests.
    pub batch: usize,
    /// Times in a batch.
    #[serde(rename = "together")]
    pub batched: BatchTimes,
    /// Times one after another.
    #[serde(rename = "alone", skip_serializing_if = "Option::is_none")]
    pub sequential: Option<BatchTimes>,
    /// Strategy of the last step: tensor-parallel, or data-parallel in groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
}

/// Inter-token latency of a request while others join.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Joined {
    /// Number of other requests.
    pub others: usize,
    /// Latency solo.
    pub before: TimeSpread,
    /// Latency until all generate.
    pub meanwhile: TimeSpread,
    /// Latency from then on.
    pub after: TimeSpread,
    /// Latency over all three.
    pub all: TimeSpread,
    /// Nanoseconds from the others' submission until all generate.
    pub until_ready_ns: f64,
}

/// Figures of one run of the engine, or the medians of several.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct BatchRun {
    /// Name of the model.
    pub model: String,
    /// Number of workers.
    pub workers: usize,
    /// Tokens of each prompt.
    pub prompt: usize,
    /// Tokens generated for each.
    pub generated: usize,
    /// Times by batch size.
    pub rows: Vec<BatchRow>,
    /// Latency while others join.
    pub joined: Joined,
}

/// Figures of one run of llama.cpp, or the medians of several.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LlamaCppRun {
    /// Name and version of llama.cpp.
    pub kernels: String,
    /// Times by batch size.
    pub rows: Vec<BatchRow>,
}

impl BatchRun {
    fn row(&self, size: usize) -> Option<&BatchRow> {
        self.rows.iter().find(|row| row.batch == size)
    }

    /// Speed of a batch, as a multiple of the same requests one after another.
    pub fn speed_up(&self, size: usize) -> Option<f64> {
        let row = self.row(size)?;
        Some(row.sequential?.total_ns / row.batched.total_ns)
    }
}

/// The medians of all figures.
///
/// # Errors
/// When runs had different sizes of batches.
pub fn medians(sides: &[BatchRun]) -> Result<BatchRun> {
    let rows: Vec<&[BatchRow]> = sides.iter().map(|side| side.rows.as_slice()).collect();
    let of =
        |figure: &dyn Fn(&Joined) -> f64| median(sides.iter().map(|side| figure(&side.joined)).collect());
    let spread = |select: fn(&Joined) -> TimeSpread| {
        TimeSpread::medians(&sides.iter().map(|side| select(&side.joined)).collect::<Vec<_>>())
    };
    Ok(BatchRun {
        rows: median_rows(&rows)?,
        joined: Joined {
            others: sides[0].joined.others,
            before: spread(|joined| joined.before),
            meanwhile: spread(|joined| joined.meanwhile),
            after: spread(|joined| joined.after),
            all: spread(|joined| joined.all),
            until_ready_ns: of(&|joined| joined.until_ready_ns),
        },
        ..sides[0].clone()
    })
}

/// The medians of each size.
///
/// # Errors
/// When runs had different sizes of batches.
pub fn median_rows(runs: &[&[BatchRow]]) -> Result<Vec<BatchRow>> {
    let sizes = |rows: &[BatchRow]| rows.iter().map(|row| row.batch).collect::<Vec<_>>();
    ensure!(runs.iter().all(|rows| sizes(rows) == sizes(runs[0])), "runs had different sizes of batches");
    let times = |index: usize, select: &dyn Fn(&BatchRow) -> Option<BatchTimes>| {
        let all: Vec<BatchTimes> = runs.iter().filter_map(|rows| select(&rows[index])).collect();
        let figure = |field: fn(&BatchTimes) -> f64| median(all.iter().map(field).collect());
        (!all.is_empty()).then(|| BatchTimes {
            prompt_ns: figure(|times| times.prompt_ns),
            generation_ns: figure(|times| times.generation_ns),
            total_ns: figure(|times| times.total_ns),
        })
    };
    let rows = runs[0].iter().enumerate().map(|(index, row)| BatchRow {
        batched: times(index, &|row| Some(row.batched)).unwrap_or(row.batched),
        sequential: times(index, &|row| row.sequential),
        ..row.clone()
    });
    Ok(rows.collect())
}
