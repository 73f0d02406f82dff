//! `cargo xtask bench jitter`: how evenly the model's step for one token takes its time on each core, in deterministic
//! mode: in a guest, and as a process on this host whose threads are pinned, by turns.
//!
//! What disturbs the host disturbs both. So on a busy host the ratio of the two is what counts, on a quiet one the
//! guest's own figure.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::console::{InGuest, OnHost, figures};
use super::median;
use crate::accel::Accelerator;
use crate::cli::JitterBenchOptions;
use crate::model::Model;
use crate::setup::Consent;
use crate::test::FAILED;
use crate::workspace::{self, Workspace};

/// Deviation / mean of the host's own step from which on it is busy.
const QUIET: f64 = 0.01;
/// The most a guest's may be on a quiet host.
const BAR: f64 = 0.05;
/// The most a guest's may be of the host's own on a busy host.
const RATIO: f64 = 1.2;

/// How far the times of one core, or of the whole step, lie apart. Times are in nanoseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Spread {
    /// Mean.
    pub mean_ns: f64,
    /// Standard deviation.
    pub deviation_ns: f64,
    /// Deviation / mean.
    pub relative: f64,
    /// What half of the times did not exceed.
    pub p50_ns: f64,
    /// The same for 99 %.
    pub p99_ns: f64,
    /// The longest.
    pub max_ns: f64,
}

impl Spread {
    /// The medians of each figure.
    ///
    /// # Panics
    /// When there are none.
    pub fn medians(spreads: &[Self]) -> Self {
        let figure = |field: fn(&Self) -> f64| median(spreads.iter().map(field).collect());
        Self {
            mean_ns: figure(|spread| spread.mean_ns),
            deviation_ns: figure(|spread| spread.deviation_ns),
            relative: figure(|spread| spread.relative),
            p50_ns: figure(|spread| spread.p50_ns),
            p99_ns: figure(|spread| spread.p99_ns),
            max_ns: figure(|spread| spread.max_ns),
        }
    }
}

/// One core.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Core {
    /// Its index.
    pub core: usize,
    /// Its share of each step.
    pub share: Spread,
    /// What disturbed it, and how often; `None` for what is not counted.
    pub counters: BTreeMap<String, Option<u64>>,
}

/// What one guest or process said, or the medians of several.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Side {
    /// Model.
    pub model: String,
    /// Position of the step's token.
    pub position: usize,
    /// Steps timed.
    pub steps: u64,
    /// Their times.
    pub step: Spread,
    /// Each core.
    pub cores: Vec<Core>,
    /// What a job may take before it counts as a miss, in nanoseconds.
    pub budget_ns: u64,
    /// Jobs that took longer.
    pub budget_misses: u64,
    /// Of all logits, one a run.
    pub hashes: Vec<String>,
}

/// All that was measured.
#[derive(Debug, Deserialize, Serialize)]
pub struct Report {
    /// The guest's machine.
    pub machine: String,
    /// What its times are: "time, native" or "time, emulated".
    pub figure: String,
    /// Guests booted.
    pub rounds: u32,
    /// The guest.
    pub guest: Side,
    /// The host, where the guest's times are native too.
    pub host: Option<Side>,
    /// What was not measured here, and why.
    pub not_measured: Vec<String>,
    /// What must never be, and was.
    pub wrong: Vec<String>,
}

/// Whether the bar was met, where it could be tried.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `None` where times are emulated.
    pub met: Option<bool>,
    /// The number and the bar.
    pub says: String,
}

/// Measures and prints a table.
///
/// # Errors
/// When a run cannot be started or fails, or the file cannot be written.
pub fn run(workspace: &Workspace, consent: Consent, options: &JitterBenchOptions) -> Result<u8> {
    let report = measure(workspace, consent, options)?;
    print!("{}", table(&report));
    if let Some(path) = &options.json {
        workspace::replace_file(path, |file| Ok(serde_json::to_writer_pretty(file, &report)?))?;
    }
    Ok(if report.wrong.is_empty() { 0 } else { FAILED })
}

