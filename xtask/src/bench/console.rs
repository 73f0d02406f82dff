//! The same console commands twice: by the engine as a plain process on this host, and in a booted guest.

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::accel::{Accelerator, Host};
use crate::boot::{self, Plan, Setup};
use crate::build::{self, Built};
use crate::cli::BenchMachine;
use crate::command_line;
use crate::counting::{Counting, Part};
use crate::guest::Ending;
use crate::machine::MachineKind;
use crate::memory::MemorySize;
use crate::model::Model;
use crate::process;
use crate::setup::{self, Consent, Tool};
use crate::workspace::Workspace;

/// Keeps memory that was used once with the program, as the machine's engine does: what C's allocator gives back is
/// fetched again, page by page, within some later runs and not within others.
const KEEPS_MEMORY: [(&str, &str); 2] =
    [("MALLOC_TRIM_THRESHOLD_", "4294967295"), ("MALLOC_MMAP_THRESHOLD_", "33554432")];

/// The engine as a process on this host.
pub struct OnHost {
    program: PathBuf,
    model: PathBuf,
    timeout: Duration,
}

impl OnHost {
    /// Builds it.
    ///
    /// # Errors
    /// When it does not compile, or the model cannot be had.
    pub fn new(workspace: &Workspace, model: &Model, timeout: Duration) -> Result<Self> {
        let program = build::host_program(workspace, "console")?;
        Ok(Self { program, model: model.clone().on_host(workspace)?, timeout })
    }

    /// What it says to `script`, with one thread on each of so many processors and `words` on its command line.
    ///
    /// # Errors
    /// When it cannot be started or does not end well.
    pub fn run(&self, threads: u32, words: &[String], script: &str) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.envs(KEEPS_MEMORY).arg(threads.to_string()).arg(&self.model);
        command.args(command_line::of_process(threads)).args(words).arg(format!("exec={script}"));
        process::said(&mut command, Some(self.timeout)).context("on the host")
    }
}

/// A guest that is booted anew for each script.
pub struct InGuest<'w> {
    workspace: &'w Workspace,
    built: Built,
    setup: Setup,
    /// What executes it.
    pub accel: Accelerator,
    model: Model,
    memory: MemorySize,
    timeout: Duration,
}

impl<'w> InGuest<'w> {
    /// Builds the kernel for the machine of `options`, to be executed by `accel`.
    ///
    /// # Errors
    /// When the machine is of another architecture, the model does not fit it, QEMU is missing or the kernel does not
    /// compile.
    pub fn new(
        workspace: &'w Workspace,
        consent: Consent,
        options: &BenchMachine,
        kind: MachineKind,
        accel: Accelerator,
        model: &Model,
    ) -> Result<Self> {
        let arch = kind.arch();
        if let Some(file) = model.file() {
            options.memory.check_module(arch, options.smp.cores(), file)?;
        }
        setup::require(Tool::Qemu(arch), consent)?;
        Ok(Self {
            workspace,
            built: build::build(workspace, arch)?,
            setup: Setup { kind, smp: options.smp.clone(), cpu: None, gic: None, el2: false },
            accel,
            model: model.clone(),
            memory: options.memory,
            timeout: options.timeout,
        })
    }

    /// The machine, for people.
    pub fn machine(&self) -> String {
        self.setup.to_string()
    }

    /// What it says to `script`.
    ///
    /// # Errors
    /// When it cannot be started or does not end well.
    pub fn run(&self, script: &str) -> Result<String> {
        self.boot(script, &[], None)
    }

    /// The same, and the parts that it marked. Cores that wait sleep at once, so that no look is counted, and take
    /// turns by instructions, so that the host's load is not.
    ///
    /// # Errors
    /// As [`Self::run`], and when the plugin cannot be had or wrote nothing.
    pub fn run_counted(&self, script: &str) -> Result<(String, Vec<Part>)> {
        let counting = Counting::prepare(self.workspace, self.setup.kind.arch())?.repeating();
        let output = self.boot(script, &["spin=0".to_owned()], Some(&counting))?;
        Ok((output, counting.take()?))
    }

    fn boot(&self, script: &str, words: &[String], counting: Option<&Counting>) -> Result<String> {
        let plan = Plan {
            name: &format!("bench {}", self.setup),
            setup: &self.setup,
            accel: self.accel,
            memory: self.memory,
            model: &self.model,
            modules: &[],
            words,
            script,
            keep_going: false,
            timeout: self.timeout,
            pinned: true,
        };
        let (output, ending) =
            boot::run_counted(self.workspace, &self.built, &plan, counting).context("in the guest")?;
        if ending != Ending::Success {
            let reason = ending.reason().unwrap_or_else(|| "QEMU was closed".to_owned());
            bail!("in the guest: {reason} after saying\n{output}");
        }
        Ok(output)
    }
}

impl BenchMachine {
    /// The machine and what executes it: where nothing is said, the processor itself if it can, on the machine that
    /// boots fastest there.
    ///
    /// # Errors
    /// When the options contradict each other or the host.
    pub fn native_if_possible(&self) -> Result<(MachineKind, Accelerator)> {
        use crate::accel::AccelChoice::{Auto, Kvm, Tcg};
        let host = Host::detect();
        let arch = MachineKind::choose(self.arch, self.machine)?.arch();
        let accel = match self.accel {
            Auto => host.choose(Kvm, arch).or_else(|_| host.choose(Tcg, arch))?,
            chosen => host.choose(chosen, arch)?,
        };
        let fast = matches!(accel, Accelerator::Kvm { .. }) && arch == MachineKind::Microvm.arch();
        let machine = self.machine.or_else(|| fast.then_some(MachineKind::Microvm));
        Ok((MachineKind::choose(self.arch, machine)?, accel))
    }
}

/// The JSON object that is a line of `output`.
///
/// # Errors
/// When there is none, or not of this form.
pub fn figures<T: DeserializeOwned>(output: &str) -> Result<T> {
    let line = output.lines().map(str::trim_end).find(|line| line.starts_with('{'));
    let line = line.with_context(|| format!("there are no figures in\n{output}"))?;
    serde_json::from_str(line).with_context(|| format!("these are not the figures looked for: {line}"))
}

/// The name in the console's line `model ..., NAME kernels`.
pub fn kernels_in(output: &str) -> Option<&str> {
    let mut lines = output.lines().map(str::trim_end);
    let line = lines.find_map(|line| line.strip_prefix("model ")?.strip_suffix(" kernels"))?;
    Some(line.rsplit_once(", ")?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_a_line_of_their_own() {
        let numbers: Result<std::collections::BTreeMap<String, u32>> = figures("> bench\r\n{\"a\":1}\r\n");
        assert_eq!(numbers.expect("an object")["a"], 1);
        let missing = figures::<serde_json::Value>("error: no model").expect_err("none").to_string();
        assert!(missing.contains("no model"), "{missing}");
    }
}
