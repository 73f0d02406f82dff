//! Targets of console scripts: a process on this host, or a guest that is booted anew for each script.
//!
//! Owns the transport of a script and the check of its exit status. The output is parsed by [`crate::console`].

use anyhow::{Context, Result, bail};
use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::accel::Accelerator;
use crate::boot::{self, Plan, Setup};
use crate::build::{self, Built};
use crate::command_line;
use crate::counting::{CountedPart, Counting};
use crate::guest::Ending;
use crate::machine::MachineKind;
use crate::memory::MemorySize;
use crate::model::Model;
use crate::process;
use crate::setup::{self, Consent, Tool};
use crate::topology::Topology;
use crate::workspace::Workspace;

/// Settings of C's allocator that keep freed memory in the process, as the machine's engine does: otherwise pages are
/// returned and faulted in again in some later runs and not in others.
const KEEPS_MEMORY: [(&str, &str); 2] =
    [("MALLOC_TRIM_THRESHOLD_", "4294967295"), ("MALLOC_MMAP_THRESHOLD_", "33554432")];

/// A target: this host, or a guest.
pub enum Target<'w> {
    /// A process on this host.
    Host(HostTarget),
    /// A guest.
    Guest(GuestTarget<'w>),
}

/// The console as a process on this host.
pub struct HostTarget {
    program: PathBuf,
    model: PathBuf,
    timeout: Duration,
}

/// The console in a guest.
pub struct GuestTarget<'w> {
    workspace: &'w Workspace,
    built: Built,
    /// Prefix of the log names.
    purpose: String,
    machine: GuestMachine,
    model: &'w Model,
}

/// Parameters of all boots of a guest, with any number of cores.
#[derive(Clone, Copy)]
pub struct GuestMachine {
    /// Machine to emulate.
    pub kind: MachineKind,
    /// Accelerator.
    pub accel: Accelerator,
    /// Memory.
    pub memory: MemorySize,
    /// Time limit of a boot.
    pub timeout: Duration,
}

impl Target<'_> {
    /// Runs `script` on `smp` cores with `words` on the command line. Returns the console output.
    ///
    /// # Errors
    /// When the console cannot be started or fails.
    pub fn run(&self, smp: &Topology, words: &[String], script: &str) -> Result<String> {
        match self {
            Self::Host(host) => host.run(smp.cores(), words, script),
            Self::Guest(guest) => guest.run(smp, words, script),
        }
    }

    /// Whether times are those of an emulator.
    pub fn is_emulated(&self) -> bool {
        matches!(self, Self::Guest(guest) if guest.accel() == Accelerator::Tcg)
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(_) => f.write_str("host"),
            Self::Guest(guest) => write!(f, "{} guest", guest.machine.kind.arch()),
        }
    }
}

impl HostTarget {
    /// Builds the console program.
    ///
    /// # Errors
    /// When it does not compile, or there is no model.
    pub fn new(workspace: &Workspace, model: &Model, timeout: Duration) -> Result<Self> {
        let program = build::host_program(workspace, "console")?;
        Ok(Self { program, model: model.clone().on_host(workspace)?, timeout })
    }

    /// As [`Target::run`], with `threads` pinned threads.
    ///
    /// # Errors
    /// As [`Target::run`].
    pub fn run(&self, threads: u32, words: &[String], script: &str) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.envs(KEEPS_MEMORY).arg(threads.to_string()).arg(&self.model);
        command.args(command_line::of_process(threads)).args(words).arg(format!("exec={script}"));
        process::output(&mut command, Some(self.timeout)).context("on the host")
    }
}

impl<'w> GuestTarget<'w> {
    /// Builds the kernel, and installs QEMU if it is missing. `purpose` is the prefix of log names.
    ///
    /// # Errors
    /// When QEMU is missing and cannot be installed, or the kernel does not compile.
    pub fn new(
        workspace: &'w Workspace,
        consent: Consent,
        purpose: impl Into<String>,
        machine: GuestMachine,
        model: &'w Model,
    ) -> Result<Self> {
        let arch = machine.kind.arch();
        setup::require(Tool::Qemu(arch), consent)?;
        Ok(Self { workspace, built: build::build(workspace, arch)?, purpose: purpose.into(), machine, model })
    }

    /// The machine with `smp` cores.
    pub fn setup(&self, smp: &Topology) -> Setup {
        Setup::new(self.machine.kind, smp.clone())
    }

    /// The accelerator.
    pub const fn accel(&self) -> Accelerator {
        self.machine.accel
    }

    /// As [`Target::run`].
    ///
    /// # Errors
    /// As [`Target::run`].
    pub fn run(&self, smp: &Topology, words: &[String], script: &str) -> Result<String> {
        self.boot(smp, words, script, None)
    }

    /// As [`Self::run`]; also returns the parts that the guest marked, counted by `counting`.
    ///
    /// # Errors
    /// As [`Self::run`], and when the plugin wrote nothing.
    pub fn run_counted(
        &self,
        smp: &Topology,
        words: &[String],
        script: &str,
        counting: &Counting,
    ) -> Result<(String, Vec<CountedPart>)> {
        let output = self.boot(smp, words, script, Some(counting))?;
        Ok((output, counting.take()?))
    }

    fn boot(
        &self,
        smp: &Topology,
        words: &[String],
        script: &str,
        counting: Option<&Counting>,
    ) -> Result<String> {
        let Self { workspace, built, purpose, machine, model } = self;
        let GuestMachine { accel, memory, timeout, .. } = *machine;
        let setup = self.setup(smp);
        let plan = Plan {
            name: &format!("{purpose} {setup}"),
            setup: &setup,
            accel,
            memory,
            model,
            modules: &[],
            words,
            script,
            keep_going: false,
            timeout,
            pinned: true,
        };
        let (output, ending) =
            boot::run_counted(workspace, built, &plan, counting).context("in the guest")?;
        if ending != Ending::Success {
            let reason = ending.reason().unwrap_or_else(|| "QEMU was closed".to_owned());
            bail!("{setup}: {reason}, output:\n{output}");
        }
        Ok(output)
    }
}
