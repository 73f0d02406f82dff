//! `cargo xtask bench pool`: cost of fork and join between two threads on this host.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::process::Command;

use super::median;
use crate::build;
use crate::cli::PoolBenchOptions;
use crate::process;
use crate::workspace::Workspace;

/// Medians of one run, in nanoseconds.
#[derive(Clone, Copy, Deserialize)]
struct Figures {
    /// An empty loop on two polling threads.
    spin_ns: f64,
    /// An empty loop on two threads that sleep at once.
    halt_ns: f64,
    /// A wake-up of a sleeping thread, and its wake-up back.
    wake_ns: f64,
}

/// Runs the program repeatedly and prints the medians, and their ratios to the spinning loop.
///
/// # Errors
/// When a run cannot be started or fails.
pub fn run(workspace: &Workspace, options: &PoolBenchOptions) -> Result<u8> {
    let program = build::host_program(workspace, "pool")?;
    let mut runs = Vec::new();
    for repetition in 1..=options.repetitions {
        eprintln!("xtask: {repetition} of {}", options.repetitions);
        runs.push(measure(Command::new(&program).arg(options.rounds.to_string()))?);
    }
    print!("{}", table(&runs));
    Ok(0)
}

fn measure(command: &mut Command) -> Result<Figures> {
    serde_json::from_str(&process::output(command, None)?)
        .with_context(|| format!("`{}` printed no figures", process::shown(command)))
}

fn table(runs: &[Figures]) -> String {
    let figure = |field: fn(&Figures) -> f64| median(runs.iter().map(field).collect());
    let spin = figure(|run| run.spin_ns);
    let mut table = format!("{:<32} {:>8} {:>8}\n", "two threads", "us", "ratio");
    for (name, value) in [
        ("empty parallel_for, spinning", spin),
        ("empty parallel_for, sleeping", figure(|run| run.halt_ns)),
        ("wake-up and wake-up back", figure(|run| run.wake_ns)),
    ] {
        table += &format!("{name:<32} {:>8.2} {:>8.1}\n", value / 1e3, value / spin);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_stand_beside_the_spinning_loop() {
        let run = |spin_ns| Figures { spin_ns, halt_ns: 9_000.0, wake_ns: 6_000.0 };
        let table = table(&[run(500.0), run(600.0), run(900.0)]);
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1][3..], ["0.60", "1.0"]);
        assert_eq!(lines[2][3..], ["9.00", "15.0"]);
        assert!(lines[3].ends_with(&["6.00", "10.0"]));
    }
}
