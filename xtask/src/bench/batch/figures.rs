//! What one run of the engine, or of llama.cpp, says of its batches, and what several say together.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::bench::median;
use crate::bench::spread::Spread;

/// Nanoseconds that requests took.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Times {
    /// Until the first token of any.
    pub prompt_ns: f64,
    /// From then on.
    pub generation_ns: f64,
    /// Both.
    pub total_ns: f64,
}

/// One size.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Row {
    /// Requests.
    pub batch: usize,
    /// At once.
    pub together: Times,
    /// One after another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alone: Option<Times>,
    /// How the last step used the cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
}

/// Gaps between the tokens of a request that others join.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Joined {
    /// How many.
    pub others: usize,
    /// Alone.
    pub before: Spread,
    /// Until all generate.
    pub meanwhile: Spread,
    /// From then on.
    pub after: Spread,
    /// All of these.
    pub all: Spread,
    /// Nanoseconds from the others' submission until all generate.
    pub until_ready_ns: f64,
}

/// What one run of the engine said, or the medians of several.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Side {
    /// Model.
    pub model: String,
    /// Workers.
    pub workers: usize,
    /// Tokens of each prompt.
    pub prompt: usize,
    /// Tokens made of each.
    pub generated: usize,
    /// Each size.
    pub rows: Vec<Row>,
    /// See there.
    pub joined: Joined,
}

/// The same of llama.cpp.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Other {
    /// Its version.
    pub kernels: String,
    /// Each size.
    pub rows: Vec<Row>,
}

impl Side {
    fn row(&self, size: usize) -> Option<&Row> {
        self.rows.iter().find(|row| row.batch == size)
    }

    /// Speed of a batch, as a multiple of the same requests one after another.
    pub fn speed_up(&self, size: usize) -> Option<f64> {
        let row = self.row(size)?;
        Some(row.alone?.total_ns / row.together.total_ns)
    }
}

/// The medians of all figures.
///
/// # Errors
/// When runs had different sizes of batches.
pub fn medians(sides: &[Side]) -> Result<Side> {
    let rows: Vec<&[Row]> = sides.iter().map(|side| side.rows.as_slice()).collect();
    let of =
        |figure: &dyn Fn(&Joined) -> f64| median(sides.iter().map(|side| figure(&side.joined)).collect());
    let spread = |select: fn(&Joined) -> Spread| {
        Spread::medians(&sides.iter().map(|side| select(&side.joined)).collect::<Vec<_>>())
    };
    Ok(Side {
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
/// When runs had different ones.
pub fn median_rows(runs: &[&[Row]]) -> Result<Vec<Row>> {
    let sizes = |rows: &[Row]| rows.iter().map(|row| row.batch).collect::<Vec<_>>();
    ensure!(runs.iter().all(|rows| sizes(rows) == sizes(runs[0])), "runs had different sizes of batches");
    let times = |index: usize, select: &dyn Fn(&Row) -> Option<Times>| {
        let all: Vec<Times> = runs.iter().filter_map(|rows| select(&rows[index])).collect();
        let figure = |field: fn(&Times) -> f64| median(all.iter().map(field).collect());
        (!all.is_empty()).then(|| Times {
            prompt_ns: figure(|times| times.prompt_ns),
            generation_ns: figure(|times| times.generation_ns),
            total_ns: figure(|times| times.total_ns),
        })
    };
    let rows = runs[0].iter().enumerate().map(|(index, row)| Row {
        together: times(index, &|row| Some(row.together)).unwrap_or(row.together),
        alone: times(index, &|row| row.alone),
        ..row.clone()
    });
    Ok(rows.collect())
}
