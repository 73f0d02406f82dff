//! Short boots of the hostile program, which must end in errors or in fresh engines.

use anyhow::Result;
use std::time::{Duration, Instant};

use super::report::TestRun;
use crate::accel::Accelerator;
use crate::arch::Arch;
use crate::attack::{self, Attack};
use crate::boot::Setup;
use crate::cli::AttackMode;
use crate::memory::MemorySize;
use crate::network::Network;
use crate::workspace::Workspace;

/// Cores, attack and parameters of each boot. Long runs are `cargo xtask attack`.
const ATTACKS: [(u32, AttackMode, &str); 7] = [
    (4, AttackMode::Fuzz, "seed=1 calls=100000 crash=10000"),
    (1, AttackMode::Fuzz, "seed=2 calls=30000 crash=10000"),
    (3, AttackMode::Restarts, "incarnations=80 full=79"),
    (4, AttackMode::Storm, "incarnations=20"),
    (4, AttackMode::Exhaust, ""),
    (2, AttackMode::Long, "incarnations=14"),
    (1, AttackMode::Direct, ""),
];

/// Runs all attacks on the default machine of `arch`; each counts as one test.
///
/// # Errors
/// When the program does not build or QEMU cannot be started.
pub fn run(workspace: &Workspace, arch: Arch, accel: Accelerator, timeout: Duration) -> Result<TestRun> {
    let built = attack::build(workspace, arch)?;
    let start = Instant::now();
    let mut row = TestRun {
        name: format!("{arch} attacks"),
        passed: 0,
        failed: 0,
        time: Duration::ZERO,
        notes: Vec::new(),
    };
    for (smp, mode, numbers) in ATTACKS {
        let setup = Setup { network: Some(Network::default()), ..Setup::plain(arch, smp) };
        let attack = Attack { mode, numbers, setup: &setup, accel, memory: MemorySize::DEFAULT, timeout };
        let outcome = attack::make(workspace, &built, &attack)?;
        if outcome.faults.is_empty() {
            row.passed += 1;
            continue;
        }
        println!("--- console of {} ---\n{}\n--- end of console ---", mode.name(), outcome.console);
        row.failed += 1;
        row.notes.push(format!("{}: {}", mode.name(), outcome.faults.join(", ")));
    }
    row.time = start.elapsed();
    println!("{}: {} passed, {} failed", row.name, row.passed, row.failed);
    Ok(row)
}
