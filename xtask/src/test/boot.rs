//! One boot of an emulated machine under a script, its console kept.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::setups::Setup;
use crate::accel::Accelerator;
use crate::build::Built;
use crate::command_line;
use crate::guest::{self, Ending};
use crate::machine::{Console, Machine};
use crate::model::Model;
use crate::symbols::Symbols;
use crate::workspace::Workspace;

/// What is booted and what it is told.
pub struct Plan<'a> {
    /// Where the log goes, and what it is called there.
    pub name: &'a str,
    /// Machine.
    pub setup: &'a Setup,
    /// Model.
    pub model: &'a Model,
    /// Further words for the kernel.
    pub words: &'a [String],
    /// Commands for the console.
    pub script: &'a str,
    /// When it is ended.
    pub timeout: Duration,
}

/// Boots and waits for the end. The console's text and how it ended; the text is also kept in a log file.
///
/// # Errors
/// When QEMU cannot be started or the log cannot be written.
pub fn run(workspace: &Workspace, built: &Built, plan: &Plan<'_>) -> Result<(String, Ending)> {
    let Plan { name, setup, model, words, script, timeout } = plan;
    let arch = setup.kind.arch();
    let command_line = command_line::build(model, words, Some(script))?;
    let module: Option<&Path> = match model {
        Model::File(path) => Some(path),
        Model::Embedded | Model::None => None,
    };
    let machine = Machine {
        kind: setup.kind,
        gic: setup.gic,
        el2: setup.el2,
        cpu: setup.cpu,
        accel: Accelerator::Tcg,
        smp: &setup.smp,
        memory: "512M",
        kernel: &built.image,
        module,
        command_line: &command_line,
        console: Console::Script,
        gdb: false,
        extra: &[],
    };
    let mut qemu = Command::new(arch.qemu());
    qemu.args(machine.arguments()?);
    let mut symbols = Symbols::new(built, &workspace.root);
    let mut output = Vec::new();
    let ending = guest::run(&mut qemu, Console::Script, Some(*timeout), &mut symbols, &mut |bytes| {
        output.extend_from_slice(bytes);
        Ok(())
    })?;
    let log = workspace.output(arch).join(format!("test {name}.log").replace(' ', "-"));
    fs::write(&log, &output).with_context(|| format!("cannot write {}", log.display()))?;
    Ok((String::from_utf8_lossy(&output).into_owned(), ending))
}
