//! `cargo xtask abuse`: boots a guest that serves, abuses it, and says whether it held.

use anyhow::{Result, bail};
use std::time::Instant;

use super::Abuse;
use crate::accel::Host;
use crate::arch::Arch;
use crate::build;
use crate::cli::AbuseOptions;
use crate::setup::{self, Consent, Tool};
use crate::test::FAILED;
use crate::test::serving::guest::{End, Guest, Loaded};
use crate::test::serving::{self, model};
use crate::workspace::Workspace;

/// Runs it.
///
/// # Errors
/// When the guest cannot be built or booted; one that does not hold is the returned status.
pub fn run(workspace: &Workspace, consent: Consent, options: &AbuseOptions) -> Result<u8> {
    let arch = options.arch.unwrap_or(Arch::X86_64);
    setup::require(Tool::Qemu(arch), consent)?;
    let accel = Host::detect().choose_any(options.accel, arch)?;
    if options.connections > 4000 {
        bail!("--connections {}: a process has not so many files open", options.connections);
    }
    let built = build::build(workspace, arch)?;
    let (file, _) = model::write(workspace, arch)?;
    let loaded = Loaded { model: &file, name: model::NAME, modules: &[], words: &[] };
    let guest = Guest { workspace, built: &built, accel, timeout: options.timeout };
    let setup = serving::machine(arch, options.smp.clone());
    let name = format!("{setup}, {accel}");
    let &AbuseOptions { seed, first, requests, ordinary, connections, .. } = options;
    let begun = Instant::now();
    let boot = guest.serve(setup, &loaded, End::PowerOff, |server| {
        Abuse { seed, first, requests, ordinary, connections }.run(server)
    })?;
    let mut holds = boot.wrong.is_none() && boot.restarts == 0;
    match boot.result {
        Ok(held) => println!("{held}"),
        Err(error) => {
            println!("{error:#}");
            holds = false;
        }
    }
    boot.wrong.iter().for_each(|wrong| println!("{wrong}"));
    let verdict = if holds { "held" } else { "did not hold" };
    println!(
        "{name}, seed {seed}, {requests} damaged and {ordinary} ordinary requests: {verdict}, {} restarts, {:.0} s",
        boot.restarts,
        begun.elapsed().as_secs_f64()
    );
    Ok(if holds { 0 } else { FAILED })
}
