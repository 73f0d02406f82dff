//! Jitter of the steps' instruction counts on each core, as the plugin counted them between the marks of each step.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::JitterRun;
use crate::counting::{Count, CountedPart};

/// Distribution of a step's instruction count over all steps.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct InstructionSpread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub deviation: f64,
    /// Deviation / mean; 0 where the mean is.
    pub relative: f64,
    /// The fewest of a step.
    pub least: u64,
    /// The most of a step.
    pub most: u64,
}

/// Instruction counts of engine and kernel.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct InstructionSpreads {
    /// Engine and kernel combined.
    pub all: InstructionSpread,
    /// The engine's.
    pub engine: InstructionSpread,
    /// The kernel's.
    pub kernel: InstructionSpread,
}

/// Instruction counts of one core.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CoreInstructions {
    /// Index of the core.
    pub core: usize,
    /// Instruction counts of a step on it.
    pub step: InstructionSpreads,
}

/// Instruction counts of all steps of a boot.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct StepInstructions {
    /// Name of the kernels.
    pub kernels: String,
    /// Steps counted.
    pub steps: u64,
    /// Counts by worker core.
    pub cores: Vec<CoreInstructions>,
    /// Critical path: the sum over a step's phases of the busiest core's count.
    pub critical: InstructionSpreads,
}

impl StepInstructions {
    /// Summarises the steps of `side`, one part each, computed by `kernels`.
    ///
    /// # Errors
    /// When there are other numbers of parts or cores than of steps or workers.
    pub fn of(kernels: &str, side: &JitterRun, parts: &[CountedPart]) -> Result<Self> {
        ensure!(side.steps == parts.len() as u64, "{} steps, but {} marked parts", side.steps, parts.len());
        ensure!(!parts.is_empty(), "no steps");
        let cores = side.cores.iter().map(|&super::figures::CoreJitter { core, .. }| {
            ensure!(parts.iter().all(|part| core < part.cores.len()), "no instruction count of core {core}");
            Ok(CoreInstructions {
                core,
                step: InstructionSpreads::of(parts.iter().map(|part| part.cores[core])),
            })
        });
        Ok(Self {
            kernels: kernels.to_owned(),
            steps: side.steps,
            cores: cores.collect::<Result<_>>()?,
            critical: InstructionSpreads::of(parts.iter().map(|part| part.critical)),
        })
    }

    /// The largest jitter of a core, as deviation / mean.
    pub fn worst(&self) -> f64 {
        self.cores.iter().map(|core| core.step.all.relative).fold(0.0, f64::max)
    }
}

impl InstructionSpreads {
    fn of(counts: impl Iterator<Item = Count> + Clone) -> Self {
        Self {
            all: InstructionSpread::of(counts.clone().map(Count::total)),
            engine: InstructionSpread::of(counts.clone().map(|count| count.engine)),
            kernel: InstructionSpread::of(counts.map(|count| count.kernel)),
        }
    }
}

impl InstructionSpread {
    /// Summarises at least one count.
    fn of(counts: impl Iterator<Item = u64> + Clone) -> Self {
        let number = counts.clone().count() as f64;
        let mean = counts.clone().sum::<u64>() as f64 / number;
        let squares: f64 = counts.clone().map(|count| (count as f64 - mean).powi(2)).sum();
        let deviation = (squares / number).sqrt();
        let relative = if mean > 0.0 { deviation / mean } else { 0.0 };
        let (least, most) =
            counts.fold((u64::MAX, 0), |(least, most), count| (least.min(count), most.max(count)));
        Self { mean, deviation, relative, least, most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::jitter::tests::side;

    fn part(counts: [(u64, u64); 2]) -> CountedPart {
        let cores = counts.map(|(engine, kernel)| Count { engine, kernel });
        CountedPart { cores: cores.to_vec(), critical: cores[1], serial: Count::default() }
    }

    #[test]
    fn spreads_are_of_a_cores_steps() {
        let mut side = side(0.0, Some(0), "a");
        side.steps = 2;
        side.cores[0].core = 1;
        let parts = [part([(1, 1), (90, 10)]), part([(7, 7), (90, 30)])];
        let counted = StepInstructions::of("portable", &side, &parts).expect("two steps on core 1");
        assert_eq!(counted.cores.len(), 1);
        let InstructionSpreads { all, engine, kernel } = counted.cores[0].step;
        let expected =
            InstructionSpread { mean: 110.0, deviation: 10.0, relative: 10.0 / 110.0, least: 100, most: 120 };
        assert_eq!((counted.cores[0].core, all), (1, expected));
        assert_eq!((engine.relative, kernel.relative, counted.worst()), (0.0, 0.5, all.relative));
        assert_eq!(counted.critical.all, all);
    }

    #[test]
    fn steps_and_parts_must_match() {
        let mut side = side(0.0, Some(0), "a");
        let reason = |side: &JitterRun, parts: &[CountedPart]| {
            StepInstructions::of("", side, parts).expect_err("they do not fit").to_string()
        };
        side.steps = 2;
        let parts = [part([(1, 1); 2])];
        assert_eq!(reason(&side, &parts), "2 steps, but 1 marked parts");
        side.steps = 1;
        side.cores[0].core = 2;
        assert_eq!(reason(&side, &parts), "no instruction count of core 2");
        side.steps = 0;
        assert_eq!(reason(&side, &[]), "no steps");
    }
}
