//! Guests that serve: the options made into a machine, which is built once and booted as often as wanted.

use anyhow::Result;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::PowerOff;
use crate::accel::{Accelerator, Host};
use crate::arch::Arch;
use crate::build::{self, Built, Program};
use crate::cli::ServedGuestOptions;
use crate::command_line::{self, Manner};
use crate::guest::{self, Ending};
use crate::host_cores;
use crate::input::InputSource;
use crate::machine::{Console, Machine, MachineKind};
use crate::memory::MemorySize;
use crate::model::Model;
use crate::modules::{Loaded, Modules};
use crate::network::Network;
use crate::process::Sink;
use crate::setup::{self, Consent, Tool};
use crate::symbols::Symbols;
use crate::target::GuestMachine;
use crate::topology::Topology;
use crate::workspace::Workspace;

/// A machine that is built and can be booted.
pub struct Plan<'a> {
    options: &'a ServedGuestOptions,
    kind: MachineKind,
    accel: Accelerator,
    smp: Topology,
    memory: MemorySize,
    modules: Modules,
    command_line: String,
    built: Built,
    root: PathBuf,
}

impl<'a> Plan<'a> {
    /// Chooses the machine and builds its kernel.
    ///
    /// # Errors
    /// When options contradict each other, the model does not fit, or the build fails.
    pub fn new(workspace: &Workspace, consent: Consent, options: &'a ServedGuestOptions) -> Result<Self> {
        let kind = kind(options)?;
        let arch = kind.arch();
        let accel = accelerator(options, kind)?;
        let model = Model::resolve(workspace, consent, &options.model)?;
        let files: Vec<_> = options.api_key.iter().cloned().collect();
        let modules = Modules::gather(&model, &files, &workspace.output(arch))?;
        let smp = options.smp.clone().unwrap_or_else(|| Topology::from(host_cores::count() as u32));
        let own_cores = command_line::has_own_cores(accel, smp.cores());
        let mut words = options.append.clone();
        let keys = options.api_key.as_deref().and_then(|path| path.file_name()).and_then(OsStr::to_str);
        words.extend(keys.map(|name| format!("api-key={name}")));
        let manner = Manner { flow_control: true, ..Manner::default() };
        let command_line = command_line::build(&modules, own_cores, &words, manner, None)?;
        let memory = match options.memory {
            Some(memory) => memory,
            None => MemorySize::for_serving(arch, smp.cores(), modules.file.as_ref().map(Loaded::path))?,
        };
        setup::require(Tool::Qemu(arch), consent)?;
        let program = if options.release { Program::Engine } else { Program::Quick };
        let built = build::build_with(workspace, arch, program)?;
        let root = workspace.root.clone();
        Ok(Self { options, kind, accel, smp, memory, modules, command_line, built, root })
    }

    /// Its architecture.
    pub const fn arch(&self) -> Arch {
        self.kind.arch()
    }

    /// Its cores.
    pub const fn smp(&self) -> &Topology {
        &self.smp
    }

    /// The same machine for the console's scripts.
    pub const fn machine(&self, timeout: Duration) -> GuestMachine {
        GuestMachine { kind: self.kind, accel: self.accel, memory: self.memory, timeout }
    }

    /// Boots a guest that serves at `address` of the host, until `is_over` says so or until it ends by itself.
    ///
    /// # Errors
    /// When QEMU cannot be started.
    pub fn boot(
        &self,
        address: SocketAddr,
        timeout: Option<Duration>,
        is_over: impl FnMut() -> bool + Send + 'static,
        sink: Sink,
        started: impl FnOnce(u32) + Send,
    ) -> Result<Ending> {
        let machine = Machine {
            kind: self.kind,
            gic: None,
            el2: false,
            cpu: None,
            accel: self.accel,
            smp: &self.smp,
            memory: self.memory,
            kernel: &self.built.image,
            module: self.modules.file.as_ref().map(Loaded::path),
            command_line: &self.command_line,
            console: Console::Script,
            counting: None,
            network: Some(Network { forward: Some(address), pci: false }),
            gdb: false,
            extra: &self.options.qemu_args,
        };
        let mut qemu = Command::new(self.kind.arch().qemu());
        // A Ctrl-C of the terminal is not for QEMU, which would end at once.
        qemu.args(machine.arguments()?).process_group(0);
        let mut symbols = Symbols::new(&self.built, &self.root);
        let input = InputSource::Reader(Box::new(PowerOff::new(is_over)));
        guest::run(&mut qemu, Console::Script, timeout, Some(input), &mut symbols, sink, started)
    }
}

/// The machine: on a PC the one whose firmware takes no seconds.
fn kind(options: &ServedGuestOptions) -> Result<MachineKind> {
    match (options.machine, options.arch) {
        (None, None | Some(Arch::X86_64)) => Ok(MachineKind::Microvm),
        (machine, arch) => MachineKind::choose(arch, machine),
    }
}

fn accelerator(options: &ServedGuestOptions, kind: MachineKind) -> Result<Accelerator> {
    let host = Host::detect();
    match kind {
        MachineKind::Microvm => host.choose_any(options.accel, kind.arch()),
        _ => host.choose(options.accel, kind.arch()),
    }
}
