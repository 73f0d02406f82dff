//! `cargo xtask bench jitter`: jitter of a token's step on each core in deterministic mode, in a guest and in a pinned
//! process on this host, interleaved.
//!
//! A disturbance of the host hits both. So the ratio of the two is judged on a busy host, the guest's own figure on a
//! quiet one. An emulated guest's instructions are counted instead, in a boot of their own whose workers sleep while
//! they wait: polling takes as many instructions as the host leaves time for.

mod figures;
mod instructions;
mod table;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::accel::Accelerator;
use crate::cli::JitterBenchOptions;
use crate::console;
use crate::counting::Counting;
use crate::host_cores;
use crate::model::Model;
use crate::setup::Consent;
use crate::target::{GuestTarget, HostTarget};
use crate::test::FAILED;
use crate::workspace::{self, Workspace};
pub use figures::JitterRun;
use figures::medians;
pub use instructions::StepInstructions;

/// Jitter of the host's own step from which the host counts as busy.
pub const QUIET: f64 = 0.01;
/// Threshold of a guest's jitter on a quiet host.
pub const THRESHOLD: f64 = 0.05;
/// Threshold of the ratio of a guest's jitter to the host's own on a busy host.
pub const RATIO_THRESHOLD: f64 = 1.2;
/// Threshold of the jitter of a core's instruction counts.
pub const INSTRUCTIONS_THRESHOLD: f64 = 0.001;

/// Counters of sleeping and waking, which are no disturbance to workers that sleep.
const OF_SLEEP: [&str; 2] = ["ipi_interrupts", "switches"];

/// One of the two interleaved sides.
#[derive(Clone, Copy)]
enum Turn {
    Guest,
    Host,
}

/// The figures of all rounds.
#[derive(Debug, Deserialize, Serialize)]
pub struct JitterReport {
    /// The guest's machine.
    pub machine: String,
    /// Kind of its times: "time, native" or "time, emulated".
    pub figure: String,
    /// Guests booted.
    pub rounds: u32,
    /// The guest.
    pub guest: JitterRun,
    /// The host process, if the guest's times are native.
    pub host: Option<JitterRun>,
    /// The guest's instruction counts, if it is emulated.
    pub instructions: Option<StepInstructions>,
    /// Figures not measured here, with the reasons.
    pub not_measured: Vec<String>,
    /// Violations: other bits, or disturbed cores.
    pub wrong: Vec<String>,
}

/// A judged jitter.
#[derive(Debug, PartialEq, Eq)]
pub struct JitterVerdict {
    /// Whether it meets the threshold; `None` where it was not measured.
    pub met: Option<bool>,
    /// Figure and threshold, in words.
    pub text: String,
}

/// Measures and prints a table.
///
/// # Errors
/// When a run cannot be started or fails, or the file cannot be written.
pub fn run(workspace: &Workspace, consent: Consent, options: &JitterBenchOptions) -> Result<u8> {
    let report = measure(workspace, consent, options)?;
    print!("{}", table::table(&report));
    if let Some(path) = &options.json {
        workspace::replace_file(path, |file| Ok(serde_json::to_writer_pretty(file, &report)?))?;
    }
    Ok(if report.wrong.is_empty() { 0 } else { FAILED })
}

