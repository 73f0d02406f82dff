//! `cargo xtask bench switch`: instructions of a context switch in an emulated guest.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::accel::Accelerator;
use crate::arch::Arch;
use crate::cli::SwitchBenchOptions;
use crate::console;
use crate::counting::{CountedPart, Counting};
use crate::machine::MachineKind;
use crate::memory::MemorySize;
use crate::model::Model;
use crate::setup::Consent;
use crate::target::{GuestMachine, GuestTarget};
use crate::workspace::Workspace;

/// A line of the console's `bench switch --json`.
#[derive(Clone, Debug, Deserialize)]
struct Case {
    case: String,
    rounds: u32,
}

/// A round of a case: one thread yields to the other, which yields back.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// Architecture of the guest.
    pub arch: &'static str,
    /// Kind of switch.
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
/// When QEMU takes no plugin, or a guest fails.
pub fn measure(workspace: &Workspace, consent: Consent, options: &SwitchBenchOptions) -> Result<Vec<Round>> {
    let mut rounds = Vec::new();
    for arch in options.arch.map_or(Arch::ALL.to_vec(), |arch| vec![arch]) {
        let machine = GuestMachine {
            kind: MachineKind::default_of(arch),
            accel: Accelerator::Tcg,
            memory: MemorySize::DEFAULT,
            timeout: options.timeout,
        };
        let guest = GuestTarget::new(workspace, consent, "switch", machine, &Model::None)?;
        let counting = Counting::prepare(workspace, arch)?;
        let script = format!("bench switch --json -n {}", options.rounds);
        let (output, parts) = guest.run_counted(&2.into(), &[], &script, &counting)?;
        rounds.extend(cases(arch, &output, &parts)?);
    }
    Ok(rounds)
}

/// Instructions of each case in a round.
fn cases(arch: Arch, output: &str, parts: &[CountedPart]) -> Result<Vec<Round>> {
    let cases: Vec<Case> = console::objects(output)?;
    ensure!(cases.len() == parts.len(), "{} cases, but {} marked parts", cases.len(), parts.len());
    let round = |(Case { case, rounds }, part): (Case, &CountedPart)| {
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
        let part = CountedPart {
            cores: vec![count(10, 300), count(20, 100)],
            critical: count(0, 0),
            serial: count(0, 0),
        };
        let output = "> bench\r\n{\"case\":\"yield\",\"rounds\":10,\"seconds\":1.0}\r\n";
        let rounds = cases(Arch::X86_64, output, std::slice::from_ref(&part)).expect("one each");
        assert_eq!((rounds[0].engine, rounds[0].kernel), (3.0, 40.0));
        let table = table(&rounds);
        let last: Vec<&str> = table.lines().last().expect("a row").split_whitespace().collect();
        assert_eq!(last, ["x86_64", "yield", "3.0", "40.0"]);
        assert!(cases(Arch::X86_64, output, &[part.clone(), part]).is_err());
    }
}
