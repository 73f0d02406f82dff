//! Provenance of a report: host, emulators, date, commit and command.

use serde::Serialize;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::accel::{AccelChoice, Host};
use crate::arch::Arch;
use crate::host_cores;
use crate::process;
use crate::workspace::Workspace;

/// The provenance, in words.
#[derive(Debug, Default, Serialize)]
pub struct Provenance {
    /// The host's processor, cores and load.
    pub machine: String,
    /// The emulators' versions.
    pub emulators: Vec<String>,
    /// Accelerators for guests of each architecture, beside emulation.
    pub accelerators: Vec<String>,
    /// Time of the start, UTC.
    pub date: String,
    /// Commit of the tree, `-dirty` where files differ from it.
    pub commit: String,
    /// The command line.
    pub command: String,
    /// Model whose batches and steps are measured.
    pub model: String,
    /// Duration of the whole run.
    pub seconds: u64,
}

impl Provenance {
    /// Asks the host, git and the emulators; an unanswered question is "unknown".
    pub fn now(workspace: &Workspace, architectures: &[Arch], model: &str) -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let host = Host::detect();
        let accelerator = |&arch: &Arch| match host.choose(AccelChoice::Kvm, arch) {
            Ok(accel) => format!("{arch}: {accel}"),
            Err(reason) => format!("{arch}: none ({reason:#})"),
        };
        let version = |arch: &Arch| first_line(Command::new(arch.qemu()).arg("--version"));
        Self {
            machine: machine(),
            emulators: architectures.iter().map(version).collect(),
            accelerators: architectures.iter().map(accelerator).collect(),
            date: today(),
            commit: commit(workspace),
            command: format!("cargo xtask {}", words.join(" ")),
            model: model.to_owned(),
            seconds: 0,
        }
    }

    /// Names and values, for people.
    pub fn named(&self) -> [(&'static str, String); 8] {
        [
            ("machine", self.machine.clone()),
            ("emulators", self.emulators.join("; ")),
            ("accelerators beside emulation", self.accelerators.join("; ")),
            ("date", self.date.clone()),
            ("commit", self.commit.clone()),
            ("command", format!("`{}`", self.command)),
            ("model", self.model.clone()),
            ("took", format!("{} s", self.seconds)),
        ]
    }
}

/// The tree's commit, `-dirty` where files differ from it.
pub fn commit(workspace: &Workspace) -> String {
    let mut git = Command::new("git");
    git.arg("-C").arg(&workspace.root);
    first_line(git.args(["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]))
}

/// The first line of a program's output.
fn first_line(command: &mut Command) -> String {
    let output = process::output(command, None).unwrap_or_default();
    output.lines().next().unwrap_or("unknown").to_owned()
}

/// The current time, UTC.
pub fn today() -> String {
    date(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

/// The host's processor by its own name, its cores and its load.
pub fn machine() -> String {
    let cores = host_cores::count();
    let name = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let name = name.unwrap_or_else(|| format!("{} processor", std::env::consts::ARCH));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown").to_owned();
    format!("{name}, {cores} cores, load {load} before")
}

/// A time in seconds since 1970 as `YYYY-MM-DD hh:mm UTC`.
fn date(seconds: u64) -> String {
    let (mut days, minutes) = (seconds / 86_400, seconds % 86_400 / 60);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02} {:02}:{:02} UTC", days + 1, minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }
}
