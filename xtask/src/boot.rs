//! One boot of a guest under a script, with its console output kept.

use anyhow::Result;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::accel::Accelerator;
use crate::arch::Arch;
use crate::build::Built;
use crate::command_line::{self, Manner, Script};
use crate::counting::Counting;
use crate::guest::{self, Ending};
use crate::host_cores;
use crate::input::InputSource;
use crate::machine::{Console, Gic, Machine, MachineKind};
use crate::memory::MemorySize;
use crate::model::Model;
use crate::modules::{Loaded, Modules};
use crate::network::Network;
use crate::process::Sink;
use crate::symbols::Symbols;
use crate::topology::Topology;
use crate::workspace::{self, Workspace};

/// A machine to boot.
pub struct Setup {
    /// Machine to emulate.
    pub kind: MachineKind,
    /// Cores.
    pub smp: Topology,
    /// CPU model other than the emulator's best.
    pub cpu: Option<&'static str>,
    /// Interrupt controller other than the default.
    pub gic: Option<Gic>,
    /// Entry at EL2.
    pub el2: bool,
    /// Network.
    pub network: Option<Network>,
}

impl Setup {
    /// A machine with the emulator's best processor and QEMU's other defaults.
    pub const fn new(kind: MachineKind, smp: Topology) -> Self {
        Self { kind, smp, cpu: None, gic: None, el2: false, network: None }
    }

    /// The default machine of `arch` with `cores` cores.
    pub fn plain(arch: Arch, cores: u32) -> Self {
        Self::new(MachineKind::default_of(arch), cores.into())
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -smp {}", self.kind.arch(), self.kind.name(), self.smp)?;
        if let Some(cpu) = self.cpu {
            write!(f, " -cpu {cpu}")?;
        }
        if self.gic == Some(Gic::V2) {
            write!(f, " GICv2")?;
        }
        if self.el2 {
            write!(f, " EL2")?;
        }
        match self.network {
            None => Ok(()),
            Some(network) if network.pci => write!(f, " network on PCI"),
            Some(_) => write!(f, " network"),
        }
    }
}

/// Parameters of a boot.
pub struct Plan<'a> {
    /// Name of the log.
    pub name: &'a str,
    /// Machine.
    pub setup: &'a Setup,
    /// Accelerator.
    pub accel: Accelerator,
    /// Memory.
    pub memory: MemorySize,
    /// Model.
    pub model: &'a Model,
    /// Further files for the engine.
    pub modules: &'a [PathBuf],
    /// Further words for the kernel.
    pub words: &'a [String],
    /// Commands for the console; if empty, it reads them from its input.
    pub script: &'a str,
    /// Whether the script continues after a failed command.
    pub keep_going: bool,
    /// Time limit.
    pub timeout: Duration,
    /// Whether virtual cores are pinned to the host's, if each has one to itself: for measurements.
    pub pinned: bool,
}

/// Boots and waits for the end. Returns the console output, which is also kept in a log file, and the ending.
///
/// # Errors
/// When options contradict each other, QEMU cannot be started or the log cannot be written.
pub fn run(workspace: &Workspace, built: &Built, plan: &Plan<'_>) -> Result<(String, Ending)> {
    run_counted(workspace, built, plan, None)
}

/// As [`run`], with instruction counting if `counting` is given.
///
/// # Errors
/// As [`run`].
pub fn run_counted(
    workspace: &Workspace,
    built: &Built,
    plan: &Plan<'_>,
    counting: Option<&Counting>,
) -> Result<(String, Ending)> {
    let mut output = Vec::new();
    let mut sink = |bytes: &[u8]| {
        output.extend_from_slice(bytes);
        Ok(())
    };
    let ending = boot(workspace, built, plan, counting, None, &mut sink)?;
    let log = workspace.output(plan.setup.kind.arch()).join(format!("{}.log", plan.name).replace(' ', "-"));
    workspace::replace_file(&log, |file| Ok(file.write_all(&output)?))?;
    Ok((String::from_utf8_lossy(&output).into_owned(), ending))
}

/// Boots and waits for the end. The console reads `input`; `sink` takes its output, with answers in frames.
///
/// # Errors
/// When options contradict each other, QEMU cannot be started or the sink fails.
pub fn run_with_input(
    workspace: &Workspace,
    built: &Built,
    plan: &Plan<'_>,
    input: InputSource,
    sink: Sink,
) -> Result<Ending> {
    boot(workspace, built, plan, None, Some(input), sink)
}

fn boot(
    workspace: &Workspace,
    built: &Built,
    plan: &Plan<'_>,
    counting: Option<&Counting>,
    input: Option<InputSource>,
    sink: Sink,
) -> Result<Ending> {
    let Plan { setup, accel, memory, model, modules, words, script, keep_going, timeout, pinned, .. } = plan;
    let console = Console::Script;
    let modules = Modules::gather(model, modules, &workspace.output(setup.kind.arch()))?;
    let cores = setup.smp.cores();
    let own_cores = command_line::has_own_cores(*accel, cores);
    let with_input = input.is_some();
    let manner =
        Manner { keep_going: *keep_going, quiet: with_input, flow_control: with_input, ..Manner::default() };
    let script = Some(Script::Commands(script)).filter(|_| !script.is_empty());
    let command_line = command_line::build(&modules, own_cores, words, manner, script)?;
    let machine = Machine {
        kind: setup.kind,
        gic: setup.gic,
        el2: setup.el2,
        cpu: setup.cpu,
        accel: *accel,
        smp: &setup.smp,
        memory: *memory,
        kernel: &built.image,
        module: modules.file.as_ref().map(Loaded::path),
        command_line: &command_line,
        console,
        counting,
        network: setup.network,
        gdb: false,
        extra: &[],
    };
    let mut qemu = Command::new(setup.kind.arch().qemu());
    qemu.args(machine.arguments()?);
    let mut symbols = Symbols::new(built, &workspace.root);
    let started = |process| {
        if *pinned && own_cores {
            host_cores::pin(process, cores);
        }
    };
    guest::run(&mut qemu, console, Some(*timeout), input, &mut symbols, sink, started)
}
