//! The tests inside the kernel: one boot, its console output, and a verdict.

use anyhow::Result;
use std::time::{Duration, Instant};

use super::report::TestRun;
use crate::accel::Accelerator;
use crate::boot::{self, Plan, Setup};
use crate::build::Built;
use crate::console::{self, Hash};
use crate::guest::Ending;
use crate::memory::MemorySize;
use crate::model::Model;
use crate::workspace::Workspace;

/// Console commands: the tests, then a continuation whose hash must be the same on every machine.
const SCRIPT: &str = "test; hash --json -n 32 Once upon a time";

/// Result of a boot.
pub struct Boot {
    /// Row of the table.
    pub row: TestRun,
    /// Hash of all logits of the continuation, if the guest got there.
    pub bits: Option<String>,
    /// Cores online and detected, as the kernel reports.
    pub online: Option<(u32, u32)>,
    /// Tests by name, and whether each passed.
    pub tests: Vec<(String, bool)>,
}

/// Boots one machine and runs the console's tests.
///
/// # Errors
/// When QEMU cannot be started or the log cannot be written.
pub fn run(
    workspace: &Workspace,
    built: &Built,
    setup: &Setup,
    accel: Accelerator,
    timeout: Duration,
) -> Result<Boot> {
    let start = Instant::now();
    let name = setup.to_string();
    let plan = Plan {
        name: &format!("test {name}"),
        setup,
        accel,
        memory: MemorySize::DEFAULT,
        model: &Model::Embedded,
        modules: &[],
        words: &[],
        script: SCRIPT,
        keep_going: true,
        timeout,
        pinned: false,
    };
    let (output, ending) = boot::run(workspace, built, &plan)?;
    let Verdict { passed, failed, notes, bits, online, tests } = judge(&output, setup.smp.cores(), &ending);
    if failed > 0 {
        println!("--- console of {name} ---\n{output}\n--- end of console ---");
    }
    println!("{name}: {passed} passed, {failed} failed");
    Ok(Boot { row: TestRun { name, passed, failed, time: start.elapsed(), notes }, bits, online, tests })
}

/// Verdict on a boot.
#[derive(Debug, Default)]
struct Verdict {
    passed: u32,
    failed: u32,
    notes: Vec<String>,
    bits: Option<String>,
    online: Option<(u32, u32)>,
    tests: Vec<(String, bool)>,
}

/// Counts `test NAME ... ok` and `test NAME ... FAILED`, with or without a reason, and checks them against the
/// closing line `N passed, N failed`, the line `cores: N of N online`, the hash after them and the exit status. Tests
/// are read from lines for people: kernel, engine and console write them in sequence, and each counts even if the
/// next one ends the machine.
fn judge(output: &str, cores: u32, ending: &Ending) -> Verdict {
    let mut verdict = Verdict::default();
    let mut closing = None;
    for line in output.lines().map(str::trim_end) {
        if let Some((name, outcome)) = line.strip_prefix("test ").and_then(|test| test.split_once(" ... ")) {
            verdict.passed += u32::from(outcome == "ok");
            verdict.failed += u32::from(outcome.starts_with("FAILED"));
            verdict.tests.push((name.to_owned(), outcome == "ok"));
        }
        closing = pair(line, "", " passed, ", " failed").or(closing);
        verdict.online = verdict.online.or(cores_online(line));
    }
    let mut broken = Vec::new();
    match console::objects::<Hash>(output) {
        Ok(hashes) => verdict.bits = hashes.into_iter().next().map(|hash| hash.logits_hash),
        Err(error) => broken.push(format!("{error:#}")),
    }
    match verdict.online {
        None => broken.push("no line `cores: N of N online`".to_owned()),
        Some(found) if found != (cores, cores) => {
            broken.push(format!("{} of {} cores online, the machine has {cores}", found.0, found.1));
        }
        Some(_) => {}
    }
    match closing {
        None => broken.push("no closing line `N passed, N failed`".to_owned()),
        Some(counts) if counts != (verdict.passed, verdict.failed) => {
            broken.push(format!("the closing line says {} passed, {} failed", counts.0, counts.1));
        }
        Some((0, 0)) => broken.push("no test ran".to_owned()),
        Some(_) => {}
    }
    if verdict.bits.is_none() {
        broken.push("no `logits_hash` of a continuation".to_owned());
    }
    if *ending != Ending::Success && (*ending != Ending::Failure || verdict.failed == 0) {
        broken.extend(ending.reason().or_else(|| Some("QEMU was closed".to_owned())));
    }
    if *ending == Ending::Success && verdict.failed > 0 {
        broken.push("the exit status says success".to_owned());
    }
    if !broken.is_empty() {
        verdict.failed = verdict.failed.max(1);
    }
    verdict.notes = broken;
    verdict
}

/// Parses the numbers of a line that begins with `cores: N of N online`.
fn cores_online(line: &str) -> Option<(u32, u32)> {
    let (counts, _) = line.split_once(" online")?;
    pair(counts, "cores: ", " of ", "")
}

