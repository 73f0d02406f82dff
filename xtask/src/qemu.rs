//! `cargo xtask qemu`: builds, boots, and ends with the guest's status.

use anyhow::Result;
use std::io::{self, IsTerminal};
use std::process::Command;

use crate::accel::{Accelerator, Host};
use crate::build;
use crate::cli::QemuOptions;
use crate::command_line;
use crate::guest;
use crate::host_cores;
use crate::machine::{Console, Machine, MachineKind};
use crate::model::Model;
use crate::modules::Modules;
use crate::setup::{self, Consent, Tool};
use crate::symbols::Symbols;
use crate::terminal;
use crate::workspace::Workspace;

/// Runs one guest as the options say.
///
/// # Errors
/// Everything that keeps the guest from being started; how it ended is the status.
pub fn run(workspace: &Workspace, consent: Consent, options: &QemuOptions) -> Result<u8> {
    let kind = MachineKind::choose(options.arch, options.machine)?;
    let arch = kind.arch();
    let accel = Host::detect().choose(options.accel, arch)?;
    let model = Model::resolve(workspace, consent, &options.model)?;
    let modules = Modules::gather(&model, &options.module, &workspace.output(arch).join("modules"))?;
    let cores = options.smp.cores();
    let own_cores = command_line::has_own_cores(accel, cores);
    let command_line = command_line::build(&modules, own_cores, &options.append, options.exec.as_deref())?;
    let console = if options.exec.is_some() { Console::Script } else { Console::Terminal };
    let mut machine = Machine {
        kind,
        gic: options.gic,
        el2: options.el2,
        cpu: options.cpu.as_deref(),
        accel,
        smp: &options.smp,
        memory: options.memory,
        kernel: "kernel".as_ref(),
        module: modules.file.as_deref(),
        command_line: &command_line,
        console,
        counting: None,
        gdb: options.gdb,
        extra: &options.qemu_args,
    };
    // Options that contradict each other are said before a build takes its time.
    machine.arguments()?;
    setup::require(Tool::Qemu(arch), consent)?;
    let built = build::build(workspace, arch)?;
    machine.kernel = &built.image;
    let mut qemu = Command::new(arch.qemu());
    qemu.args(machine.arguments()?);

    if matches!(accel, Accelerator::Kvm { .. }) && !own_cores {
        let host = host_cores::count();
        eprintln!(
            "xtask: {cores} cores on a host of {host}: they take turns, and one that waits for another may wait for its \
             turn; --smp {host} is faster"
        );
    }
    if options.gdb {
        let kernel = built.kernel.display();
        eprintln!("xtask: waiting for a debugger: gdb {kernel} -ex 'target remote 127.0.0.1:1234'");
    }
    if console == Console::Terminal && io::stdin().is_terminal() {
        eprintln!("xtask: Ctrl-A x ends QEMU, Ctrl-A c switches to its monitor and back");
    }
    let saved = terminal::Saved::now();
    let mut symbols = Symbols::new(&built, &workspace.root);
    let ending = guest::run(&mut qemu, console, options.timeout, &mut symbols, &mut terminal::write, |_| {});
    drop(saved);
    let ending = ending?;
    if let Some(reason) = ending.reason() {
        eprintln!("xtask: {reason}");
    }
    Ok(ending.code())
}
