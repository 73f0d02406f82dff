//! The list of results in `docs/api.md`: its text, and whether the file has it.

use anyhow::{Context, Result};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::list::{GROUPS, ITEMS, Shown};
use crate::arch::Arch;
use crate::test::report::TestRun;
use crate::workspace::Workspace;

/// The line that the list stands behind, to the end of the file.
const MARK: &str = "<!-- Written by cargo xtask api-list. -->\n";

/// What came of each item on an architecture: whether it holds.
pub type Results = (Arch, Vec<bool>);

fn path(workspace: &Workspace) -> PathBuf {
    workspace.root.join("docs/api.md")
}

/// The list: nothing in it depends on when it was made.
fn list(results: &[Results]) -> String {
    let mut text = String::from("\n| | what holds |");
    results.iter().for_each(|(arch, _)| text += &format!(" {arch} |"));
    text += " shown by | remark |\n| --- | --- |";
    text += &" --- |".repeat(results.len() + 2);
    text.push('\n');
    for (index, item) in ITEMS.iter().enumerate() {
        if let Some((_, group)) = GROUPS.iter().find(|(first, _)| *first == item.number) {
            let _ = writeln!(text, "| | **{group}** |{}", " |".repeat(results.len() + 2));
        }
        let _ = write!(text, "| {} | {} |", item.number, item.what);
        for (_, found) in results {
            let holds = found.get(index).copied().unwrap_or_default();
            let result = match (item.shown, holds) {
                (Shown::Host, _) => "on the host",
                (Shown::Refused(_), true) => "refused",
                (_, true) => "holds",
                (_, false) => "**FAILS**",
            };
            let _ = write!(text, " {result} |");
        }
        let guest = if matches!(item.shown, Shown::Host) { None } else { Some("a guest".to_owned()) };
        let tests = item.tests.iter().map(|test| format!("`{test}`"));
        let shown: Vec<String> = guest.into_iter().chain(tests).collect();
        let _ = writeln!(text, " {} | {} |", shown.join(", "), item.remark);
    }
    text
}

/// The file with this list.
fn with_list(workspace: &Workspace, results: &[Results]) -> Result<(String, String)> {
    let path = path(workspace);
    let old = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let (before, _) = old.split_once(MARK).with_context(|| format!("{} lacks {MARK:?}", path.display()))?;
    let new = format!("{before}{MARK}{}", list(results));
    Ok((old, new))
}

/// Writes the list to the file.
///
/// # Errors
/// When it cannot be read or written.
pub fn write(workspace: &Workspace, results: &[Results]) -> Result<()> {
    let (_, new) = with_list(workspace, results)?;
    fs::write(path(workspace), new).context("cannot write docs/api.md")
}

/// Whether the file has the list; counts as one test.
///
/// # Errors
/// When it cannot be read.
pub fn check(workspace: &Workspace, results: &[Results]) -> Result<TestRun> {
    let (old, new) = with_list(workspace, results)?;
    let is_same = old == new;
    let notes = (!is_same).then(|| "it lists other results; `cargo xtask api-list` writes it".to_owned());
    Ok(TestRun {
        name: "docs/api.md".to_owned(),
        passed: u32::from(is_same),
        failed: u32::from(!is_same),
        time: Duration::ZERO,
        notes: notes.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_apart() {
        let mut found = vec![true; ITEMS.len()];
        found[0] = false;
        let text = list(&[(Arch::X86_64, found), (Arch::Aarch64, vec![true; ITEMS.len()])]);
        assert!(text.contains(
            "| 1 | A request cut at any byte is read the same | **FAILS** | holds | a guest, `http/"
        ));
        assert!(text.contains(
            "| 23 | An error within a stream is its last event | on the host | on the host | `serve/"
        ));
        assert!(text.contains("| 56 | Tools | refused | refused | a guest |"));
        assert!(text.contains("| | **Load** | | | | |\n| 27 |"));
        assert_eq!(text.lines().count(), 1 + 2 + ITEMS.len() + GROUPS.len());
    }
}