/// Parses the two numbers of a line `{before}N{between}N{after}`.
fn pair(line: &str, before: &str, between: &str, after: &str) -> Option<(u32, u32)> {
    let (first, second) = line.strip_prefix(before)?.strip_suffix(after)?.split_once(between)?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

/// Compares the bits of all boots; counts as one test.
pub fn compare_bits(name: &str, boots: &[(String, Option<String>)]) -> TestRun {
    let first = boots.iter().find_map(|(name, bits)| bits.as_ref().map(|bits| (name, bits)));
    let mut notes = Vec::new();
    for (name, bits) in boots {
        if let (Some(bits), Some((first_name, first_bits))) = (bits, first)
            && bits != first_bits
        {
            notes.push(format!("{name}: {bits}, but {first_name}: {first_bits}"));
        }
    }
    let hashes = boots.iter().filter(|(_, bits)| bits.is_some()).count();
    let same = notes.is_empty() && hashes > 0;
    notes.extend(first.filter(|_| same).map(|(_, bits)| format!("{hashes} times {bits}")));
    TestRun {
        name: name.to_owned(),
        passed: u32::from(same),
        failed: u32::from(!same),
        time: Duration::ZERO,
        notes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "EMBODIOS\r\ncores: 4 of 4 online (0x0 0x1 0x2 0x3)\r\ntest frames ... ok\r\n\
        test futex wakes ... ok\r\n\
                        2 passed, 0 failed\r\n> hash --json\r\n\
                        {\"ids\":[12],\"kernels\":\"portable\",\"logits_hash\":\"547adac519ebeef2\"}\r\n";

    fn counts(output: &str, ending: &Ending) -> (u32, u32, String) {
        let verdict = judge(output, 4, ending);
        (verdict.passed, verdict.failed, verdict.notes.join("; "))
    }

    #[test]
    fn a_clean_boot_passes() {
        assert_eq!(counts(GOOD, &Ending::Success), (2, 0, String::new()));
        let verdict = judge(GOOD, 4, &Ending::Success);
        assert_eq!(verdict.bits.as_deref(), Some("547adac519ebeef2"));
        assert_eq!(verdict.online, Some((4, 4)));
        assert_eq!(verdict.tests, [("frames".to_owned(), true), ("futex wakes".to_owned(), true)]);
    }

    #[test]
    fn a_failed_test_needs_no_note() {
        let output =
            GOOD.replace("wakes ... ok", "wakes ... FAILED: why").replace("2 passed, 0", "1 passed, 1");
        assert_eq!(counts(&output, &Ending::Failure), (1, 1, String::new()));
        assert_eq!(counts(&output, &Ending::Success), (1, 1, "the exit status says success".to_owned()));
    }

    #[test]
    fn every_way_to_break_off_is_a_failure() {
        for (output, ending, note) in [
            (GOOD.replace("4 of 4", "3 of 4"), Ending::Success, "3 of 4 cores online"),
            (GOOD.replace("4 of 4", "3 of 3"), Ending::Success, "3 of 3 cores online"),
            (GOOD.replace("cores: ", "ports: "), Ending::Success, "no line `cores:"),
            (GOOD.replace("2 passed", "3 passed"), Ending::Success, "says 3 passed"),
            (GOOD.replace(" passed, ", " and "), Ending::Success, "no closing line"),
            (GOOD.replace("{", "["), Ending::Success, "no `logits_hash`"),
            (GOOD.replace("logits", "digits"), Ending::Success, "missing field `logits_hash`"),
            (GOOD.to_owned(), Ending::Failure, "a command in the guest failed"),
            (GOOD.to_owned(), Ending::Panic, "panicked"),
            (GOOD.to_owned(), Ending::Closed, "QEMU was closed"),
            (GOOD.to_owned(), Ending::Hang(Duration::from_secs(9)), "9 s"),
            ("cores: 4 of 4 online\n0 passed, 0 failed\n".to_owned(), Ending::Success, "no test ran"),
            (String::new(), Ending::Emulator("signal: 9".to_owned()), "signal: 9"),
        ] {
            let (_, failed, notes) = counts(&output, &ending);
            assert!(failed > 0 && notes.contains(note), "{note}: {failed} {notes}");
        }
    }

    #[test]
    fn one_differing_machine_is_named() {
        let boot = |name: &str, bits: Option<&str>| (name.to_owned(), bits.map(str::to_owned));
        let same = compare_bits("bits", &[boot("a", Some("1")), boot("b", None), boot("c", Some("1"))]);
        assert_eq!((same.passed, same.failed), (1, 0));
        let different = compare_bits("bits", &[boot("a", Some("1")), boot("b", Some("2"))]);
        assert_eq!((different.passed, different.failed), (0, 1));
        assert_eq!(different.notes, ["b: 2, but a: 1"]);
        assert_eq!(compare_bits("bits", &[boot("a", None)]).failed, 1);
    }
}
