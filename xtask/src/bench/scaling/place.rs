//! Places where batches run: threads on the host, or a booted guest; and their output.

use anyhow::{Result, bail, ensure};
use serde::Deserialize;
use std::cell::OnceCell;
use std::fmt;

use super::FigureKind;
use crate::accel::{AccelChoice, Host};
use crate::arch::Arch;
use crate::cli::ScalingBenchOptions;
use crate::console;
use crate::counting::{CountedPart, Counting};
use crate::host_cores;
use crate::machine::MachineKind;
use crate::model::Model;
use crate::setup::{self, Consent, Tool};
use crate::target::{GuestMachine, GuestTarget, HostTarget, Target};
use crate::workspace::Workspace;

/// Kernels for instruction counting: every machine has them, and the figures do not depend on a timing under
/// emulation.
const COUNTED_KERNELS: &str = "64-bit SWAR";

/// A line of the console's `bench scaling --json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ScalingRun {
    /// Prompts of the batch.
    pub prompts: u32,
    /// Workers of the batch.
    pub workers: u32,
    /// Concurrent batches: 1 on all workers, or an independent one on each.
    pub batches: u32,
    /// Tokens through the model, of all batches.
    pub tokens: u32,
    /// Duration.
    pub seconds: f64,
    /// Strategy of the last step: tensor-parallel, or data-parallel in groups.
    pub plan: String,
    /// Hash of all logits.
    pub hash: String,
}

/// A run, with its instruction counts if counted.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Figures from the console.
    pub run: ScalingRun,
    /// Counts from the plugin.
    pub part: Option<CountedPart>,
}

/// A place to run batches.
pub struct Place<'p> {
    name: String,
    /// The target, or the reason for there being none.
    target: Result<Target<'p>, String>,
    /// Instruction counting, if wanted.
    counting: Option<Counting>,
    /// Kernels chosen by speed in the first run; later runs use the same.
    kernels: OnceCell<String>,
    options: &'p ScalingBenchOptions,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The places for figures of one kind.
///
/// # Errors
/// When a target cannot be built or installed.
pub fn all<'p>(
    workspace: &'p Workspace,
    consent: Consent,
    kind: FigureKind,
    architectures: &[Arch],
    model: &'p Model,
    options: &'p ScalingBenchOptions,
) -> Result<Vec<Place<'p>>> {
    let place = |name: String, target, counting| {
        let kernels = OnceCell::new();
        Place { name, target, counting, kernels, options }
    };
    let mut places = Vec::new();
    if kind == FigureKind::Native {
        let host = HostTarget::new(workspace, model, options.timeout)?;
        places.push(place("host threads".to_owned(), Ok(Target::Host(host)), None));
    }
    for &arch in architectures {
        setup::require(Tool::Qemu(arch), consent)?;
        let choice = if kind == FigureKind::Native { AccelChoice::Kvm } else { AccelChoice::Tcg };
        let accel = Host::detect().choose(choice, arch);
        let counting =
            (kind == FigureKind::Instructions).then(|| Counting::prepare(workspace, arch)).transpose();
        let (target, counting) = match (accel, counting) {
            (Ok(accel), Ok(counting)) => {
                let (memory, timeout) = (options.memory, options.timeout);
                let machine = GuestMachine { kind: MachineKind::default_of(arch), accel, memory, timeout };
                let purpose = format!("scaling {kind:?}");
                let guest = GuestTarget::new(workspace, consent, purpose, machine, model)?;
                (Ok(Target::Guest(guest)), counting)
            }
            (Err(reason), _) | (_, Err(reason)) => (Err(format!("{reason:#}")), None),
        };
        places.push(place(format!("{arch} guest"), target, counting));
    }
    Ok(places)
}

impl Place<'_> {
    /// The reason why `cores` cores cannot be measured here, if any.
    pub fn cannot(&self, kind: FigureKind, cores: u32) -> Option<String> {
        match &self.target {
            Err(reason) => Some(reason.clone()),
            Ok(_) if kind.is_timed() && !host_cores::suffice_for(cores) => {
                Some(format!("{cores} cores on a host of {}", host_cores::count()))
            }
            Ok(_) => None,
        }
    }

    /// Name of the kernels, after the first run.
    pub fn kernels(&self) -> Option<&str> {
        self.kernels.get().map(String::as_str)
    }

    /// Runs all batches on `cores` cores; where time is measured, interleaved with the same on one core and a copy on
    /// each.
    ///
    /// # Errors
    /// When the console cannot be started or fails.
    pub fn run(&self, kind: FigureKind, cores: u32) -> Result<Vec<Sample>> {
        let Self { target, counting, kernels, options, .. } = self;
        let interleaved = kind.is_timed() && cores > 1;
        let workers = if interleaved { format!("--bound -c 1,{cores}") } else { format!("-c {cores}") };
        let prompts: Vec<String> = options.prompts.iter().map(u32::to_string).collect();
        let warm_up = u32::from(kind.is_timed());
        let (repetitions, tokens) = (options.repetitions.saturating_add(warm_up), options.generate);
        let script =
            format!("bench scaling --json -r {repetitions} -n {tokens} {workers} {}", prompts.join(","));
        let mut words = Vec::new();
        let named = if kind.is_timed() { self.kernels() } else { Some(COUNTED_KERNELS) };
        words.extend(named.map(|name| format!("kernels={}", name.replace(' ', "-"))));
        words.extend(counting.as_ref().map(|_| "spin=0".to_owned()));
        let smp = cores.into();
        let (output, parts) = match (target, counting) {
            (Ok(Target::Guest(guest)), Some(counting)) => {
                let (output, parts) = guest.run_counted(&smp, &words, &script, counting)?;
                (output, Some(parts))
            }
            (Ok(target), _) => (target.run(&smp, &words, &script)?, None),
            (Err(reason), _) => bail!("{self}: {reason}"),
        };
        kernels.get_or_init(|| console::kernels_in(&output).unwrap_or_default().to_owned());
        samples(&output, parts)
    }
}

/// Parses a console's runs in order, with a part each if counted.
fn samples(output: &str, parts: Option<Vec<CountedPart>>) -> Result<Vec<Sample>> {
    let runs: Vec<ScalingRun> = console::objects(output)?;
    let parts = match parts {
        None => vec![None; runs.len()],
        Some(parts) => parts.into_iter().map(Some).collect(),
    };
    ensure!(parts.len() == runs.len(), "{} runs, but {} marked parts", runs.len(), parts.len());
    Ok(runs.into_iter().zip(parts).map(|(run, part)| Sample { run, part }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counting::Count;

    const OUTPUT: &str = "model a.gguf: llama, 1.3 M parameters, context 256, 64-bit SWAR kernels\r\n\
        > bench scaling\r\n{\"batches\":1,\"hash\":\"ab\",\"plan\":\"data-parallel in 4 groups\",\"prompts\":8,\
        \"seconds\":0.5,\"tokens\":167,\"workers\":4}\r\n";

    #[test]
    fn runs_and_parts_must_match() {
        let part = || CountedPart { cores: Vec::new(), critical: Count::default(), serial: Count::default() };
        let [sample] = samples(OUTPUT, Some(vec![part()])).expect("one each").try_into().expect("one");
        assert_eq!((sample.run.prompts, sample.run.workers, sample.run.seconds), (8, 4, 0.5));
        assert!(samples(OUTPUT, None).expect("one run")[0].part.is_none());
        assert!(samples(OUTPUT, Some(vec![part(), part()])).is_err());
        assert!(samples("{\"hash\":1}\n", None).is_err());
    }
}
