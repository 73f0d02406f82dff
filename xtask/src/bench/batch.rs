//! `cargo xtask bench batch`: a batch of requests against the same ones one after another, on this host or in a guest,
//! interleaved with llama.cpp's batches; and the token latency of a request while others join.

mod figures;
mod table;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::llama_cpp;
use crate::cli::{BatchBenchOptions, BatchLengths, BenchMachine, Contender};
use crate::console;
use crate::model::Model;
use crate::setup::Consent;
use crate::target::{GuestTarget, HostTarget, Target};
use crate::workspace::{self, Workspace};
pub use figures::{BatchRow, BatchRun, BatchTimes, LlamaCppRun};
use figures::{median_rows, medians};

/// Size of the batches that are judged.
const SIZE: usize = 8;
/// Thresholds of a batch's speed-up over one request after another, and over llama.cpp's batch.
const SPEED_UP: f64 = 2.5;
const AGAINST_LLAMA_CPP: f64 = 1.5;
/// Threshold of the 99th percentile of a request's inter-token latency while others join, over the median.
const DELAY: f64 = 1.5;

/// The figures of both engines.
#[derive(Debug, Deserialize, Serialize)]
pub struct BatchReport {
    /// Place: "host", or the guest's machine.
    pub place: String,
    /// Kind of its times: "time, native" or "time, emulated".
    pub figure: String,
    /// Number of runs.
    pub repetitions: u32,
    /// Figures of the engine.
    pub engine: BatchRun,
    /// Figures of llama.cpp, if compared.
    #[serde(rename = "llama.cpp")]
    pub llama_cpp: Option<LlamaCppRun>,
}

/// A figure with its threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// Name of the figure.
    pub name: &'static str,
    /// The figure; `None` where it was not measured.
    pub value: Option<f64>,
    /// The threshold itself.
    pub limit: f64,
    /// Whether more is better.
    pub at_least: bool,
}

/// Measures and prints a table.
///
/// # Errors
/// When a run cannot be started or fails, or the file cannot be written.
pub fn run(workspace: &Workspace, consent: Consent, options: &BatchBenchOptions) -> Result<u8> {
    let report = measure(workspace, consent, options)?;
    print!("{}", table::table(&report));
    if let Some(path) = &options.json {
        workspace::replace_file(path, |file| Ok(serde_json::to_writer_pretty(file, &report)?))?;
    }
    Ok(0)
}

/// Measures both engines, interleaved.
///
/// # Errors
/// When a run cannot be started or fails.
pub fn measure(workspace: &Workspace, consent: Consent, options: &BatchBenchOptions) -> Result<BatchReport> {
    let machine = &options.machine;
    let model = Model::resolve(workspace, consent, &machine.model)?;
    let contender = match options.compare {
        Some(Contender::LlamaCpp) => Some(model.clone().on_host(workspace)?),
        None => None,
    };
    let target = target(workspace, consent, machine, &model)?;
    let BatchBenchOptions { lengths: BatchLengths { prompt, generate }, repetitions, .. } = options;
    let script = format!("bench batch --json -p {prompt} -n {generate}");
    let (mut sides, mut others) = (Vec::new(), Vec::new());
    for repetition in 1..=*repetitions {
        let side: BatchRun = console::object(&target.run(&machine.smp, &[], &script)?)?;
        let mut line = format!("ratio {:.2}", side.speed_up(SIZE).unwrap_or(f64::NAN));
        if let Some(file) = &contender {
            let sizes: Vec<usize> = side.rows.iter().map(|row| row.batch).collect();
            let threads = machine.smp.cores() as usize;
            let other = llama_cpp::batches(file, threads, side.prompt, side.generated, &sizes)?;
            line +=
                &format!(", against llama.cpp {:.2}", against(&side.rows, &other.rows).unwrap_or(f64::NAN));
            others.push(other);
        }
        eprintln!("xtask: {repetition} of {repetitions}: batch of {SIZE}: {line}");
        sides.push(side);
    }
    Ok(BatchReport {
        figure: if target.is_emulated() { "time, emulated" } else { "time, native" }.to_owned(),
        place: match &target {
            Target::Host(_) => target.to_string(),
            Target::Guest(guest) => format!("{}, {}", guest.setup(&machine.smp), guest.accel()),
        },
        repetitions: *repetitions,
        engine: medians(&sides)?,
        llama_cpp: match others.first() {
            None => None,
            Some(first) => {
                let rows: Vec<&[BatchRow]> = others.iter().map(|other| other.rows.as_slice()).collect();
                Some(LlamaCppRun { kernels: first.kernels.clone(), rows: median_rows(&rows)? })
            }
        },
    })
}

