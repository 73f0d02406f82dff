//! Setup: a command's tools on this machine, and installation of missing ones.
//!
//! Owns the question to the user and the installation. [`packages`] has the package managers' commands.

mod packages;

use anyhow::{Context, Result, bail, ensure};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::Command;

use crate::arch::Arch;
use crate::process;
use crate::workspace::Workspace;
use packages::Manager;
pub use packages::{CHROMIUM, Tool, chromium};

/// Consent to installing packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Given in advance.
    Given,
    /// To be asked for on the terminal.
    Ask,
    /// Not available: no terminal to ask on.
    Unavailable,
}

impl Consent {
    /// Consent by `--yes` or the variable `CI`, else by a question on the terminal, if there is one.
    pub fn from_environment(yes: bool) -> Self {
        let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        Self::decide(yes || ci, io::stdin().is_terminal() && io::stderr().is_terminal())
    }

    const fn decide(given: bool, terminal: bool) -> Self {
        match (given, terminal) {
            (true, _) => Self::Given,
            (false, true) => Self::Ask,
            (false, false) => Self::Unavailable,
        }
    }
}

/// Adds the missing Rust targets of these architectures.
///
/// # Errors
/// When rustup is missing or fails.
pub fn rust_targets(workspace: &Workspace, architectures: &[Arch]) -> Result<()> {
    let output = Command::new("rustc").current_dir(&workspace.root).args(["--print", "sysroot"]).output();
    let output = output.context("cannot start rustc")?;
    ensure!(output.status.success(), "`rustc --print sysroot` failed: {}", output.status);
    let sysroot = String::from_utf8(output.stdout).context("rustc's sysroot is not UTF-8")?;
    let installed = Path::new(sysroot.trim()).join("lib/rustlib");
    let wanted = architectures.iter().flat_map(|arch| [arch.kernel_target(), arch.engine_target()]);
    let missing: Vec<&str> = wanted.filter(|target| !installed.join(target).join("lib").is_dir()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("rustup");
    command.current_dir(&workspace.root).args(["target", "add"]).args(&missing);
    let line = process::shown(&command);
    ensure!(
        process::find_program("rustup").is_some(),
        "Rust targets are missing; install rustup, then: {line}"
    );
    eprintln!("xtask: adding Rust targets: {line}");
    process::run(&mut command)
}

/// Installs `tool` with the system's package manager if it is missing.
///
/// # Errors
/// When it is missing and cannot be installed; the message has the command for that.
pub fn require(tool: Tool, consent: Consent) -> Result<()> {
    if tool.is_present() {
        return Ok(());
    }
    let Some(manager) = Manager::find(|program| process::find_program(program).is_some()) else {
        bail!(
            "{tool} is missing and no known package manager (apt-get, dnf, pacman, brew) is here to install it"
        )
    };
    let sudo = !rustix::process::geteuid().is_root() && process::find_program("sudo").is_some();
    let commands = manager.install(tool, sudo);
    let line = commands.iter().map(|words| words.join(" ")).collect::<Vec<_>>().join(" && ");
    match consent {
        Consent::Given => eprintln!("xtask: {tool} is missing, installing it: {line}"),
        Consent::Ask => ensure!(
            ask(&format!("{tool} is missing. Install it with `{line}`?"))?,
            "{tool} is missing; to install it: {line}"
        ),
        Consent::Unavailable => bail!("{tool} is missing; to install it: {line} (or pass --yes)"),
    }
    for words in commands {
        let (program, arguments) = words.split_first().context("an empty command")?;
        let mut command = Command::new(program);
        command.args(arguments);
        if manager == Manager::Apt {
            // Package scripts must not ask questions of their own.
            command.env("DEBIAN_FRONTEND", "noninteractive");
        }
        process::run(&mut command)
            .with_context(|| format!("{tool} could not be installed; by hand: {line}"))?;
    }
    ensure!(tool.is_present(), "{tool} is still missing after `{line}`");
    Ok(())
}

fn ask(question: &str) -> Result<bool> {
    eprint!("xtask: {question} [Y/n] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(read > 0 && means_yes(&answer))
}

fn means_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_needs_a_terminal_and_no_consent() {
        assert_eq!(Consent::decide(true, true), Consent::Given);
        assert_eq!(Consent::decide(true, false), Consent::Given);
        assert_eq!(Consent::decide(false, true), Consent::Ask);
        assert_eq!(Consent::decide(false, false), Consent::Unavailable);
    }

    #[test]
    fn only_a_clear_yes_installs() {
        for yes in ["\n", "y\n", "YES\r\n"] {
            assert!(means_yes(yes), "{yes:?}");
        }
        for no in ["n\n", "no\n", "maybe\n"] {
            assert!(!means_yes(no), "{no:?}");
        }
    }
}