/// Boots guests and runs processes, interleaved.
///
/// # Errors
/// When a run cannot be started or fails.
pub fn measure(
    workspace: &Workspace,
    consent: Consent,
    options: &JitterBenchOptions,
) -> Result<JitterReport> {
    let machine = &options.machine;
    let model = Model::resolve(workspace, consent, &machine.model)?;
    let guest = GuestTarget::new(workspace, consent, "bench", machine.native_if_possible(&model)?, &model)?;
    let (setup, accel) = (guest.setup(&machine.smp), guest.accel());
    let emulated = accel == Accelerator::Tcg;
    let host = match emulated {
        true => None,
        false => Some(HostTarget::new(workspace, &model, machine.timeout)?),
    };
    let script = format!("bench jitter --json -n {}", options.steps);
    // Where the host has fewer cores, spinning emulated cores wait for each other's time slices.
    let too_many = emulated && !host_cores::suffice_for(machine.smp.cores());
    let rounds = if too_many { 0 } else { options.rounds };
    let (mut in_guest, mut on_host, mut asleep) = (Vec::new(), Vec::new(), None);
    for round in 1..=rounds {
        let mut line = Vec::new();
        // The order alternates, so that a drift of the host's speed affects both sides alike.
        let turns = if round % 2 == 1 { [Turn::Guest, Turn::Host] } else { [Turn::Host, Turn::Guest] };
        for turn in turns {
            let (name, output, sides) = match (turn, &host) {
                (Turn::Guest, _) => ("guest", guest.run(&machine.smp, &[], &script)?, &mut in_guest),
                (Turn::Host, Some(host)) => {
                    ("host", host.run(machine.smp.cores(), &[], &script)?, &mut on_host)
                }
                (Turn::Host, None) => continue,
            };
            let side: JitterRun = console::object(&output)?;
            line.push(format!("{name} {}", percent(side.worst())));
            sides.push(side);
        }
        eprintln!("xtask: {round} of {rounds}: worst core's deviation / mean: {}", line.join(", "));
    }
    let (mut instructions, mut not_measured) = (None, Vec::new());
    if emulated {
        // Waiting cores sleep at once, so that no poll is counted, and cores are scheduled round-robin by instruction
        // count, so that the host's load does not matter.
        let counting = Counting::prepare(workspace, setup.kind.arch())?.repeating();
        let (output, parts) = guest.run_counted(&machine.smp, &["spin=0".to_owned()], &script, &counting)?;
        let kernels = console::kernels_in(&output).unwrap_or_default();
        let side: JitterRun = console::object(&output)?;
        instructions = Some(StepInstructions::of(kernels, &side, &parts)?);
        asleep = Some(side);
        not_measured
            .push("jitter in time, and its ratio to the host's own: the guest is emulated".to_owned());
        if too_many {
            not_measured.push(format!(
                "spinning workers: {} emulated cores on a host of fewer; these workers slept between jobs, \
                 with switches and wake-ups",
                machine.smp.cores()
            ));
        }
    } else {
        not_measured.push("jitter in instructions: only emulation (--accel tcg) counts them".to_owned());
    }
    let wrong = wrongs(&in_guest, asleep.as_ref(), &on_host);
    in_guest.extend(asleep.filter(|_| too_many));
    Ok(JitterReport {
        machine: format!("{setup}, {accel}"),
        figure: if emulated { "time, emulated" } else { "time, native" }.to_owned(),
        rounds: rounds.max(1),
        guest: medians(&in_guest)?,
        host: if on_host.is_empty() { None } else { Some(medians(&on_host)?) },
        instructions,
        not_measured,
        wrong,
    })
}

impl JitterReport {
    /// Judges the guest's jitter in time.
    pub fn verdict(&self) -> JitterVerdict {
        let worst = self.guest.worst();
        let Some(host) = &self.host else {
            return JitterVerdict { met: None, text: "not measured here: times are emulated".to_owned() };
        };
        let own = host.worst();
        if own < QUIET {
            let text =
                format!("worst core {}, threshold {}, the host is quiet", percent(worst), percent(THRESHOLD));
            return JitterVerdict { met: Some(worst <= THRESHOLD), text };
        }
        let ratio = self.guest.worst_ratio(host);
        JitterVerdict {
            met: Some(ratio <= RATIO_THRESHOLD),
            text: format!(
                "the host itself is noisy (worst core {}), so the ratio is judged: {ratio:.2}, \
                 threshold {RATIO_THRESHOLD}",
                percent(own)
            ),
        }
    }

    /// Judges the guest's jitter in instructions, of engine and kernel combined.
    pub fn instructions_verdict(&self) -> JitterVerdict {
        let Some(instructions) = &self.instructions else {
            return JitterVerdict {
                met: None,
                text: "not measured here: the guest is not emulated".to_owned(),
            };
        };
        let (worst, threshold) = (instructions.worst(), INSTRUCTIONS_THRESHOLD);
        let text = format!("worst core {:.3} %, threshold {:.1} %", worst * 100.0, threshold * 100.0);
        JitterVerdict { met: Some(worst <= threshold), text }
    }
}

/// Violations: other bits, or a disturbance that the kernel keeps from a reserved core. A sleeping worker's switch to
/// idle and the interrupt that wakes it are none.
fn wrongs(in_guest: &[JitterRun], asleep: Option<&JitterRun>, on_host: &[JitterRun]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut hashes: Vec<&String> =
        in_guest.iter().chain(asleep).chain(on_host).flat_map(|side| &side.hashes).collect();
    hashes.sort_unstable();
    hashes.dedup();
    if hashes.len() != 1 {
        wrong.push(format!("runs computed different bits: logits hashes {hashes:?}"));
    }
    let while_asleep = asleep.into_iter().flat_map(disturbances).filter(|(name, _)| !OF_SLEEP.contains(name));
    for (name, count) in in_guest.iter().flat_map(disturbances).chain(while_asleep) {
        match count {
            Some(0) => {}
            Some(count) => wrong.push(format!("{count} {name} on the guest's workers' cores")),
            None => wrong.push(format!("the guest does not count {name}")),
        }
    }
    wrong
}