/// Chooses a guest if a machine is named, else this host.
fn target<'w>(
    workspace: &'w Workspace,
    consent: Consent,
    machine: &BenchMachine,
    model: &'w Model,
) -> Result<Target<'w>> {
    if machine.guest.arch.is_none() && machine.guest.machine.is_none() {
        return Ok(Target::Host(HostTarget::new(workspace, model, machine.timeout)?));
    }
    let guest = machine.native_if_possible(model)?;
    Ok(Target::Guest(GuestTarget::new(workspace, consent, "bench", guest, model)?))
}

/// Speed of a batch of [`SIZE`], as a multiple of the other's.
fn against(own: &[BatchRow], other: &[BatchRow]) -> Option<f64> {
    let total = |rows: &[BatchRow]| rows.iter().find(|row| row.batch == SIZE).map(|row| row.batched.total_ns);
    Some(total(other)? / total(own)?)
}

impl BatchReport {
    /// The judged figures.
    pub fn thresholds(&self) -> [Threshold; 3] {
        let native = self.figure == "time, native";
        let measured = |value: Option<f64>| value.filter(|_| native);
        let all = self.engine.joined.all;
        [
            Threshold {
                name: "speed of a batch of 8 / one after another",
                value: measured(self.engine.speed_up(SIZE)),
                limit: SPEED_UP,
                at_least: true,
            },
            Threshold {
                name: "speed of a batch of 8 / llama.cpp's batch of 8",
                value: measured(
                    self.llama_cpp.as_ref().and_then(|other| against(&self.engine.rows, &other.rows)),
                ),
                limit: AGAINST_LLAMA_CPP,
                at_least: true,
            },
            Threshold {
                name: "inter-token latency while 7 join, p99 / median",
                value: measured(Some(all.p99_ns / all.p50_ns)),
                limit: DELAY,
                at_least: false,
            },
        ]
    }
}

impl Threshold {
    /// Whether it is met; `None` where it was not measured.
    pub fn met(&self) -> Option<bool> {
        self.value.map(|value| if self.at_least { value >= self.limit } else { value <= self.limit })
    }

    /// A line of a table, with so many digits; `missing` says why there may be no value.
    pub fn line(&self, digits: usize, missing: &str) -> String {
        let Self { name, limit, .. } = self;
        let Some((value, met)) = self.value.zip(self.met()) else {
            return format!("{name}: not measured here: {missing}\n");
        };
        let bound = if self.at_least { "at least" } else { "at most" };
        let verdict = if met { "met" } else { "missed" };
        format!("{name}: {value:.digits$}, {bound} {limit}: {verdict}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::figures::Joined;
    use super::*;
    use crate::bench::spread::TimeSpread;

    fn side(batched: f64, sequential: f64, p99: f64) -> BatchRun {
        let times =
            |total| BatchTimes { prompt_ns: total / 4.0, generation_ns: total * 0.75, total_ns: total };
        let spread = |p99_ns| TimeSpread {
            mean_ns: 1.0,
            deviation_ns: 0.0,
            relative: 0.0,
            p50_ns: 1.0,
            p99_ns,
            max_ns: p99_ns,
        };
        let joined = Joined {
            others: 7,
            before: spread(1.0),
            meanwhile: spread(1.0),
            after: spread(1.0),
            all: spread(p99),
            until_ready_ns: 5.0,
        };
        let row =
            BatchRow { batch: 8, batched: times(batched), sequential: Some(times(sequential)), plan: None };
        BatchRun { model: "m".into(), workers: 2, prompt: 4, generated: 5, rows: vec![row], joined }
    }

    fn report(figure: &str, sides: &[BatchRun], other: Option<f64>) -> BatchReport {
        let other = other.map(|total| LlamaCppRun { kernels: "o".into(), rows: side(total, 0.0, 1.0).rows });
        BatchReport {
            place: String::new(),
            figure: figure.to_owned(),
            repetitions: 1,
            engine: medians(sides).expect("one size"),
            llama_cpp: other,
        }
    }

    #[test]
    fn figures_are_medians_and_have_their_thresholds() {
        let sides = [side(100.0, 300.0, 1.2), side(90.0, 200.0, 1.4), side(110.0, 260.0, 9.0)];
        let native = report("time, native", &sides, Some(140.0));
        assert_eq!(native.thresholds().map(|threshold| threshold.value), [Some(2.6), Some(1.4), Some(1.4)]);
        assert_eq!(
            native.thresholds().map(|threshold| threshold.met()),
            [Some(true), Some(false), Some(true)]
        );
        let shown = table::table(&native);
        assert!(
            shown.contains("2.60, at least 2.5: met") && shown.contains("1.40, at least 1.5: missed"),
            "{shown}"
        );
    }

    #[test]
    fn figures_not_measured_are_reported() {
        let no_reference = report("time, native", &[side(100.0, 300.0, 1.2)], None);
        assert!(
            table::table(&no_reference)
                .contains("llama.cpp's batch of 8: not measured here: needs --compare")
        );
        let emulated = report("time, emulated", &[side(100.0, 300.0, 1.2)], None);
        assert_eq!(emulated.thresholds().map(|threshold| threshold.met()), [None; 3]);
    }
}