/// Boots guests and runs processes by turns.
///
/// # Errors
/// When a run cannot be started or fails.
pub fn measure(workspace: &Workspace, consent: Consent, options: &JitterBenchOptions) -> Result<Report> {
    let machine = &options.machine;
    let (kind, accel) = machine.native_if_possible()?;
    let model = Model::resolve(workspace, consent, &machine.model)?;
    let guest = InGuest::new(workspace, consent, machine, kind, accel, &model)?;
    let emulated = accel == Accelerator::Tcg;
    let host = match emulated {
        true => None,
        false => Some(OnHost::new(workspace, &model, machine.smp.cores() as usize, machine.timeout)?),
    };
    let script = format!("bench jitter --json -n {}", options.steps);
    let (mut in_guest, mut on_host) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        let side: Side = figures(&guest.run(&script)?)?;
        let mut line = format!("guest {}", percent(side.worst()));
        in_guest.push(side);
        if let Some(host) = &host {
            let side: Side = figures(&host.run(&script)?)?;
            line += &format!(", host {}", percent(side.worst()));
            on_host.push(side);
        }
        eprintln!("xtask: {round} of {}: worst core's deviation / mean: {line}", options.rounds);
    }
    let mut not_measured = vec![
        "jitter in instructions: needs the emulator's counting plugin, which this bench does not load"
            .to_owned(),
    ];
    if emulated {
        not_measured.push(
            "jitter in time, and its ratio to the host's own: the guest is emulated, its times are the emulator's"
                .to_owned(),
        );
    }
    let wrong = wrongs(&in_guest, &on_host);
    Ok(Report {
        machine: format!("{}, {accel}", guest.machine()),
        figure: if emulated { "time, emulated" } else { "time, native" }.to_owned(),
        rounds: options.rounds,
        guest: medians(&in_guest)?,
        host: if on_host.is_empty() { None } else { Some(medians(&on_host)?) },
        not_measured,
        wrong,
    })
}

impl Side {
    /// The largest deviation / mean of a core.
    fn worst(&self) -> f64 {
        self.cores.iter().map(|core| core.share.relative).fold(0.0, f64::max)
    }

    /// The same as parts of `other`'s, core by core.
    fn worst_ratio(&self, other: &Self) -> f64 {
        let ratios = self.cores.iter().zip(&other.cores);
        ratios.map(|(own, other)| own.share.relative / other.share.relative).fold(0.0, f64::max)
    }
}

impl Report {
    /// Whether the guest is as even as it must be.
    pub fn verdict(&self) -> Verdict {
        let worst = self.guest.worst();
        let Some(host) = &self.host else {
            return Verdict { met: None, says: "not measured here: times are emulated".to_owned() };
        };
        let own = host.worst();
        if own < QUIET {
            let says = format!("worst core {}, bar {}, the host is quiet", percent(worst), percent(BAR));
            return Verdict { met: Some(worst <= BAR), says };
        }
        let ratio = self.guest.worst_ratio(host);
        Verdict {
            met: Some(ratio <= RATIO),
            says: format!(
                "the host itself is noisy (worst core {}), so the ratio counts: {ratio:.2}, bar {RATIO}",
                percent(own)
            ),
        }
    }
}

/// What must never be: other bits, or a disturbance that the kernel keeps from a reserved core.
fn wrongs(in_guest: &[Side], on_host: &[Side]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut hashes: Vec<&String> = in_guest.iter().chain(on_host).flat_map(|side| &side.hashes).collect();
    hashes.sort_unstable();
    hashes.dedup();
    if hashes.len() != 1 {
        wrong.push(format!("runs computed different bits: logits hashes {hashes:?}"));
    }
    for (name, count) in in_guest.iter().flat_map(disturbances) {
        match count {
            Some(0) => {}
            Some(count) => wrong.push(format!("{count} {name} on the guest's workers' cores")),
            None => wrong.push(format!("the guest does not count {name}")),
        }
    }
    wrong
}

/// What disturbed the cores of a side, all together.
fn disturbances(side: &Side) -> Vec<(&str, Option<u64>)> {
    let names = side.cores.iter().take(1).flat_map(|core| core.counters.keys());
    let total =
        |name: &String| side.cores.iter().map(|core| core.counters.get(name).copied().flatten()).sum();
    names.map(|name| (name.as_str(), total(name))).collect()
}

/// Medians of all figures, sums of what is counted.
fn medians(sides: &[Side]) -> Result<Side> {
    let mut result = sides[0].clone();
    ensure!(
        sides.iter().all(|side| side.cores.len() == result.cores.len() && !side.cores.is_empty()),
        "runs had different numbers of workers"
    );
    let spread = |of: &dyn Fn(&Side) -> Spread| Spread::medians(&sides.iter().map(of).collect::<Vec<_>>());
    result.step = spread(&|side| side.step);
    for (index, core) in result.cores.iter_mut().enumerate() {
        core.share = spread(&|side| side.cores[index].share);
        for (name, total) in &mut core.counters {
            *total = sides.iter().map(|side| side.cores[index].counters.get(name).copied().flatten()).sum();
        }
    }
    result.steps = sides.iter().map(|side| side.steps).sum();
    result.budget_misses = sides.iter().map(|side| side.budget_misses).sum();
    Ok(result)
}

