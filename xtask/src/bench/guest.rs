//! `cargo xtask bench guest`: the same generation in a plain process on the host and in a booted guest, interleaved.
//! The difference is the cost of the kernel and of the machine under it.
//!
//! Generation is measured twice: `hash` computes and prints nothing until its end; `generate` also shows each
//! piece of text as it comes, which is slow on a serial line.

use anyhow::{Result, bail, ensure};
use serde::Deserialize;

use super::median;
use crate::cli::GuestBenchOptions;
use crate::console::{self, Hash};
use crate::model::Model;
use crate::setup::Consent;
use crate::target::{GuestTarget, HostTarget};
use crate::workspace::Workspace;

/// Prompt within the story model's subject, long enough to time.
const PROMPT: &str = "Once upon a time, there was a little girl named Lily. Lily loved to play in the park with \
    her big red ball. One day, she saw a small dog under a tree. The dog was sad. Lily sat down and gave the \
    dog a hug. The dog was happy and ran to get the ball. They played all day. Then the sun went down and \
    it was time to go home.";

/// A line of the console's `hash --json` or `stats --json`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Printed {
    Hash(Hash),
    Totals(Totals),
}

/// Totals of generation since the start.
#[derive(Deserialize)]
struct Totals {
    tokens: u64,
    generation_ns: u64,
    prompt_tokens: u64,
    prompt_ns: u64,
}

impl Totals {
    fn since(&self, before: &Self) -> Self {
        Self {
            tokens: self.tokens - before.tokens,
            generation_ns: self.generation_ns - before.generation_ns,
            prompt_tokens: self.prompt_tokens - before.prompt_tokens,
            prompt_ns: self.prompt_ns - before.prompt_ns,
        }
    }
}

/// Figures of one run.
#[derive(Clone, Debug, PartialEq)]
struct Run {
    /// Generated tokens a second, none of them shown.
    generation: f64,
    /// Generated tokens a second, each shown.
    shown: f64,
    /// The prompt's tokens a second.
    prompt: f64,
    /// Kernels and hash of all logits, of the run without output.
    hash: Hash,
}

/// Measures both, interleaved, and prints the medians and the ratio.
///
/// # Errors
/// When a run cannot be started, does not end well, or the two compute different bits.
pub fn run(workspace: &Workspace, consent: Consent, options: &GuestBenchOptions) -> Result<u8> {
    let machine = &options.machine;
    let model = Model::resolve(workspace, consent, &machine.model)?;
    let guest = GuestTarget::new(workspace, consent, "bench", machine.native_if_possible(&model)?, &model)?;
    let host = HostTarget::new(workspace, &model, machine.timeout)?;

    // What comes before the first `stats` warms up.
    let tokens = options.generate;
    let (hash, stats) = (format!("hash --json -n {tokens} {PROMPT}"), "stats --json");
    let script = format!("{hash}; {stats}; {hash}; {stats}; generate -n {tokens} {PROMPT}; {stats}");
    let (setup, accel) = (guest.setup(&machine.smp), guest.accel());
    let (mut on_host, mut in_guest) = (Vec::new(), Vec::new());
    for repetition in 1..=options.repetitions {
        let host = read(&host.run(machine.smp.cores(), &[], &script)?)?;
        let guest = read(&guest.run(&machine.smp, &[], &script)?)?;
        eprintln!(
            "xtask: {repetition} of {}: host {:.1} tokens/s, guest {:.1} tokens/s",
            options.repetitions, host.generation, guest.generation
        );
        let (own, others) = (&host.hash.logits_hash, &guest.hash.logits_hash);
        ensure!(own == others, "the guest computed other bits than the host: {others} and {own}");
        on_host.push(host);
        in_guest.push(guest);
    }
    println!("{setup} as guest, {accel}, {tokens} tokens made; medians of {}", on_host.len());
    print!("{}", table(&on_host, &in_guest));
    Ok(0)
}

