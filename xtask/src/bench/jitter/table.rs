//! The table of `cargo xtask bench jitter`.

use super::{JitterReport, JitterRun, JitterVerdict, StepInstructions, disturbances, percent};

/// The report as text.
pub fn table(report: &JitterReport) -> String {
    let JitterReport { machine, figure, rounds, guest, host, instructions, not_measured, wrong } = report;
    let JitterRun { model, position, .. } = guest;
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
    if let Some(instructions) = instructions {
        table += &counted(instructions);
    }
    for what in not_measured {
        table += &format!("not measured here: {what}\n");
    }
    for (what, verdict) in [("time", report.verdict()), ("instructions", report.instructions_verdict())] {
        let JitterVerdict { met, text } = verdict;
        let met = match met {
            Some(true) => "met",
            Some(false) => "missed",
            None => "-",
        };
        table += &format!("jitter in {what}: {met}: {text}\n");
    }
    match wrong.as_slice() {
        [] => table += &format!("same bits in all runs, and no core was disturbed: {}\n", guest.hashes[0]),
        wrong => wrong.iter().for_each(|wrong| table += &format!("wrong: {wrong}\n")),
    }
    table
}

/// The table of a step's instructions.
fn counted(StepInstructions { kernels, steps, cores, critical }: &StepInstructions) -> String {
    let mut table = format!(
        "instructions of a step, {steps} steps after untimed ones, {kernels} kernels; workers sleep while \
         they wait (spin=0), cores run round-robin by instruction count\n\
         {:<24}{:>13}{:>13}{:>11}{:>13}{:>13}\n",
        "", "mean", "deviation", "dev / mean", "least", "most"
    );
    let rows = cores.iter().map(|core| (format!("core {}", core.core), core.step));
    for (what, spreads) in rows.chain([("critical path".to_owned(), *critical)]) {
        for (whose, spread) in [("", spreads.all), (", engine", spreads.engine), (", kernel", spreads.kernel)]
        {
            table += &format!(
                "{:<24}{:>13.0}{:>13.1}{:>9.3} %{:>13}{:>13}\n",
                format!("{what}{whose}"),
                spread.mean,
                spread.deviation,
                spread.relative * 100.0,
                spread.least,
                spread.most
            );
        }
    }
    table
}
