//! Table of the direct attacks' effects, compared with the expected one in the tree.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use crate::arch::Arch;
use crate::workspace::{self, Workspace};

/// The program's announcement of an attack, on a line of its own.
const ATTACK: &str = "\nattack: ";

/// Maximum number of differences reported.
const TOLD: usize = 10;

/// An attack and its effect.
type Row = (String, String);

/// Reads the attacks from the console output, in order.
pub fn of(console: &str) -> Vec<Row> {
    let mut incarnations = console.split(ATTACK);
    incarnations.next();
    incarnations
        .map(|incarnation| {
            let (name, rest) = incarnation.split_once('\n').unwrap_or((incarnation, ""));
            (name.trim().to_owned(), outcome(rest))
        })
        .collect()
}

/// Effect by the kernel's report: a fault without its address, which the attack's name tells, or the program's own
/// message.
fn outcome(incarnation: &str) -> String {
    let after = |start: &str| incarnation.split_once(start).map(|(_, after)| after);
    if let Some(report) = after("engine fault on core ") {
        let text = report.lines().next().unwrap_or("").split_once("): ").map_or("", |(_, text)| text);
        let words = match text.rsplit_once(" 0x") {
            Some((words, address)) if address.chars().all(|digit| digit.is_ascii_hexdigit()) => words,
            _ => text,
        };
        return words.trim().to_owned();
    }
    let message = after("engine failed on core ").and_then(|report| report.lines().nth(1));
    message.map_or_else(|| "no report".to_owned(), |message| message.trim().to_owned())
}

fn expected(workspace: &Workspace, arch: Arch) -> PathBuf {
    workspace.root.join(format!("ci/hostile/expected/{arch}.txt"))
}

fn found(workspace: &Workspace, arch: Arch) -> PathBuf {
    workspace.output(arch).join("attacks.txt")
}

/// Writes the table beside the console log.
///
/// # Errors
/// When it cannot be written.
pub fn keep(workspace: &Workspace, arch: Arch, table: &[Row]) -> Result<()> {
    workspace::replace_file(&found(workspace, arch), |file| {
        for (name, outcome) in table {
            writeln!(file, "{name} -> {outcome}")?;
        }
        Ok(())
    })
}

/// Differences from the expected table in the tree.
///
/// # Errors
/// When the expected table cannot be read.
pub fn differences(workspace: &Workspace, arch: Arch, table: &[Row]) -> Result<Vec<String>> {
    let path = expected(workspace, arch);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut differences = compare(&text, table);
    if !differences.is_empty() {
        differences.push(format!("the whole table: {}", found(workspace, arch).display()));
    }
    Ok(differences)
}

fn compare(expected: &str, table: &[Row]) -> Vec<String> {
    let expected: BTreeMap<&str, &str> =
        expected.lines().filter_map(|line| line.split_once(" -> ")).collect();
    let found: BTreeMap<&str, &str> =
        table.iter().map(|(name, what)| (name.as_str(), what.as_str())).collect();
    let changed = found.iter().filter_map(|(name, what)| match expected.get(name) {
        Some(before) if before == what => None,
        Some(before) => Some(format!("{name}: {what}; expected: {before}")),
        None => Some(format!("{name}: {what}; not in the table")),
    });
    let missing = expected.keys().filter(|name| !found.contains_key(*name));
    changed.chain(missing.map(|name| format!("{name}: was not made"))).take(TOLD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "boot\n\nattack: read page 1\nengine fault on core 0 (0x0): read of unmapped address 0x1000\n\
        rip 0x1\nengine restarted (1)\n\nattack: sev\nengine failed on core 0:\nno harm\nengine restarted (2)\n\
        \nattack: cli\nengine fault on core 0 (0x0): general protection\nengine restarted (3)\n\nattack: hlt\n";

    #[test]
    fn outcomes_are_read_from_reports() {
        let rows = of(CONSOLE);
        let rows: Vec<(&str, &str)> =
            rows.iter().map(|(name, what)| (name.as_str(), what.as_str())).collect();
        assert_eq!(
            rows,
            [
                ("read page 1", "read of unmapped address"),
                ("sev", "no harm"),
                ("cli", "general protection"),
                ("hlt", "no report")
            ]
        );
    }

    #[test]
    fn differences_are_named() {
        let row = |name: &str, what: &str| (name.to_owned(), what.to_owned());
        let table = [row("cli", "general protection"), row("sti", "no harm"), row("hlt", "no harm")];
        let found = compare("cli -> general protection\nsti -> general protection\nint 0x3 -> x\n", &table);
        assert_eq!(
            found,
            [
                "hlt: no harm; not in the table",
                "sti: no harm; expected: general protection",
                "int 0x3: was not made"
            ]
        );
    }
}
