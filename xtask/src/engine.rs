//! `cargo xtask engine`: the engine on this host as a filter from JSON lines to JSON lines.

use anyhow::Result;
use std::process::Command;

use crate::build;
use crate::cli::EngineOptions;
use crate::model::Model;
use crate::process;
use crate::setup::Consent;
use crate::workspace::Workspace;

/// Answers standard input until its end.
///
/// # Errors
/// When the engine does not build or cannot load the model; a bad line is answered on standard output.
pub fn run(workspace: &Workspace, consent: Consent, options: &EngineOptions) -> Result<u8> {
    let model = Model::resolve(workspace, consent, &options.model)?.on_host(workspace)?;
    let program = build::host_example(workspace, "engine")?;
    let mut command = Command::new(program);
    command.arg(options.threads.to_string()).arg(model).arg(options.task.name());
    process::run(&mut command).map(|()| 0)
}
