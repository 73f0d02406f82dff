//! Instruction counts of an emulated guest: the plugin of `ci/instructions`, built for the installed QEMU, and its
//! report.
//!
//! Cores are emulated round-robin in one thread, so that none waits for a lock that another holds, and counts are the
//! same on a host of any size.

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempPath;

use crate::arch::Arch;
use crate::build;
use crate::process;
use crate::workspace::{self, Workspace};

/// Instruction counts of engine and kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The engine's.
    pub engine: u64,
    /// The kernel's.
    pub kernel: u64,
}

impl Count {
    /// The sum of both.
    pub const fn total(self) -> u64 {
        self.engine + self.kernel
    }
}

/// Instruction counts of a part that the guest has marked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CountedPart {
    /// Counts by core.
    pub cores: Vec<Count>,
    /// Critical path: the sum over phases of the busiest core's count.
    pub critical: Count,
    /// Serial phases of the critical path, in which only one core ran.
    #[serde(rename = "alone")]
    pub serial: Count,
}

#[derive(Deserialize)]
struct Report {
    parts: Vec<CountedPart>,
}

/// The plugin and its report file, for boots that are counted.
pub struct Counting {
    plugin: PathBuf,
    /// The report, in a file of this process's own.
    out: TempPath,
    /// Whether time slices end by the guest's instruction count.
    pub repeats: bool,
}

impl Counting {
    /// Builds the plugin for the QEMU of `arch`.
    ///
    /// # Errors
    /// When there is no plugin for that QEMU's interface, which is named.
    pub fn prepare(workspace: &Workspace, arch: Arch) -> Result<Self> {
        let qemu = arch.qemu();
        let version = process::output(Command::new(qemu).arg("--version"), None)?;
        let api = Api::of(&version).with_context(|| qemu.to_string())?;
        ensure!(
            process::output(Command::new(qemu).arg("-help"), None)?
                .lines()
                .any(|line| line.starts_with("-plugin ")),
            "{qemu} was built without plugins"
        );
        let plugin = build::plugin(workspace, api == Api::Later)?;
        let out = workspace::temporary(&workspace.output(arch), "instructions")?.into_temp_path();
        Ok(Self { plugin, out, repeats: false })
    }

    /// Lets time slices and the guest's clock go by instructions, a nanosecond each, not by the host's clock, so that
    /// boots are repeatable. The guest's choice by speed becomes one by instructions.
    pub fn repeating(self) -> Self {
        Self { repeats: true, ..self }
    }

    /// The value of QEMU's `-plugin`.
    pub fn argument(&self) -> String {
        // A comma in a name is written twice.
        let [plugin, out] =
            [self.plugin.as_path(), &self.out].map(|path| path.display().to_string().replace(',', ",,"));
        format!("{plugin},out={out}")
    }

    /// Takes the parts of the last boot, in the order in which they ended.
    ///
    /// # Errors
    /// When there is no report, or none that can be read.
    pub fn take(&self) -> Result<Vec<CountedPart>> {
        let shown = self.out.display();
        let text = fs::read(&self.out).with_context(|| format!("cannot read {shown}"))?;
        ensure!(!text.is_empty(), "the plugin wrote nothing to {shown}");
        // So that the next boot's report is not this one's.
        fs::write(&self.out, "").with_context(|| format!("cannot write {shown}"))?;
        let report: Report = serde_json::from_slice(&text).with_context(|| format!("cannot read {shown}"))?;
        Ok(report.parts)
    }
}

/// QEMU's plugin interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    /// Version 1.
    First,
    /// Versions 3 and later, which accept plugins of 3.
    Later,
}

impl Api {
    /// Parses the output of `qemu --version`.
    fn of(version: &str) -> Result<Self> {
        let number = version.split_once("version ").and_then(|(_, rest)| {
            let mut numbers = rest.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        });
        let (major, minor) = number.with_context(|| format!("no version in {version:?}"))?;
        match (major, minor) {
            (4, 2..) | (5..=8, _) => Ok(Self::First),
            (9, 1..) | (10.., _) => Ok(Self::Later),
            (9, 0) => bail!("QEMU 9.0 offers plugin API 2; there are plugins for 1 and for 3 and later"),
            _ => bail!("QEMU {major}.{minor} has no plugins"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_is_for_the_qemu_that_is_there() {
        let api = |version: &str| Api::of(version);
        assert_eq!(api("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\n").ok(), Some(Api::First));
        assert_eq!(api("QEMU emulator version 10.0.2\n").ok(), Some(Api::Later));
        assert_eq!(api("QEMU emulator version 9.1.0").ok(), Some(Api::Later));
        for (version, reason) in
            [("version 9.0.1", "plugin API 2"), ("version 4.1.0", "QEMU 4.1 has no"), ("QEMU", "no version")]
        {
            assert!(api(version).expect_err(version).to_string().contains(reason), "{version}");
        }
    }

    #[test]
    fn names_with_commas_reach_qemu() {
        let out = TempPath::try_from_path("/none/c").expect("an absolute path");
        let counting = Counting { plugin: "a,b.so".into(), out, repeats: false };
        assert_eq!(counting.argument(), "a,,b.so,out=/none/c");
    }
}
