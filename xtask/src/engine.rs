//! `cargo xtask engine`: the engine as a filter from JSON lines to JSON lines, on this host or in a booted guest.

pub mod guest;

use anyhow::Result;
use std::io::{self, Write};
use std::process::Command;

use crate::accel::Host;
use crate::arch::Arch;
use crate::boot::Setup;
use crate::build;
use crate::cli::EngineOptions;
use crate::machine::MachineKind;
use crate::model::Model;
use crate::process;
use crate::setup::{self, Consent, Tool};
use crate::terminal;
use crate::workspace::Workspace;
use guest::Guest;

/// Answers standard input until its end.
///
/// # Errors
/// When the engine does not build or cannot load the model; a bad line is answered on standard output.
pub fn run(workspace: &Workspace, consent: Consent, options: &EngineOptions) -> Result<u8> {
    let model = Model::resolve(workspace, consent, &options.model)?;
    if let Some(arch) = options.guest {
        return in_guest(workspace, consent, options, arch, &model);
    }
    let model = model.on_host(workspace)?;
    let program = build::host_program(workspace, "engine")?;
    let mut command = Command::new(program);
    command.arg(options.threads.to_string()).arg(model).arg(options.task.name());
    process::run(&mut command).map(|()| 0)
}

fn in_guest(
    workspace: &Workspace,
    consent: Consent,
    options: &EngineOptions,
    arch: Arch,
    model: &Model,
) -> Result<u8> {
    let kind = MachineKind::choose(Some(arch), options.machine)?;
    let accel = Host::detect().choose(options.accel, arch)?;
    if let Some(file) = model.file() {
        options.memory.check_module(arch, options.smp.cores(), file)?;
    }
    setup::require(Tool::Qemu(arch), consent)?;
    let built = build::build(workspace, arch)?;
    let setup = Setup::new(kind, options.smp.clone());
    let guest = Guest {
        workspace,
        built: &built,
        setup: &setup,
        accel,
        memory: options.memory,
        model,
        timeout: options.timeout,
    };
    let mut notes = |text: &[u8]| io::stderr().write_all(text);
    let ending = guest.answer(options.task, terminal::Input, &mut terminal::write, &mut notes)?;
    if let Some(reason) = ending.reason() {
        eprintln!("xtask: {reason}");
    }
    Ok(ending.code())
}
