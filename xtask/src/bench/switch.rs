//! `cargo xtask bench switch`: what it takes one thread to give way to another, in instructions of the emulated guest.

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::accel::Accelerator;
use crate::arch::Arch;
use crate::boot::{self, Plan, Setup};
use crate::build;
use crate::cli::SwitchBenchOptions;
use crate::counting::{Counting, Part};
use crate::guest::Ending;
use crate::machine::MachineKind;
use crate::memory::MemorySize;
use crate::model::Model;
use crate::setup::{self, Consent, Tool};
use crate::workspace::Workspace;

/// A line of the console's `bench switch --json`.
#[derive(Clone, Debug, Deserialize)]
struct Case {
    case: String,
    rounds: u32,
}

/// A round of a case: one thread gives way to the other, and that one back.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// Guest.
    pub arch: &'static str,
    /// How they give way.
    pub case: String,
    /// The engine's instructions a round, on all cores.
    pub engine: f64,
    /// The kernel's.
    pub kernel: f64,
}

/// Measures and prints a table.
///
/// # Errors
/// As [`measure`].
pub fn run(workspace: &Workspace, consent: Consent, options: &SwitchBenchOptions) -> Result<u8> {
    print!("{}", table(&measure(workspace, consent, options)?));
    Ok(0)
}

/// Counts a round of each case on each architecture.
///
/// # Errors
/// When QEMU takes no plugin, or a guest does not end well.
pub fn measure(workspace: &Workspace, consent: Consent, options: &SwitchBenchOptions) -> Result<Vec<Round>> {
    let mut rounds = Vec::new();
    for arch in options.arch.map_or(Arch::ALL.to_vec(), |arch| vec![arch]) {
        setup::require(Tool::Qemu(arch), consent)?;
        let counting = Counting::prepare(workspace, arch)?;
        let built = build::build(workspace, arch)?;
        let smp = "2".parse().map_err(anyhow::Error::msg)?;
        let setup = Setup { kind: MachineKind::default_of(arch), smp, cpu: None, gic: None, el2: false };
        let plan = Plan {
            name: "switch",
            setup: &setup,
            accel: Accelerator::Tcg,
            memory: MemorySize::DEFAULT,
            model: &Model::None,
            modules: &[],
            words: &[],
            script: &format!("bench switch --json -n {}", options.rounds),
            keep_going: false,
            timeout: options.timeout,
            pinned: false,
        };
        let (output, ending) = boot::run_counted(workspace, &built, &plan, Some(&counting))?;
        if ending != Ending::Success {
            let reason = ending.reason().unwrap_or_else(|| "QEMU was closed".to_owned());
            bail!("{setup}: {reason} after saying\n{output}");
        }
        rounds.extend(cases(arch, &output, &counting.take()?)?);
    }
    Ok(rounds)
}

/// What each case took a round.
fn cases(arch: Arch, output: &str, parts: &[Part]) -> Result<Vec<Round>> {
    let lines = output.lines().filter(|line| line.starts_with('{'));
    let cases = lines.map(|line| serde_json::from_str(line).with_context(|| format!("no case: {line}")));
    let cases = cases.collect::<Result<Vec<Case>>>()?;
    ensure!(cases.len() == parts.len(), "{} cases, but {} marked parts", cases.len(), parts.len());
    let round = |(Case { case, rounds }, part): (Case, &Part)| {
        let a_round = |count: u64| count as f64 / f64::from(rounds);
        let engine = part.cores.iter().map(|count| count.engine).sum();
        let kernel = part.cores.iter().map(|count| count.kernel).sum();
        Round { arch: arch.name(), case, engine: a_round(engine), kernel: a_round(kernel) }
    };
    Ok(cases.into_iter().zip(parts).map(round).collect())
}

fn table(rounds: &[Round]) -> String {
    let mut table =
        format!("{:<8} {:<31} {:>8} {:>8}\n", "guest", "instructions a round, all cores", "engine", "kernel");
    for Round { arch, case, engine, kernel } in rounds {
        table += &format!("{arch:<8} {case:<31} {engine:>8.1} {kernel:>8.1}\n");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counting::Count;

    #[test]
    fn counts_are_of_a_round_on_all_cores() {
        let count = |engine, kernel| Count { engine, kernel };
        let part =
            Part { cores: vec![count(10, 300), count(20, 100)], critical: count(0, 0), alone: count(0, 0) };
        let output = "> bench\r\n{\"case\":\"yield\",\"rounds\":10,\"seconds\":1.0}\r\n";
        let rounds = cases(Arch::X86_64, output, std::slice::from_ref(&part)).expect("one each");
        assert_eq!((rounds[0].engine, rounds[0].kernel), (3.0, 40.0));
        let table = table(&rounds);
        let last: Vec<&str> = table.lines().last().expect("a row").split_whitespace().collect();
        assert_eq!(last, ["x86_64", "yield", "3.0", "40.0"]);
        assert!(cases(Arch::X86_64, output, &[part.clone(), part]).is_err());
    }
}
