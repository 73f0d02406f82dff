//! Distribution of work while a guest computes one sequence and a batch: items of each worker and activity on the other
//! cores, by the console's `stats --json` before and after.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::time::Duration;

use super::report::Finding;
use crate::accel::Accelerator;
use crate::arch::Arch;
use crate::boot::{self, Plan, Setup};
use crate::build::Built;
use crate::console;
use crate::guest::Ending;
use crate::memory::MemorySize;
use crate::model::Model;
use crate::workspace::Workspace;

/// Console commands of the boot.
///
/// The first sequence starts the workers before counting begins. The counted work takes so long that a busy host, which
/// stops a core between two reads of the statistics, hardly changes a share of the time.
const SCRIPT: &str = "generate -n 2 Once upon a time; stats --json; generate -n 64 Once upon a time; \
                      batch -n 64 4 Once upon a time; stats --json";

/// Threshold of the idle share of a core without workers.
const IDLE: f64 = 0.99;

#[derive(Debug, Deserialize)]
struct Figures {
    up_ns: u64,
    workers: Vec<Worker>,
    cores: Vec<Core>,
}

#[derive(Debug, Deserialize)]
struct Worker {
    core: usize,
    items: u64,
}

#[derive(Debug, Deserialize)]
struct Core {
    switches: u64,
    system_calls: u64,
    wakeups_received: u64,
    idle_ns: u64,
}

/// Boots with four cores and workers on `cores`, by the word `workers=` unless those are all.
///
/// Findings: the workers' items, and the activity on the other cores.
///
/// # Errors
/// When the guest cannot be started, fails or does not print its figures.
pub fn measure(
    workspace: &Workspace,
    built: &Built,
    arch: Arch,
    model: &Model,
    cores: &[usize],
    timeout: Duration,
) -> Result<Vec<Finding>> {
    let setup = Setup::plain(arch, 4);
    let list = list(cores.iter());
    let words = if cores.len() == 4 { Vec::new() } else { vec![format!("workers={list}")] };
    let machine = [setup.to_string()].into_iter().chain(words.iter().cloned()).collect::<Vec<_>>().join(" ");
    let plan = Plan {
        name: &format!("acceptance {machine}"),
        setup: &setup,
        accel: Accelerator::Tcg,
        memory: MemorySize::DEFAULT,
        model,
        modules: &[],
        words: &words,
        script: SCRIPT,
        keep_going: true,
        timeout,
        pinned: false,
    };
    let (output, ending) = boot::run(workspace, built, &plan)?;
    ensure!(ending == Ending::Success, "{machine}: {ending:?}, output:\n{output}");
    findings(&output, &machine, cores)
}

/// Findings from the two `stats` in a console's output.
fn findings(output: &str, machine: &str, cores: &[usize]) -> Result<Vec<Finding>> {
    let [before, after]: [Figures; 2] = console::objects(output)?
        .try_into()
        .ok()
        .with_context(|| format!("not two lines of statistics in\n{output}"))?;
    let mut findings = vec![items(&before, &after, machine, cores)];
    findings.extend(outside(&before, &after, machine, cores));
    Ok(findings)
}

/// Finding on the workers' items: above 0 on every core of the set, and no worker elsewhere.
fn items(before: &Figures, after: &Figures, machine: &str, cores: &[usize]) -> Finding {
    let since = |(number, worker): (usize, &Worker)| {
        let earlier = before.workers.get(number).map_or(0, |earlier| earlier.items);
        (worker.core, worker.items.saturating_sub(earlier))
    };
    let done: Vec<(usize, u64)> = after.workers.iter().enumerate().map(since).collect();
    let met = done.iter().map(|&(core, _)| core).eq(cores.iter().copied())
        && done.iter().all(|&(_, items)| items > 0);
    let items: Vec<String> = done.iter().map(|(core, items)| format!("core {core} {items}")).collect();
    let threshold = format!("above 0 on cores {}, no other worker", list(cores.iter()));
    Finding::judged(
        "items of each worker, a sequence and a batch of 4",
        machine,
        items.join(", "),
        threshold,
        met,
    )
}

/// Finding on the cores outside the set, if any: no thread ran there.
fn outside(before: &Figures, after: &Figures, machine: &str, cores: &[usize]) -> Option<Finding> {
    let others: Vec<usize> = (0..after.cores.len()).filter(|core| !cores.contains(core)).collect();
    let up = after.up_ns.saturating_sub(before.up_ns).max(1) as f64;
    let since = |core: usize, of: fn(&Core) -> u64| {
        of(&after.cores[core]).saturating_sub(before.cores.get(core).map_or(0, of))
    };
    let sum = |of: fn(&Core) -> u64| others.iter().map(|&core| since(core, of)).sum::<u64>();
    let (switches, calls) = (sum(|core| core.switches), sum(|core| core.system_calls));
    let wakeups = sum(|core| core.wakeups_received);
    let idle = others.iter().map(|&core| since(core, |core| core.idle_ns) as f64 / up).reduce(f64::min)?;
    Some(Finding::judged(
        format!("meanwhile on cores {}", list(others.iter())),
        machine,
        format!("{switches} switches, {calls} calls, {wakeups} wake-ups, idle {:.1} %", idle * 100.0),
        format!("0 switches, calls and wake-ups, idle at least {:.0} %", IDLE * 100.0),
        switches + calls + wakeups == 0 && idle >= IDLE,
    ))
}

/// A list of cores as the command line takes it.
fn list<'c>(cores: impl Iterator<Item = &'c usize>) -> String {
    cores.map(usize::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    fn stats(up: u64, items: [u64; 2], outside: u64) -> String {
        let core = |calls: u64, idle: u64| {
            format!(r#"{{"switches":0,"system_calls":{calls},"wakeups_received":0,"idle_ns":{idle}}}"#)
        };
        let (idle, busy) = (core(outside, up - outside), core(9, 0));
        format!(
            r#"{{"up_ns":{up},"workers":[{{"core":1,"items":{}}},{{"core":2,"items":{}}}],"cores":[{}]}}"#,
            items[0],
            items[1],
            [&idle, &busy, &busy, &idle].map(ToString::to_string).join(",")
        )
    }

    fn verdicts(before: &str, after: &str, cores: &[usize]) -> Vec<Verdict> {
        let findings = findings(&format!("> stats\n{before}\n> stats\n{after}\r\n"), "m", cores);
        findings.expect("two lines of statistics").into_iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn workers_of_the_set_work_and_no_others() {
        use Verdict::{Met, Missed};
        let before = stats(1_000, [5, 5], 7);
        assert_eq!(verdicts(&before, &stats(2_000, [9, 6], 7), &[1, 2]), [Met, Met]);
        assert_eq!(verdicts(&before, &stats(2_000, [9, 5], 7), &[1, 2]), [Missed, Met]);
        assert_eq!(verdicts(&before, &stats(2_000, [9, 6], 8), &[1, 2]), [Met, Missed]);
        assert_eq!(verdicts(&before, &stats(2_000, [9, 6], 7), &[0, 1, 2, 3]), [Missed]);
        assert!(findings(&before, "m", &[1, 2]).is_err());
    }
}
