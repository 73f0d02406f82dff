//! Checks of the code itself: formatting, lints, and the scan of the kernel's instructions.

use anyhow::{Context, Result};
use std::fs;

use crate::arch::Arch;
use crate::build::{self, Built, Program};
use crate::workspace::Workspace;
use crate::{process, scan, setup};

/// Packages whose programs exist only for a bare-metal target. Their unit tests run on the host.
const BARE_METAL: [&str; 3] = ["embodios-board-pc", "embodios-board-virt", "embodios-machine"];

/// Package without library or tests for the host.
const HOSTILE: &str = "embodios-hostile";

/// Formats all code, or only checks that it is formatted.
///
/// # Errors
/// When rustfmt fails or finds something.
pub fn fmt(workspace: &Workspace, check: bool) -> Result<()> {
    let mut command = workspace.cargo();
    command.args(["fmt", "--all"]);
    if check {
        command.arg("--check");
    }
    process::run(&mut command)
}

/// Lints host code, then boards and engine for their own targets.
///
/// # Errors
/// When clippy finds something or a package does not compile.
pub fn clippy(workspace: &Workspace) -> Result<()> {
    setup::rust_targets(workspace, &Arch::ALL)?;
    let mut host = workspace.cargo();
    host.args(["clippy", "--workspace", "--all-targets"]);
    host.args(BARE_METAL.iter().chain([&HOSTILE]).flat_map(|package| ["--exclude", package]));
    process::run(host.args(["--", "-D", "warnings"]))?;
    let mut parts = workspace.cargo();
    parts.args(["clippy", "--tests"]).args(BARE_METAL.iter().flat_map(|package| ["--package", package]));
    process::run(parts.args(["--", "-D", "warnings"]))?;
    for arch in Arch::ALL {
        for program in [Program::Engine, Program::Hostile] {
            let mut command = build::program_command(workspace, "clippy", arch, program);
            process::run(command.args(["--", "-D", "warnings"]))?;
        }
        let (_, engine) = build::build_program(workspace, arch, Program::Engine)?;
        process::run(
            build::board_command(workspace, "clippy", arch, &engine).args(["--", "-D", "warnings"]),
        )?;
    }
    Ok(())
}

/// Scans the instructions of a built x86_64 kernel and prints those that must not run in ring 0. Returns their
/// number.
///
/// # Errors
/// When the kernel cannot be read.
pub fn scan(built: &Built) -> Result<usize> {
    let elf = fs::read(&built.kernel).with_context(|| format!("cannot read {}", built.kernel.display()))?;
    let report = scan::scan(&elf).with_context(|| built.kernel.display().to_string())?;
    for finding in &report.findings {
        println!("must not run in ring 0: {finding}");
    }
    println!("scan: {} instructions, {} must not run in ring 0", report.instructions, report.findings.len());
    Ok(report.findings.len())
}
