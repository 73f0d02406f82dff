//! The references that need no network: a batch and a short prompt at the console of the same machine without one.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::load;
use crate::bench::batch::BatchRun;
use crate::bench::median;
use crate::cli::BatchLengths;
use crate::console;
use crate::target::GuestTarget;
use crate::topology::Topology;

/// Requests of the batch.
pub const SIZE: u32 = 8;

/// Figures of one boot.
#[derive(Clone, Copy, Debug)]
pub struct ConsoleFigures {
    /// Tokens made a second by the batch, prompts included.
    pub tokens_per_second: f64,
    /// Milliseconds from a short prompt to its first token.
    pub first_ms: f64,
}

/// Totals of `stats --json`, as far as they are wanted.
#[derive(Deserialize)]
struct Totals {
    prompt_tokens: u64,
    prompt_ns: u64,
}

/// A short prompt: its text, and as JSON.
pub fn short(number: u32) -> String {
    format!("Tell me in one word what {number} is")
}

/// The request for it: two tokens, so that the first one is not the last event.
pub fn short_request(number: u32) -> String {
    load::request(&short(number).into(), 2)
}

/// Boots the guest once.
///
/// # Errors
/// When it fails.
pub fn measure(
    guest: &GuestTarget<'_>,
    smp: &Topology,
    lengths: BatchLengths,
    firsts: u32,
) -> Result<ConsoleFigures> {
    let BatchLengths { prompt, generate } = lengths;
    let batch = format!("bench batch --json -b {SIZE} -p {prompt} -n {generate}");
    let first = guest.run(smp, &[], &script(firsts))?;
    let batch: BatchRun = console::object(&guest.run(smp, &[], &batch)?)?;
    let row = batch.rows.first().context("a batch without figures")?;
    let tokens = f64::from(SIZE) * batch.generated as f64;
    Ok(ConsoleFigures { tokens_per_second: tokens * 1e9 / row.batched.total_ns, first_ms: first_ms(&first)? })
}

/// Commands that make the first token of so many prompts; the first prompt warms up.
fn script(firsts: u32) -> String {
    let one = |number: u32| format!("hash -n 1 {}; stats --json", short(number));
    (0..=firsts).map(one).collect::<Vec<_>>().join("; ")
}

/// The median time from a prompt to its first token.
fn first_ms(output: &str) -> Result<f64> {
    let totals: Vec<Totals> = console::objects(output)?;
    let times: Vec<f64> =
        totals.windows(2).map(|two| (two[1].prompt_ns - two[0].prompt_ns) as f64 / 1e6).collect();
    let are_all = totals.windows(2).all(|two| two[1].prompt_tokens > two[0].prompt_tokens);
    ensure!(are_all && !times.is_empty(), "no prompt passed in\n{output}");
    Ok(median(times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_prompt_warms_up() {
        let line = |tokens: u64, time: u64| {
            format!("ids 1\n{{\"prompt_tokens\":{tokens},\"prompt_ns\":{time},\"tokens\":1}}\n")
        };
        let output =
            [line(8, 90_000_000), line(16, 100_000_000), line(24, 106_000_000), line(32, 112_000_000)];
        assert_eq!(first_ms(&output.concat()).expect("three prompts"), 6.0);
        assert!(first_ms(&output[0]).is_err());
        assert_eq!(script(2).matches("stats --json").count(), 3);
    }
}
