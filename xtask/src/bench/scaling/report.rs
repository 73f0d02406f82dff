//! The report of `bench scaling`: figures by kind, place, batch and number of cores, as data and as text.

use clap::ValueEnum;
use serde::Serialize;
use std::fmt;

use crate::counting::Count;

/// Kind of a figure. Figures of different kinds are never mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FigureKind {
    /// Instructions on the critical path, counted by the emulator
    Instructions,
    /// Time on the processor itself: host threads, and ring 3 of a guest under KVM
    Native,
    /// Time of an emulated guest
    Emulated,
}

impl FigureKind {
    /// Whether figures are times, which the host disturbs.
    pub const fn is_timed(self) -> bool {
        matches!(self, Self::Native | Self::Emulated)
    }

    /// Explanation of the figures.
    const fn meaning(self) -> &'static str {
        match self {
            Self::Instructions => {
                "the critical path (the busiest core of each phase): how work is divided, not time. Cores run \
                 round-robin and sleep at once (spin=0), so that waiting costs the kernel's wait and wake only"
            }
            Self::Native => {
                "by the clock, on the processor itself; medians of ratios, each to the run on one core just before; \
                 \"of\": the speed-up of as many independent batches, one a core, interleaved with it"
            }
            Self::Emulated => "by the clock, in an emulator; medians of ratios and \"of\" as for native time",
        }
    }
}

impl fmt::Display for FigureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Instructions => "instructions",
            Self::Native => "time, native",
            Self::Emulated => "time, emulated",
        })
    }
}

/// Measured figures, and the reasons for missing ones.
#[derive(Clone, Debug, Serialize)]
pub struct ScalingReport {
    /// Model, as the option names it.
    pub model: String,
    /// Tokens generated for each prompt.
    pub tokens: u32,
    /// Host processor, cores and load before.
    pub machine: String,
    /// Time of the start, UTC.
    pub date: String,
    /// Cores of the host.
    pub host_cores: u32,
    /// Load average of the host in the minute before; with as many runnable threads as cores, times mean little.
    pub host_load: Option<f64>,
    /// Curves in order of kind, place and prompts.
    pub curves: Vec<Curve>,
}

/// Figures of one batch at one place, by number of cores.
#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    /// Kind of figure.
    pub kind: FigureKind,
    /// Place: host threads, or a guest.
    pub place: String,
    /// Name of the kernels, if anything was measured.
    pub kernels: Option<String>,
    /// Prompts of the batch.
    pub prompts: u32,
    /// Points in ascending order of cores.
    pub points: Vec<Point>,
}

/// The figure for a number of cores.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Cores, each with a worker.
    pub cores: u32,
    /// The figure.
    #[serde(flatten)]
    pub figure: Figure,
}

/// A figure, or the reason for a missing one.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// A measured figure.
    Measured(Measured),
    /// No figure on this machine.
    NotMeasuredHere {
        /// Reason.
        reason: String,
    },
}

/// A measured figure with its context.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Speed-up: one core's time or instructions, divided by those here.
    pub speedup: f64,
    /// Speed-up of as many independent batches, one a core: the machine's own bound at that time. Only where time was
    /// measured on several cores.
    pub bound: Option<f64>,
    /// Tokens through the model a second, if time was measured.
    pub tokens_per_second: Option<f64>,
    /// Instruction counts, if counted.
    pub instructions: Option<BatchInstructions>,
    /// Strategy of the last step: tensor-parallel, or data-parallel in groups.
    pub plan: String,
    /// Hash of all logits.
    pub hash: String,
}

/// Instruction counts of a batch.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BatchInstructions {
    /// Critical path: the sum over phases of the busiest core's count.
    pub critical: Count,
    /// Serial phases of the critical path, in which only one core ran.
    #[serde(rename = "alone")]
    pub serial: Count,
    /// Sum over all cores.
    pub all: u64,
}

impl Curve {
    /// Number of prompts, in words.
    pub fn batch(&self) -> String {
        match self.prompts {
            1 => "1 prompt".to_owned(),
            prompts => format!("{prompts} prompts"),
        }
    }
}

impl fmt::Display for ScalingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, tokens, machine, date, host_cores, host_load, curves } = self;
        write!(f, "{model}, {tokens} tokens made for each prompt; a host of {host_cores} cores")?;
        match host_load {
            Some(load) => writeln!(f, ", load {load} before")?,
            None => writeln!(f)?,
        }
        writeln!(f, "{machine}, {date}")?;
        let mut before = None;
        for curve in curves {
            let Curve { kind, place, kernels, points, .. } = curve;
            if before.replace(*kind) != Some(*kind) {
                writeln!(f, "\n{kind}: {}", kind.meaning())?;
            }
            for Point { cores, figure } in points {
                write!(f, "{place:<14} {:<10} {cores:>3} cores  ", curve.batch())?;
                match figure {
                    Figure::Measured(measured) => {
                        writeln!(f, "{measured}, {} kernels", kernels.as_deref().unwrap_or("unknown"))?
                    }
                    Figure::NotMeasuredHere { reason } => writeln!(f, "not measured here: {reason}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6.3} times", self.speedup)?;
        if let Some(bound) = self.bound {
            write!(f, " of {bound:.3}")?;
        }
        if let Some(rate) = self.tokens_per_second {
            write!(f, "  {rate:>10.1} tokens/s")?;
        }
        if let Some(BatchInstructions { critical, serial, .. }) = &self.instructions {
            let share = |part: u64| 100.0 * part as f64 / critical.total() as f64;
            write!(
                f,
                "  {:>10.3} million, {:.1} % serial, {:.1} % kernel",
                critical.total() as f64 / 1e6,
                share(serial.total()),
                share(critical.kernel),
            )?;
        }
        write!(f, "  {}", self.plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        let count = |engine, kernel| Count { engine, kernel };
        let instructions =
            BatchInstructions { critical: count(3_000_000, 1_000_000), serial: count(400_000, 0), all: 9 };
        let measured = Measured {
            speedup: 3.9,
            bound: None,
            tokens_per_second: None,
            instructions: Some(instructions),
            plan: "data-parallel in 4 groups".to_owned(),
            hash: String::new(),
        };
        let reason = "4 cores on a host of 2".to_owned();
        let point = |cores, figure| Point { cores, figure };
        let points = vec![point(2, Figure::Measured(measured)), point(4, Figure::NotMeasuredHere { reason })];
        let (place, kernels) = ("x86_64 guest".to_owned(), Some("AVX2".to_owned()));
        let curve = Curve { kind: FigureKind::Instructions, place, kernels, prompts: 8, points };
        let report = ScalingReport {
            model: "m".to_owned(),
            tokens: 4,
            machine: "processor".to_owned(),
            date: "today".to_owned(),
            host_cores: 2,
            host_load: Some(0.5),
            curves: vec![curve],
        };
        let text = report.to_string();
        assert!(
            text.contains(
                "3.900 times       4.000 million, 10.0 % serial, 25.0 % kernel  data-parallel in 4 groups, AVX2 kernels"
            ),
            "{text}"
        );
        assert!(text.contains("a host of 2 cores, load 0.5 before"), "{text}");
        assert!(text.contains("4 cores  not measured here: 4 cores on a host of 2"), "{text}");
        let json = serde_json::to_value(&report).expect("numbers and strings");
        assert_eq!(json["curves"][0]["points"][1]["not_measured_here"]["reason"], "4 cores on a host of 2");
    }
}
