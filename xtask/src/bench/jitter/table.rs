//! What `cargo xtask bench jitter` prints.

use super::{Report, Side, disturbances, percent};

/// Everything, for people.
pub fn table(report: &Report) -> String {
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
