//! `cargo xtask attack`: boots the hostile program of `ci/hostile` in the engine's place and judges the console
//! output.
//!
//! Owns the boot and the printed verdict. `judgement` has the rules, `table` the effects of direct attacks.

pub mod judgement;
mod table;

use anyhow::{Result, bail};
use std::time::Duration;

use crate::accel::{Accelerator, Host};
use crate::arch::Arch;
use crate::boot::{self, Plan, Setup};
use crate::build::{self, Built, Program};
use crate::cli::{AttackMode, AttackOptions};
use crate::guest::Ending;
use crate::memory::MemorySize;
use crate::model::Model;
use crate::network::Network;
use crate::setup::{self, Consent, Tool};
use crate::test;
use crate::workspace::Workspace;

/// One boot of the hostile program.
pub struct Attack<'a> {
    /// Attack to run.
    pub mode: AttackMode,
    /// Parameters, as `name=value`.
    pub numbers: &'a str,
    /// Machine.
    pub setup: &'a Setup,
    /// Accelerator.
    pub accel: Accelerator,
    /// Memory.
    pub memory: MemorySize,
    /// Time limit of the boot.
    pub timeout: Duration,
}

/// Result of an attack.
pub struct AttackOutcome {
    /// Whether the program ran to its end.
    pub is_finished: bool,
    /// Broken rules; empty if the kernel held.
    pub faults: Vec<String>,
    /// Number of engine restarts.
    pub restarts: usize,
    /// The program's last progress line.
    pub progress: Option<String>,
    /// Console output.
    pub console: String,
}

/// Runs the attack that the options name.
///
/// # Errors
/// When a parameter is unknown, or the guest cannot be built or started.
pub fn run(workspace: &Workspace, consent: Consent, options: &AttackOptions) -> Result<u8> {
    check(options.mode, &options.numbers)?;
    let kind = options.guest.kind()?;
    let arch = kind.arch();
    setup::require(Tool::Qemu(arch), consent)?;
    let setup = Setup { network: Some(Network::default()), ..Setup::new(kind, options.smp.clone()) };
    let attack = Attack {
        mode: options.mode,
        numbers: &options.numbers.join(" "),
        setup: &setup,
        accel: Host::detect().choose(options.accel, arch)?,
        memory: options.guest.memory,
        timeout: options.timeout,
    };
    let built = build(workspace, arch)?;
    let outcome = make(workspace, &built, &attack)?;
    for fault in &outcome.faults {
        println!("{fault}");
    }
    let progress = outcome.progress.map(|line| format!("; {line}")).unwrap_or_default();
    let verdict = match (outcome.faults.is_empty(), outcome.is_finished) {
        (true, _) => "held",
        (false, true) => "did not hold",
        (false, false) => "did not finish",
    };
    println!("{setup}, {}: {verdict}, {} restarts{progress}", options.mode.name(), outcome.restarts);
    Ok(if outcome.faults.is_empty() { 0 } else { test::FAILED })
}

/// Builds the kernel that carries the hostile program.
///
/// # Errors
/// As [`build::build`].
pub fn build(workspace: &Workspace, arch: Arch) -> Result<Built> {
    build::build_with(workspace, arch, Program::Hostile)
}

/// Boots the hostile program and judges its console output.
///
/// # Errors
/// When QEMU cannot be started or a file cannot be read or written.
pub fn make(workspace: &Workspace, built: &Built, attack: &Attack<'_>) -> Result<AttackOutcome> {
    let Attack { mode, numbers, setup, accel, memory, timeout } = attack;
    let plan = Plan {
        name: &format!("attack {} {}", mode.name(), setup.smp.cores()),
        setup,
        accel: *accel,
        memory: *memory,
        model: &Model::Embedded,
        modules: &[],
        words: &[],
        script: &format!("{} {numbers}", mode.name()),
        keep_going: false,
        timeout: *timeout,
        pinned: false,
    };
    let (console, ending) = boot::run(workspace, built, &plan)?;
    let mut faults = judgement::faults(&console, &ending);
    if *mode == AttackMode::Direct {
        let table = table::of(&console);
        table::keep(workspace, setup.kind.arch(), &table)?;
        // Another processor has other instructions; that nothing worse happens is judged all the same.
        if *accel == Accelerator::Tcg {
            faults.extend(table::differences(workspace, setup.kind.arch(), &table)?);
        }
    }
    let progress = console.lines().rfind(|line| line.starts_with("fuzz: ")).map(str::to_owned);
    let is_finished = !matches!(ending, Ending::Hang(_));
    Ok(AttackOutcome { is_finished, faults, restarts: judgement::restarts(&console), progress, console })
}

/// Refuses unknown parameters.
fn check(mode: AttackMode, numbers: &[String]) -> Result<()> {
    for number in numbers {
        let pair = number.split_once('=').filter(|(_, value)| value.parse::<u64>().is_ok());
        match pair {
            Some((name, _)) if mode.numbers().contains(&name) => {}
            _ => bail!("{number}: {} takes {}", mode.name(), takes(mode)),
        }
    }
    Ok(())
}

fn takes(mode: AttackMode) -> String {
    match mode.numbers() {
        [] => "no numbers".to_owned(),
        names => names.iter().map(|name| format!("{name}=NUMBER")).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_an_attack_does_not_have_are_refused_by_name() {
        let check = |mode, number: &str| check(mode, &[number.to_owned()]);
        assert!(check(AttackMode::Fuzz, "seed=7").is_ok());
        for (mode, number) in [
            (AttackMode::Fuzz, "incarnations=3"),
            (AttackMode::Fuzz, "seed"),
            (AttackMode::Storm, "incarnations=many"),
            (AttackMode::Exhaust, "incarnations=1"),
        ] {
            let refusal = check(mode, number).expect_err(number).to_string();
            assert!(refusal.starts_with(number) && refusal.contains("takes"), "{refusal}");
        }
    }
}
