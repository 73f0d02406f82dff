//! The six criteria and their findings. Owns the thresholds that no bench has of its own.

use super::report::{Criterion, Finding};
use super::{Evidence, Guests};
use crate::bench::jitter;
use crate::test::guests;
use crate::test::report::TestRun;

const ALL_PASS: &str = "all pass";

/// Tests inside the kernel of the distribution of work.
const SPREAD: [&str; 3] = [
    "kernel: each core answers with its own hardware id",
    "each worker on its core",
    "every index of a loop exactly once",
];
/// Tests inside the kernel of the placement of workers and threads.
const PLACED: [&str; 4] = [
    "a worker moves while it works",
    "workers on cores ",
    "groups of workers",
    "a core that is not online is refused",
];

/// The six criteria, by number.
pub fn all(evidence: &Evidence) -> Vec<Criterion> {
    let guests =
        |findings: fn(&Guests) -> Vec<Finding>| evidence.guests.iter().flat_map(findings).collect::<Vec<_>>();
    let criteria = [
        ("Inference is distributed over the cores", guests(distributed)),
        ("Batches get faster in proportion to the cores", evidence.scaling.clone()),
        ("Each core takes the same time for the same step", evidence.jitter.clone()),
        ("The cores of mixed workloads are chosen by the user", guests(chosen)),
        ("Every core is detected and started", guests(started)),
        (
            "No panic, crash or hang on several cores",
            [guests(sound), vec![same_bits(&evidence.guests)]].concat(),
        ),
    ];
    let number = |(index, (title, findings))| Criterion { number: index + 1, title, findings };
    criteria.into_iter().enumerate().map(number).collect()
}

fn distributed(guests: &Guests) -> Vec<Finding> {
    let mut findings = guests.work.clone();
    findings.extend(SPREAD.iter().map(|name| test(guests, name)));
    findings
}

fn chosen(guests: &Guests) -> Vec<Finding> {
    let mut findings =
        vec![scenarios(&guests.placement, "command line, `affinity`, `pin`, two batches on separate cores")];
    findings.extend(PLACED.iter().map(|name| test(guests, name)));
    findings
}

fn started(guests: &Guests) -> Vec<Finding> {
    let online = |(cores, boot): &(u32, guests::Boot)| {
        let threshold = format!("{cores} of {cores}");
        let value =
            boot.online.map_or("not reported".to_owned(), |(online, found)| format!("{online} of {found}"));
        let met = boot.online == Some((*cores, *cores));
        Finding::judged("cores online, of those detected", &boot.row.name, value, threshold, met)
    };
    let mut findings: Vec<Finding> = guests.boots.iter().map(online).collect();
    findings.push(test(guests, "kernel: every core found is online"));
    findings
}

fn sound(guests: &Guests) -> Vec<Finding> {
    let tests = guests.boots.iter().map(|(_, boot)| {
        let TestRun { name, passed, failed, notes, .. } = &boot.row;
        let value = [vec![format!("{passed} passed, {failed} failed")], notes.clone()].concat().join("; ");
        Finding::judged("tests inside the kernel", name, value, "0 failed", *failed == 0 && *passed > 0)
    });
    let faults = scenarios(&guests.faults, "faults contained, damaged models and missing cores named");
    tests.chain([faults]).collect()
}

/// Finding on the hashes of the continuation that every boot generates after its tests.
fn same_bits(guests: &[Guests]) -> Finding {
    let boots = guests.iter().flat_map(|guests| &guests.boots);
    let bits: Vec<_> = boots.map(|(_, boot)| (boot.row.name.clone(), boot.bits.clone())).collect();
    let row = guests::compare_bits("same bits on every machine", &bits);
    let complete = bits.iter().all(|(_, bits)| bits.is_some());
    let met = row.failed == 0 && complete;
    let threshold = format!("{} times the same", bits.len());
    Finding::judged(
        "hash of all logits of a continuation of 32 tokens",
        "every machine",
        row.notes.join("; "),
        threshold,
        met,
    )
}

/// Finding on a test, by the beginning of its name, over all machines of an architecture.
fn test(guests: &Guests, name: &str) -> Finding {
    let of = |boot: &guests::Boot| {
        let mut outcomes =
            boot.tests.iter().filter(|(found, _)| found.starts_with(name)).map(|&(_, passed)| passed);
        outcomes.next().is_some_and(|first| first && outcomes.all(|passed| passed))
    };
    let passed = guests.boots.iter().filter(|(_, boot)| of(boot)).count();
    let value = format!("passed on {passed} of {} machines", guests.boots.len());
    let met = passed > 0 && passed == guests.boots.len();
    Finding::judged(format!("test `{}`", name.trim_end()), guests.arch.name(), value, ALL_PASS, met)
}

