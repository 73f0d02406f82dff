//! Where batches run: threads on the host, or a booted guest; and what they say there.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::cell::OnceCell;
use std::fmt;

use super::Kind;
use crate::accel::{AccelChoice, Accelerator, Host};
use crate::arch::Arch;
use crate::bench::console::{OnHost, kernels_in};
use crate::boot::{self, Plan, Setup};
use crate::build::{self, Built};
use crate::cli::ScalingBenchOptions;
use crate::counting::{Counting, Part};
use crate::guest::Ending;
use crate::host_cores;
use crate::machine::MachineKind;
use crate::model::Model;
use crate::setup::{self, Consent, Tool};
use crate::workspace::Workspace;

/// What computes where instructions are counted: every machine has it, and the figures do not change with what a timing
/// under emulation happened to choose.
const COUNTED_KERNELS: &str = "64-bit SWAR";

/// A line of the console's `bench scaling --json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Run {
    /// Prompts of the batch.
    pub prompts: u32,
    /// Workers that it ran on.
    pub workers: u32,
    /// Batches at once: 1 on all workers, or a copy of it on each.
    pub batches: u32,
    /// Tokens that passed through the model, of all batches.
    pub tokens: u32,
    /// What it took.
    pub seconds: f64,
    /// How the last step used the cores.
    pub plan: String,
    /// Of all logits.
    pub hash: String,
}

/// A run, with its instructions where they were counted.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What the guest says.
    pub run: Run,
    /// What the plugin says.
    pub part: Option<Part>,
}

/// Somewhere to run.
pub struct Place<'p> {
    system: System,
    /// The kernels that the first run chose by their speed; later ones take the same.
    kernels: OnceCell<String>,
    model: &'p Model,
    options: &'p ScalingBenchOptions,
}

enum System {
    Host(OnHost),
    Guest {
        arch: Arch,
        built: Built,
        accel: Accelerator,
        counting: Option<Counting>,
    },
    /// Nowhere, and why.
    Missing {
        arch: Arch,
        reason: String,
    },
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.system {
            System::Host(_) => f.write_str("host threads"),
            System::Guest { arch, .. } | System::Missing { arch, .. } => write!(f, "{arch} guest"),
        }
    }
}

/// The places for figures of one kind.
///
/// # Errors
/// When what they need cannot be built or installed.
pub fn all<'p>(
    workspace: &Workspace,
    consent: Consent,
    kind: Kind,
    architectures: &[Arch],
    model: &'p Model,
    options: &'p ScalingBenchOptions,
) -> Result<Vec<Place<'p>>> {
    let mut systems = Vec::new();
    if kind == Kind::Native {
        systems.push(System::Host(OnHost::new(workspace, model, options.timeout)?));
    }
    for &arch in architectures {
        setup::require(Tool::Qemu(arch), consent)?;
        let choice = if kind == Kind::Native { AccelChoice::Kvm } else { AccelChoice::Tcg };
        let accel = Host::detect().choose(choice, arch);
        let counting = (kind == Kind::Instructions).then(|| Counting::prepare(workspace, arch)).transpose();
        systems.push(match (accel, counting) {
            (Ok(accel), Ok(counting)) => {
                System::Guest { arch, built: build::build(workspace, arch)?, accel, counting }
            }
            (Err(reason), _) | (_, Err(reason)) => System::Missing { arch, reason: format!("{reason:#}") },
        });
    }
    Ok(systems.into_iter().map(|system| Place { system, kernels: OnceCell::new(), model, options }).collect())
}