fn percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}

fn table(report: &Report) -> String {
    let Report { machine, figure, rounds, guest, host, not_measured, wrong } = report;
    let Side { model, position, .. } = guest;
    let mut table = format!(
        "{model}, a token at position {position}, deterministic mode; {machine}; {figure}; medians of {rounds}\n\
         {:<16}{:>11}{:>11}{:>11}{:>11}{:>11}\n",
        "us", "mean", "dev / mean", "p50", "p99", "max"
    );
    for (name, side) in [("guest", Some(guest)), ("host", host.as_ref())] {
        let Some(side) = side else { continue };
        let shares = side.cores.iter().map(|core| (format!("{name} core {}", core.core), core.share));
        for (what, spread) in std::iter::once((format!("{name} step"), side.step)).chain(shares) {
            let us = |nanoseconds: f64| nanoseconds / 1e3;
            table += &format!(
                "{what:<16}{:>11.1}{:>11}{:>11.1}{:>11.1}{:>11.1}\n",
                us(spread.mean_ns),
                percent(spread.relative),
                us(spread.p50_ns),
                us(spread.p99_ns),
                us(spread.max_ns)
            );
        }
    }
    if let Some(host) = host {
        for (own, other) in guest.cores.iter().zip(&host.cores) {
            let ratio = own.share.relative / other.share.relative;
            table += &format!("core {}: guest / host of deviation / mean {ratio:.2}\n", own.core);
        }
    }
    for (name, side) in [("guest", Some(guest)), ("host", host.as_ref())] {
        let Some(side) = side else { continue };
        table += &format!("{name}, {} steps:", side.steps);
        for (what, count) in disturbances(side) {
            table += &format!(" {what} {},", count.map_or("-".to_owned(), |count| count.to_string()));
        }
        table += &format!(" jobs over {} us {}\n", side.budget_ns / 1000, side.budget_misses);
    }
    for what in not_measured {
        table += &format!("not measured here: {what}\n");
    }
    let verdict = report.verdict();
    let met = match verdict.met {
        Some(true) => "met",
        Some(false) => "missed",
        None => "-",
    };
    table += &format!("evenness: {met}: {}\n", verdict.says);
    match wrong.as_slice() {
        [] => table += &format!("same bits in all runs, and no core was disturbed: {}\n", guest.hashes[0]),
        wrong => wrong.iter().for_each(|wrong| table += &format!("wrong: {wrong}\n")),
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(relative: f64, ticks: Option<u64>, hash: &str) -> Side {
        let spread = Spread {
            mean_ns: 1e6,
            deviation_ns: relative * 1e6,
            relative,
            p50_ns: 1e6,
            p99_ns: 2e6,
            max_ns: 3e6,
        };
        let core = Core { core: 0, share: spread, counters: [("ticks".to_owned(), ticks)].into() };
        Side {
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

    fn report(guest: Side, host: Option<Side>) -> Report {
        let wrong = wrongs(std::slice::from_ref(&guest), host.as_slice());
        let (machine, figure) = (String::new(), String::new());
        Report { machine, figure, rounds: 1, guest, host, not_measured: Vec::new(), wrong }
    }

    #[test]
    fn a_quiet_host_has_a_bar_and_a_busy_one_a_ratio() {
        let met = |guest, host| report(side(guest, Some(0), "a"), Some(side(host, None, "a"))).verdict().met;
        assert_eq!([met(0.02, 0.005), met(0.06, 0.005)], [Some(true), Some(false)]);
        assert_eq!([met(0.36, 0.3), met(0.37, 0.3)], [Some(true), Some(false)]);
        assert_eq!(report(side(0.5, Some(0), "a"), None).verdict().met, None);
    }

    #[test]
    fn disturbed_cores_and_other_bits_are_wrong() {
        assert!(report(side(0.0, Some(0), "a"), Some(side(0.0, None, "a"))).wrong.is_empty());
        for (guest, part) in [
            (side(0.0, Some(3), "a"), "3 ticks"),
            (side(0.0, None, "a"), "does not count ticks"),
            (side(0.0, Some(0), "b"), "different bits"),
        ] {
            let report = report(guest, Some(side(0.0, None, "a")));
            assert!(
                report.wrong[0].contains(part) && table(&report).contains("wrong: "),
                "{:?}",
                report.wrong
            );
        }
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