/// Finding on boots whose console output is checked.
fn scenarios(row: &TestRun, what: &str) -> Finding {
    let value =
        [vec![format!("{} of {} boots passed", row.passed, row.passed + row.failed)], row.notes.clone()];
    Finding::judged(what, &row.name, value.concat().join("; "), ALL_PASS, row.failed == 0 && row.passed > 0)
}

/// The judged figure.
const JITTER: &str = "jitter (deviation / mean) of a core's share of a token's step, worst core";

/// Findings of `bench jitter`: jitter in time where that is native, in instructions where it is emulated, and
/// disturbances.
pub fn step_jitter(report: &jitter::JitterReport) -> Vec<Finding> {
    let jitter = if report.host.is_some() { in_time(report) } else { in_instructions(report) };
    let wrong = match report.wrong.as_slice() {
        [] => format!("none in {} steps", report.guest.steps),
        wrong => wrong.join("; "),
    };
    let disturbed = "ticks, interrupts, switches, migrations on the workers' cores; runs with other bits";
    vec![jitter, Finding::judged(disturbed, &report.machine, wrong, "none", report.wrong.is_empty())]
}

/// Jitter in time, for an architecture that only an emulator executes here.
pub fn only_emulated(machine: &str, reason: String) -> Finding {
    Finding::not_measured(format!("{JITTER}, time"), machine, time_threshold(), reason)
}

fn in_time(report: &jitter::JitterReport) -> Finding {
    verdict(format!("{JITTER}, time"), &report.machine, time_threshold(), report.verdict())
}

fn in_instructions(report: &jitter::JitterReport) -> Finding {
    let threshold = format!("at most {} %", jitter::INSTRUCTIONS_THRESHOLD * 100.0);
    verdict(format!("{JITTER}, instructions"), &report.machine, threshold, report.instructions_verdict())
}

/// The bench's own verdict as a finding.
fn verdict(what: String, machine: &str, threshold: String, verdict: jitter::JitterVerdict) -> Finding {
    let jitter::JitterVerdict { met, text } = verdict;
    match met {
        Some(met) => Finding::judged(what, machine, text, threshold, met),
        None => {
            Finding::not_measured(what, machine, threshold, text.trim_start_matches("not measured here: "))
        }
    }
}

fn time_threshold() -> String {
    let (quiet, threshold, ratio) =
        (jitter::QUIET * 100.0, jitter::THRESHOLD * 100.0, jitter::RATIO_THRESHOLD);
    format!("at most {threshold} %; where the host's own is above {quiet} %, at most {ratio} times it")
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;
    use crate::arch::Arch;
    use std::time::Duration;

    fn row(passed: u32, failed: u32) -> TestRun {
        TestRun { name: "m".to_owned(), passed, failed, time: Duration::ZERO, notes: Vec::new() }
    }

    fn boot(online: u32, bits: Option<&str>, passed: bool) -> (u32, guests::Boot) {
        let names = SPREAD.iter().chain(&PLACED).chain(&["kernel: every core found is online"]);
        let boot = guests::Boot {
            row: row(8, u32::from(!passed)),
            bits: bits.map(str::to_owned),
            online: Some((online, 4)),
            tests: names.map(|name| (format!("{name}x"), passed)).collect(),
        };
        (4, boot)
    }

    fn verdicts(boots: Vec<(u32, guests::Boot)>, failed: u32) -> Vec<Verdict> {
        let work = vec![Finding::judged("items", "m", "1", "1", true)];
        let (placement, faults) = (row(6, failed), row(7, failed));
        let guests = Guests { arch: Arch::X86_64, boots, work, placement, faults };
        let evidence = Evidence { guests: vec![guests], scaling: Vec::new(), jitter: Vec::new() };
        [1, 4, 5, 6].map(|number| all(&evidence)[number - 1].verdict()).to_vec()
    }

    #[test]
    fn any_failure_in_a_guest_misses_a_criterion() {
        use Verdict::{Met, Missed};
        let good = || boot(4, Some("a"), true);
        assert_eq!(verdicts(vec![good(), good()], 0), [Met, Met, Met, Met]);
        assert_eq!(verdicts(vec![good(), boot(3, Some("a"), true)], 0), [Met, Met, Missed, Met]);
        assert_eq!(verdicts(vec![good(), boot(4, Some("b"), true)], 0), [Met, Met, Met, Missed]);
        assert_eq!(verdicts(vec![good(), boot(4, None, true)], 0), [Met, Met, Met, Missed]);
        assert_eq!(verdicts(vec![good(), boot(4, Some("a"), false)], 0), [Missed, Missed, Missed, Missed]);
        assert_eq!(verdicts(vec![good()], 1), [Met, Missed, Met, Missed]);
    }
}
