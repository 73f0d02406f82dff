//! `cargo xtask test`: the host's tests, then the kernel's own on every architecture and core count.

mod guests;
mod host;
mod report;

use anyhow::Result;

use crate::arch::Arch;
use crate::build;
use crate::cli::TestOptions;
use crate::model;
use crate::setup::{self, Consent, Tool};
use crate::workspace::Workspace;
use report::Report;

/// xtask's status when a test failed.
const FAILED: u8 = 1;

/// Runs the tests the options select, prints a table and the closing line.
///
/// # Errors
/// What keeps tests from running at all; failed tests are the status.
pub fn run(workspace: &Workspace, consent: Consent, options: &TestOptions) -> Result<u8> {
    let architectures = options.arch.map_or(Arch::ALL.to_vec(), |arch| vec![arch]);
    let mut report = Report::default();
    if !options.guest_only {
        let model = model::smollm2(workspace, consent, options.no_download)?;
        report.add(host::run(workspace, model.as_deref())?);
    }
    if !options.host_only {
        for &arch in &architectures {
            setup::require(Tool::Qemu(arch), consent)?;
        }
        for &arch in &architectures {
            let built = build::build(workspace, arch)?;
            for smp in &options.smp {
                report.add(guests::run(workspace, &built, arch, smp, options.timeout)?);
            }
        }
    }
    print!("{report}");
    Ok(if report.passed() { 0 } else { FAILED })
}
