//! `cargo xtask test`: the host's tests, then the kernel's own on every architecture and core count.

mod attacks;
pub mod faults;
pub mod guests;
mod host;
mod lines;
mod piped;
pub mod placement;
pub mod report;
pub mod scenario;
pub mod serving;
pub mod setups;

use anyhow::Result;
use std::time::Instant;

use crate::accel::{Accelerator, Host};
use crate::arch::Arch;
use crate::build::{self, Built};
use crate::cli::TestOptions;
use crate::setup::{self, Consent, Tool};
use crate::workspace::Workspace;
use crate::{checks, model, page};
use report::{TestReport, TestRun};

/// xtask's exit status after a failed test.
pub const FAILED: u8 = 1;

/// Runs the selected tests, prints a table and the closing line.
///
/// # Errors
/// When tests cannot run at all; failed tests are the returned status.
pub fn run(workspace: &Workspace, consent: Consent, options: &TestOptions) -> Result<u8> {
    let architectures = options.arch.map_or(Arch::ALL.to_vec(), |arch| vec![arch]);
    let host = Host::detect();
    let mut report = TestReport::default();
    if !options.host_only {
        for &arch in &architectures {
            setup::require(Tool::Qemu(arch), consent)?;
        }
    }
    if !options.guest_only {
        let model = model::smollm2(workspace, consent, options.no_download)?;
        report.add(host::run(workspace, model.as_deref())?);
        if !options.no_browser {
            report.add(page::test(workspace, consent)?);
        }
    }
    if !options.host_only {
        let mut bits = Vec::new();
        let (mut answers, mut items) = (Vec::new(), Vec::new());
        for &arch in &architectures {
            let accel = host.choose(options.accel, arch)?;
            let built = build::build(workspace, arch)?;
            if arch == Arch::X86_64 {
                report.add(scan(&built)?);
            }
            for setup in setups::select(arch, &options.smp)? {
                let boot = guests::run(workspace, &built, &setup, accel, options.timeout)?;
                bits.push((boot.row.name.clone(), boot.bits));
                report.add(boot.row);
            }
            if accel == Accelerator::Tcg {
                report.add(lines::run(workspace, &built, arch, options.timeout)?);
                report.add(piped::run(workspace, &built, arch, options.timeout)?);
                let scenarios = placement::scenarios(workspace, arch)?;
                report.add(scenario::run(workspace, &built, arch, accel, scenarios, options.timeout)?);
                let served = serving::run(workspace, &built, arch, accel, options.timeout)?;
                report.add(served.row);
                bits.extend(served.bits);
                answers.push((format!("{arch}"), served.answers));
                items.push((arch, served.items));
            }
            let scenarios = faults::scenarios(workspace, arch)?;
            report.add(scenario::run(workspace, &built, arch, accel, scenarios, options.timeout)?);
            report.add(attacks::run(workspace, arch, accel, options.timeout)?);
        }
        report.add(guests::compare_bits("same bits on every machine", &bits));
        if !answers.is_empty() {
            report.add(guests::compare_bits("same served answers", &answers));
        }
        if items.len() == Arch::ALL.len() {
            report.add(serving::document::check(workspace, &items)?);
        }
    }
    print!("{report}");
    Ok(if report.passed() { 0 } else { FAILED })
}

/// Scans the kernel's instructions; counts as one test.
fn scan(built: &Built) -> Result<TestRun> {
    let start = Instant::now();
    let clean = checks::scan(built)? == 0;
    Ok(TestRun {
        name: "x86_64 kernel, instruction scan".to_owned(),
        passed: u32::from(clean),
        failed: u32::from(!clean),
        time: start.elapsed(),
        notes: Vec::new(),
    })
}
