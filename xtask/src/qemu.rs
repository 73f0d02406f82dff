//! `cargo xtask qemu`: builds, boots, and ends with the guest's status.

use anyhow::{Result, ensure};
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::Command;

use crate::accel::{Accelerator, Host};
use crate::build::{self, Program};
use crate::cli::QemuOptions;
use crate::command_line::{self, Manner, Script};
use crate::frames::Frames;
use crate::guest;
use crate::host_cores;
use crate::input::InputSource;
use crate::machine::{Console, Machine};
use crate::model::Model;
use crate::modules::{Loaded, Modules};
use crate::network::Network;
use crate::setup::{self, Consent, Tool};
use crate::symbols::Symbols;
use crate::terminal;
use crate::workspace::Workspace;

/// Runs one guest with the given options.
///
/// # Errors
/// When the guest cannot be started; its ending is the returned status.
pub fn run(workspace: &Workspace, consent: Consent, options: &QemuOptions) -> Result<u8> {
    let kind = options.guest.kind()?;
    let arch = kind.arch();
    let accel = Host::detect().choose(options.accel, arch)?;
    let model = Model::resolve(workspace, consent, &options.model)?;
    let mut files = options.module.clone();
    files.extend(options.script.clone());
    let modules = Modules::gather(&model, &files, &workspace.output(arch))?;
    let script = script(options)?;
    let cores = options.smp.cores();
    let own_cores = command_line::has_own_cores(accel, cores);
    let console =
        if script.is_none() && io::stdin().is_terminal() { Console::Terminal } else { Console::Script };
    ensure!(
        console == Console::Script || !options.quiet,
        "--quiet: needs --exec, --script or piped standard input"
    );
    let columns = if console == Console::Terminal { terminal::columns() } else { None };
    let manner = Manner {
        quiet: options.quiet,
        flow_control: true,
        terminal: columns,
        keep_going: options.keep_going,
    };
    let command_line = command_line::build(&modules, own_cores, &options.append, manner, script)?;
    let mut machine = Machine {
        kind,
        gic: options.gic,
        el2: options.el2,
        cpu: options.cpu.as_deref(),
        accel,
        smp: &options.smp,
        memory: options.guest.memory,
        kernel: "kernel".as_ref(),
        module: modules.file.as_ref().map(Loaded::path),
        command_line: &command_line,
        console,
        counting: None,
        network: options.net.map(|forward| Network { forward: Some(forward), ..Network::default() }),
        gdb: options.gdb,
        extra: &options.qemu_args,
    };
    // Contradicting options are reported before the build, which takes its time.
    machine.arguments()?;
    setup::require(Tool::Qemu(arch), consent)?;
    let program = if options.release { Program::Engine } else { Program::Quick };
    let built = build::build_with(workspace, arch, program)?;
    machine.kernel = &built.image;
    let mut qemu = Command::new(arch.qemu());
    qemu.args(machine.arguments()?);

    if matches!(accel, Accelerator::Kvm { .. }) && !own_cores {
        let host = host_cores::count();
        eprintln!(
            "xtask: {cores} cores on a host of {host}: they share its cores, and one that waits for another may wait \
             for its time slice; --smp {host} is faster"
        );
    }
    if options.gdb {
        let kernel = built.kernel.display();
        eprintln!("xtask: waiting for a debugger: gdb {kernel} -ex 'target remote 127.0.0.1:1234'");
    }
    if console == Console::Terminal {
        eprintln!("xtask: Ctrl-A x ends QEMU, Ctrl-A c switches to its monitor and back");
    }
    let (raw, input) = match console {
        Console::Terminal => (terminal::Raw::begin(workspace), InputSource::Terminal),
        Console::Script => (None, InputSource::Reader(Box::new(terminal::Input))),
    };
    let mut symbols = Symbols::new(&built, &workspace.root);
    let mut frames = Frames::default();
    let mut sink = |bytes: &[u8]| match options.quiet {
        true => frames.take(bytes, &mut terminal::write, &mut |note| io::stderr().write_all(note)),
        false => terminal::write(bytes),
    };
    let ending =
        guest::run(&mut qemu, console, options.timeout, Some(input), &mut symbols, &mut sink, |_| {});
    drop(raw);
    let ending = ending?;
    if let Some(reason) = ending.reason() {
        eprintln!("xtask: {reason}");
    }
    Ok(ending.code())
}

/// The console's script from the options.
fn script(options: &QemuOptions) -> Result<Option<Script<'_>>> {
    // A name that is not UTF-8 has been refused with the other modules'.
    let file =
        options.script.as_deref().and_then(Path::file_name).and_then(OsStr::to_str).map(Script::Module);
    let script = file.or(options.exec.as_deref().map(Script::Commands));
    ensure!(script.is_some() || !options.keep_going, "--keep-going: needs --exec or --script");
    Ok(script)
}