impl Place<'_> {
    /// Why so many cores cannot be measured here, if so.
    pub fn cannot(&self, kind: Kind, cores: u32) -> Option<String> {
        match &self.system {
            System::Missing { reason, .. } => Some(reason.clone()),
            _ if kind.is_timed() && !host_cores::suffice_for(cores) => {
                Some(format!("{cores} cores on a host of {}", host_cores::count()))
            }
            _ => None,
        }
    }

    /// What computed, once something has run.
    pub fn kernels(&self) -> Option<&str> {
        self.kernels.get().map(String::as_str)
    }

    /// Runs all batches on so many cores, and where time is measured, by turns, on one of them, and a copy on each.
    ///
    /// # Errors
    /// When it cannot be started or does not end well.
    pub fn run(&self, workspace: &Workspace, kind: Kind, cores: u32) -> Result<Vec<Sample>> {
        let Self { system, kernels, model, options } = self;
        let by_turns = kind.is_timed() && cores > 1;
        let workers = if by_turns { format!("--bound -c 1,{cores}") } else { format!("-c {cores}") };
        let prompts: Vec<String> = options.prompts.iter().map(u32::to_string).collect();
        let warm_up = u32::from(kind.is_timed());
        let (repetitions, tokens) = (options.repetitions.saturating_add(warm_up), options.generate);
        let script =
            format!("bench scaling --json -r {repetitions} -n {tokens} {workers} {}", prompts.join(","));
        let mut words = Vec::new();
        let named = if kind.is_timed() { self.kernels() } else { Some(COUNTED_KERNELS) };
        words.extend(named.map(|name| format!("kernels={}", name.replace(' ', "-"))));
        let (output, parts) = match system {
            System::Host(host) => (host.run(cores, &words, &script)?, None),
            System::Guest { arch, built, accel, counting } => {
                let smp = cores.to_string().parse().map_err(anyhow::Error::msg)?;
                let setup =
                    Setup { kind: MachineKind::default_of(*arch), smp, cpu: None, gic: None, el2: false };
                words.extend(counting.as_ref().map(|_| "spin=0".to_owned()));
                let plan = Plan {
                    name: &format!("scaling {kind:?} {setup}"),
                    setup: &setup,
                    accel: *accel,
                    memory: options.memory,
                    model,
                    modules: &[],
                    words: &words,
                    script: &script,
                    keep_going: false,
                    timeout: options.timeout,
                    pinned: true,
                };
                let (output, ending) = boot::run_counted(workspace, built, &plan, counting.as_ref())?;
                if ending != Ending::Success {
                    let reason = ending.reason().unwrap_or_else(|| "QEMU was closed".to_owned());
                    bail!("{setup}: {reason} after saying\n{output}");
                }
                (output, counting.as_ref().map(Counting::take).transpose()?)
            }
            System::Missing { reason, .. } => bail!("{self}: {reason}"),
        };
        kernels.get_or_init(|| kernels_in(&output).unwrap_or_default().to_owned());
        samples(&output, parts)
    }
}

/// The runs that a console tells of, in order, with a part each where they were counted.
fn samples(output: &str, parts: Option<Vec<Part>>) -> Result<Vec<Sample>> {
    let lines = output.lines().filter(|line| line.starts_with('{'));
    let runs = lines.map(|line| serde_json::from_str::<Run>(line).with_context(|| format!("no run: {line}")));
    let runs = runs.collect::<Result<Vec<Run>>>()?;
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
        > bench scaling\r\n{\"batches\":1,\"hash\":\"ab\",\"plan\":\"together\",\"prompts\":8,\"seconds\":0.5,\
        \"tokens\":167,\"workers\":4}\r\n";

    #[test]
    fn runs_and_parts_belong_together() {
        let part = || Part { cores: Vec::new(), critical: Count::default(), alone: Count::default() };
        let [sample] = samples(OUTPUT, Some(vec![part()])).expect("one each").try_into().expect("one");
        assert_eq!((sample.run.prompts, sample.run.workers, sample.run.seconds), (8, 4, 0.5));
        assert_eq!(kernels_in(OUTPUT), Some("64-bit SWAR"));
        assert!(samples(OUTPUT, None).expect("one run")[0].part.is_none());
        assert!(samples(OUTPUT, Some(vec![part(), part()])).is_err());
        assert!(samples("{\"hash\":1}\n", None).is_err());
    }
}