/// Parses the figures from a run's output.
fn read(output: &str) -> Result<Run> {
    let (hashes, stats): (Vec<Printed>, Vec<Printed>) =
        console::objects(output)?.into_iter().partition(|line| matches!(line, Printed::Hash(_)));
    let (
        [Printed::Hash(_), Printed::Hash(hash)],
        [Printed::Totals(before), Printed::Totals(after), Printed::Totals(last)],
    ) = (hashes.as_slice(), stats.as_slice())
    else {
        bail!("not two hashes and three times statistics in\n{output}")
    };
    let (hidden, shown) = (after.since(before), last.since(after));
    ensure!(
        hidden.generation_ns > 0 && hidden.prompt_ns > 0 && shown.generation_ns > 0,
        "no time passed in\n{output}"
    );
    Ok(Run {
        generation: rate(hidden.tokens, hidden.generation_ns),
        shown: rate(shown.tokens, shown.generation_ns),
        prompt: rate(hidden.prompt_tokens, hidden.prompt_ns),
        hash: hash.clone(),
    })
}

/// Events a second.
fn rate(count: u64, nanoseconds: u64) -> f64 {
    count as f64 * 1e9 / nanoseconds as f64
}

/// Table of both medians and their ratios.
fn table(on_host: &[Run], in_guest: &[Run]) -> String {
    let medians = |runs: &[Run]| {
        let figures: [fn(&Run) -> f64; 3] = [|run| run.generation, |run| run.shown, |run| run.prompt];
        figures.map(|figure| median(runs.iter().map(figure).collect()))
    };
    let row = |name: &str, [generation, shown, prompt]: [f64; 3], digits, note: &str| {
        format!("{name:<12}  {generation:>10.digits$}  {shown:>10.digits$}  {prompt:>10.digits$}  {note}\n")
    };
    let (host, guest) = (medians(on_host), medians(in_guest));
    let ratios = std::array::from_fn(|index| guest[index] / host[index]);
    let mut table = format!("{:<12}  {:>10}  {:>10}  {:>10}\n", "tokens/s", "generation", "shown", "prompt");
    table += &row("host", host, 1, &format!("{} kernels", on_host[0].hash.kernels));
    table += &row("guest", guest, 1, &format!("{} kernels", in_guest[0].hash.kernels));
    table +=
        &row("guest / host", ratios, 3, &format!("same bits: logits hash {}", on_host[0].hash.logits_hash));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "model a.gguf: llama, 1.3 M parameters, context 256, AVX-VNNI kernels\r\n\
        {\"ids\":[1],\"kernels\":\"AVX-VNNI\",\"logits_hash\":\"ab\"}\r\n\
        {\"up_ns\":1,\"tokens\":64,\"generation_ns\":500000000,\"prompt_tokens\":100,\"prompt_ns\":300000000}\r\n\
        {\"ids\":[1],\"kernels\":\"AVX-VNNI\",\"logits_hash\":\"ab\"}\r\n\
        {\"up_ns\":2,\"tokens\":128,\"generation_ns\":532000000,\"prompt_tokens\":200,\"prompt_ns\":310000000}\r\n\
        > generate {x\r\n\
        {\"up_ns\":3,\"tokens\":192,\"generation_ns\":582000000,\"prompt_tokens\":300,\"prompt_ns\":320000000}\r\n";

    fn hash() -> Hash {
        Hash { kernels: "AVX-VNNI".to_owned(), logits_hash: "ab".to_owned() }
    }

    fn sample(generation: f64, prompt: f64) -> Run {
        Run { generation, shown: 1200.5, prompt, hash: hash() }
    }

    #[test]
    fn figures_are_those_after_the_warm_up() {
        let Run { generation, shown, prompt, hash: found } = read(OUTPUT).expect("well-formed");
        assert!((generation - 2000.0).abs() < 1e-6 && (prompt - 10_000.0).abs() < 1e-6);
        assert!((shown - 1280.0).abs() < 1e-6);
        assert_eq!(found, hash());
    }

    #[test]
    fn output_without_figures_is_shown() {
        let cut = |text| OUTPUT.replace(text, "");
        for output in [String::new(), cut("{\"up_ns\":3,"), OUTPUT.replace("532", "500")] {
            assert!(read(&output).expect_err("no figures").to_string().contains(&output));
        }
    }

    #[test]
    fn ratios_are_of_medians() {
        let shown = table(&[sample(1.0, 10.0), sample(4.0, 20.0), sample(2.0, 30.0)], &[sample(1.9, 10.0)]);
        assert!(["0.950", "1.000", "0.500"].iter().all(|ratio| shown.contains(ratio)), "{shown}");
    }
}