/// Disturbances of a side's cores, summed over all cores.
fn disturbances(side: &JitterRun) -> Vec<(&str, Option<u64>)> {
    let names = side.cores.iter().take(1).flat_map(|core| core.counters.keys());
    let total =
        |name: &String| side.cores.iter().map(|core| core.counters.get(name).copied().flatten()).sum();
    names.map(|name| (name.as_str(), total(name))).collect()
}

fn percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::figures::CoreJitter;
    use super::*;
    use crate::bench::spread::TimeSpread;

    pub fn side(relative: f64, ticks: Option<u64>, hash: &str) -> JitterRun {
        let spread = TimeSpread {
            mean_ns: 1e6,
            deviation_ns: relative * 1e6,
            relative,
            p50_ns: 1e6,
            p99_ns: 2e6,
            max_ns: 3e6,
        };
        let core = CoreJitter { core: 0, share: spread, counters: [("ticks".to_owned(), ticks)].into() };
        JitterRun {
            model: "m".into(),
            position: 64,
            steps: 10,
            step: spread,
            cores: vec![core],
            budget_ns: 500_000,
            budget_misses: 0,
            hashes: vec![hash.into(); 2],
        }
    }

    fn report(guest: JitterRun, host: Option<JitterRun>) -> JitterReport {
        let wrong = wrongs(std::slice::from_ref(&guest), None, host.as_slice());
        let (machine, figure) = (String::new(), String::new());
        JitterReport {
            machine,
            figure,
            rounds: 1,
            guest,
            host,
            instructions: None,
            not_measured: Vec::new(),
            wrong,
        }
    }

    #[test]
    fn a_quiet_host_is_judged_by_jitter_and_a_busy_one_by_ratio() {
        let met = |guest, host| report(side(guest, Some(0), "a"), Some(side(host, None, "a"))).verdict().met;
        assert_eq!([met(0.02, 0.005), met(0.06, 0.005)], [Some(true), Some(false)]);
        assert_eq!([met(0.36, 0.3), met(0.37, 0.3)], [Some(true), Some(false)]);
        assert_eq!(report(side(0.5, Some(0), "a"), None).verdict().met, None);
    }

    #[test]
    fn disturbed_cores_and_other_bits_are_violations() {
        assert!(report(side(0.0, Some(0), "a"), Some(side(0.0, None, "a"))).wrong.is_empty());
        for (guest, part) in [
            (side(0.0, Some(3), "a"), "3 ticks"),
            (side(0.0, None, "a"), "does not count ticks"),
            (side(0.0, Some(0), "b"), "different bits"),
        ] {
            let report = report(guest, Some(side(0.0, None, "a")));
            assert!(
                report.wrong[0].contains(part) && table::table(&report).contains("wrong: "),
                "{:?}",
                report.wrong
            );
        }
    }

    #[test]
    fn instructions_have_a_threshold_of_their_own() {
        let mut report = report(side(0.5, Some(0), "a"), None);
        assert_eq!(report.instructions_verdict().met, None);
        for (counts, met) in [([1_000_000, 1_001_999], true), ([1_000_000, 1_002_003], false)] {
            let parts = counts.map(|engine| {
                let count = crate::counting::Count { engine, kernel: 0 };
                crate::counting::CountedPart { cores: vec![count], critical: count, serial: count }
            });
            let side = JitterRun { steps: 2, ..side(0.5, Some(0), "a") };
            report.instructions = Some(StepInstructions::of("portable", &side, &parts).expect("two steps"));
            assert_eq!(report.instructions_verdict().met, Some(met));
            assert!(table::table(&report).contains("portable kernels"));
        }
    }

    #[test]
    fn sleep_is_no_disturbance() {
        let host = side(0.0, None, "a");
        let asleep = |name: &str| {
            let mut side = side(0.0, Some(0), "a");
            side.cores[0].counters.insert(name.to_owned(), Some(1));
            wrongs(&[], Some(&side), std::slice::from_ref(&host))
        };
        assert!(asleep("switches").is_empty() && asleep("ipi_interrupts").is_empty());
        assert_eq!(asleep("ticks"), ["1 ticks on the guest's workers' cores"]);
    }

    #[test]
    fn medians_are_of_figures_and_sums_of_counts() {
        let all = medians(&[side(0.1, Some(1), "a"), side(0.3, Some(2), "a"), side(0.2, Some(0), "a")]);
        let all = all.expect("one core each");
        assert_eq!(
            (all.cores[0].share.relative, all.cores[0].counters["ticks"], all.steps),
            (0.2, Some(3), 30)
        );
    }
}
