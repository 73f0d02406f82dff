//! Scenarios: boots with texts that the console must print in order, and an expected ending. The lists are `faults`
//! and `placement`.

use anyhow::Result;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::report::TestRun;
use crate::accel::Accelerator;
use crate::arch::Arch;
use crate::boot::{self, Plan, Setup};
use crate::build::Built;
use crate::guest::Ending;
use crate::memory::MemorySize;
use crate::model::Model;
use crate::workspace::{self, Workspace};

/// Cores of the machines.
const CORES: u32 = 4;

/// A boot and its expected output.
pub struct Scenario {
    /// Name of the test.
    pub name: &'static str,
    /// Model.
    pub model: Model,
    /// Further files for the engine.
    pub modules: Vec<PathBuf>,
    /// Words for the command line.
    pub words: Vec<String>,
    /// Commands for the console.
    pub script: &'static str,
    /// Expected texts, in this order.
    pub expected: &'static [&'static str],
    /// Expected ending.
    pub ending: Ending,
}

impl Scenario {
    /// A boot with the built-in model and no words.
    pub fn new(
        name: &'static str,
        script: &'static str,
        expected: &'static [&'static str],
        ending: Ending,
    ) -> Self {
        Self {
            name,
            model: Model::Embedded,
            modules: Vec::new(),
            words: Vec::new(),
            script,
            expected,
            ending,
        }
    }
}

/// Boots the scenarios of a list on the default machine of `arch`; each counts as one test.
///
/// # Errors
/// When QEMU cannot be started or files cannot be written.
pub fn run(
    workspace: &Workspace,
    built: &Built,
    arch: Arch,
    accel: Accelerator,
    scenarios: (&str, Vec<Scenario>),
    timeout: Duration,
) -> Result<TestRun> {
    let (kind, scenarios) = scenarios;
    let start = Instant::now();
    let setup = Setup::plain(arch, CORES);
    let mut row = TestRun {
        name: format!("{setup}, {kind}"),
        passed: 0,
        failed: 0,
        time: Duration::ZERO,
        notes: Vec::new(),
    };
    for Scenario { name, model, modules, words, script, expected, ending } in scenarios {
        let plan = Plan {
            name: &format!("test {name}"),
            setup: &setup,
            accel,
            memory: MemorySize::DEFAULT,
            model: &model,
            modules: &modules,
            words: &words,
            script,
            keep_going: true,
            timeout,
            pinned: false,
        };
        let (output, ended) = boot::run(workspace, built, &plan)?;
        match shortfall(&output, expected)
            .or_else(|| (ended != ending).then(|| format!("ended with {ended:?}")))
        {
            None => row.passed += 1,
            Some(note) => {
                println!("--- console of {name} ---\n{output}\n--- end of console ---");
                row.failed += 1;
                row.notes.push(format!("{name}: {note}"));
            }
        }
    }
    row.time = start.elapsed();
    println!("{}: {} passed, {} failed", row.name, row.passed, row.failed);
    Ok(row)
}

/// Writes a model or another file for a boot under the workspace's output.
///
/// # Errors
/// When it cannot be written.
pub fn file(workspace: &Workspace, arch: Arch, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = workspace.output(arch).join(name);
    // A concurrent test may be booting it, which gets either the old file or the new one.
    workspace::replace_file(&path, |file| Ok(file.write_all(bytes)?))?;
    Ok(path)
}

/// Finds the first of `texts` that does not follow those before it.
fn shortfall(output: &str, texts: &[&str]) -> Option<String> {
    let mut rest = output;
    for text in texts {
        match rest.split_once(text) {
            Some((_, after)) => rest = after,
            None => return Some(format!("the console does not print {text:?} in its place")),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_wanted_in_order() {
        assert_eq!(shortfall("one two three", &["one", "three"]), None);
        assert!(shortfall("one two three", &["three", "one"]).is_some_and(|note| note.contains("\"one\"")));
    }
}
