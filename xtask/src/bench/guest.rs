//! `cargo xtask bench guest`: the same generation on the host, as a plain process, and in a booted guest,
//! by turns. What is left of the host's speed is the cost of the kernel and of the machine under it.
//!
//! Generation is measured twice: `hash` computes and prints nothing until its end; `generate` also shows each
//! piece of text as it comes, which is slow on a serial line.

use anyhow::{Context, Result, bail, ensure};

use super::console::{InGuest, OnHost};
use super::median;
use crate::cli::GuestBenchOptions;
use crate::model::Model;
use crate::setup::Consent;
use crate::workspace::Workspace;

/// An opening the story model knows how to go on from, long enough to time.
const PROMPT: &str = "Once upon a time, there was a little girl named Lily. Lily loved to play in the park with \
    her big red ball. One day, she saw a small dog under a tree. The dog was sad. Lily sat down and gave the \
    dog a hug. The dog was happy and ran to get the ball. They played all day. Then the sun went down and \
    it was time to go home.";

/// What one run said of itself.
#[derive(Clone, Debug, PartialEq)]
struct Run {
    /// Generated tokens a second, none of them shown.
    generation: f64,
    /// Generated tokens a second, each shown.
    shown: f64,
    /// The prompt's tokens a second.
    prompt: f64,
    /// What computed.
    kernels: String,
    /// Hash of all logits.
    hash: String,
}

/// Runs both by turns, prints the medians and the ratio.
///
/// # Errors
/// When a run cannot be started, does not end well, or the two compute different bits.
pub fn run(workspace: &Workspace, consent: Consent, options: &GuestBenchOptions) -> Result<u8> {
    let machine = &options.machine;
    let (kind, accel) = machine.native_if_possible()?;
    let model = Model::resolve(workspace, consent, &machine.model)?;
    let guest = InGuest::new(workspace, consent, machine, kind, accel, &model)?;
    let host = OnHost::new(workspace, &model, machine.timeout)?;

    // What comes before the first `stats` warms up.
    let tokens = options.generate;
    let hash = format!("hash -n {tokens} {PROMPT}");
    let script = format!("{hash}; stats; {hash}; stats; generate -n {tokens} {PROMPT}");
    let name = guest.machine();
    let (mut on_host, mut in_guest) = (Vec::new(), Vec::new());
    for repetition in 1..=options.repetitions {
        let host = read(&host.run(machine.smp.cores(), &[], &script)?)?;
        let guest = read(&guest.run(&script)?)?;
        eprintln!(
            "xtask: {repetition} of {}: host {:.1} tokens/s, guest {:.1} tokens/s",
            options.repetitions, host.generation, guest.generation
        );
        ensure!(
            host.hash == guest.hash,
            "the guest computed other bits than the host: {} and {}",
            guest.hash,
            host.hash
        );
        on_host.push(host);
        in_guest.push(guest);
    }
    println!("{name} as guest, {accel}, {tokens} tokens made; medians of {}", on_host.len());
    print!("{}", table(&on_host, &in_guest));
    Ok(0)
}

/// Takes the figures out of a run's output.
fn read(output: &str) -> Result<Run> {
    let lines = || output.lines().map(str::trim_end);
    let totals: Vec<[f64; 4]> = lines().filter_map(totals).collect();
    let &[before, after] = totals.as_slice() else {
        bail!("not two lines `... tokens made in ... s, ... of prompts taken in ... s` in\n{output}")
    };
    let [tokens, seconds, prompt_tokens, prompt_seconds] =
        std::array::from_fn(|index| after[index] - before[index]);
    ensure!(tokens > 0.0 && seconds > 0.0 && prompt_seconds > 0.0, "no time passed in\n{output}");
    let (shown, hash) = lines()
        .find_map(shown)
        .with_context(|| format!("no line `[... tokens/s; prompt ...; logits hash ...]` in\n{output}"))?;
    let kernels = lines().find_map(|line| {
        let (_, name) = line.strip_prefix("model ")?.strip_suffix(" kernels")?.rsplit_once(", ")?;
        Some(name.to_owned())
    });
    Ok(Run {
        generation: tokens / seconds,
        shown,
        prompt: prompt_tokens / prompt_seconds,
        kernels: kernels.with_context(|| format!("no line `model ... kernels` in\n{output}"))?,
        hash,
    })
}

/// The numbers of `MACHINE: N tokens made in S s, N of prompts taken in S s`.
fn totals(line: &str) -> Option<[f64; 4]> {
    let (_, line) = line.rsplit_once(": ")?;
    let (tokens, line) = line.split_once(" tokens made in ")?;
    let (seconds, line) = line.split_once(" s, ")?;
    let (prompt_tokens, line) = line.split_once(" of prompts taken in ")?;
    let numbers = [tokens, seconds, prompt_tokens, line.strip_suffix(" s")?];
    let numbers = numbers.map(|number| number.parse().ok());
    Some([numbers[0]?, numbers[1]?, numbers[2]?, numbers[3]?])
}

/// The rate and the hash of `[N tokens, S s, R tokens/s; prompt ...; logits hash H]`.
fn shown(line: &str) -> Option<(f64, String)> {
    let line = line.strip_prefix('[')?.trim_end_matches(']');
    let rate = line.split_once(" tokens/s")?.0.rsplit_once(' ')?.1.parse().ok()?;
    let hash = line.split("; ").find_map(|part| part.strip_prefix("logits hash "))?;
    Some((rate, hash.to_owned()))
}

/// Medians of both and their ratios.
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
    table += &row("host", host, 1, &format!("{} kernels", on_host[0].kernels));
    table += &row("guest", guest, 1, &format!("{} kernels", in_guest[0].kernels));
    table += &row("guest / host", ratios, 3, &format!("same bits: logits hash {}", on_host[0].hash));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "model a.gguf: llama, 1.3 M parameters, context 256, AVX-VNNI kernels\r\n\
        x86_64 microvm: 64 tokens made in 0.500000 s, 100 of prompts taken in 0.300000 s\r\n\
        x86_64 microvm: 128 tokens made in 0.532000 s, 200 of prompts taken in 0.310000 s\r\n\
        > generate [x\r\n\
        [64 tokens, 0.05 s, 1200.5 tokens/s; prompt 97 tokens, 0.00 s; logits hash ab]\r\n";

    fn sample(generation: f64, prompt: f64) -> Run {
        let (kernels, hash) = ("AVX-VNNI".to_owned(), "ab".to_owned());
        Run { generation, shown: 1200.5, prompt, kernels, hash }
    }

    #[test]
    fn figures_are_those_after_the_warm_up() {
        for output in [OUTPUT, &OUTPUT.replace("hash ab]", "hash ab; the context is full]")] {
            let Run { generation, shown, prompt, kernels, hash } = read(output).expect("well-formed");
            assert!((generation - 2000.0).abs() < 1e-6 && (prompt - 10_000.0).abs() < 1e-6);
            assert_eq!((shown, kernels.as_str(), hash.as_str()), (1200.5, "AVX-VNNI", "ab"));
        }
    }

    #[test]
    fn output_without_figures_is_shown() {
        let cut = |text| OUTPUT.replace(text, "");
        for output in
            [String::new(), cut("[64"), cut("model"), cut("microvm: 128"), OUTPUT.replace("532", "500")]
        {
            assert!(read(&output).expect_err("no figures").to_string().contains(&output));
        }
    }

    #[test]
    fn ratios_are_of_medians() {
        let shown = table(&[sample(1.0, 10.0), sample(4.0, 20.0), sample(2.0, 30.0)], &[sample(1.9, 10.0)]);
        assert!(["0.950", "1.000", "0.500"].iter().all(|ratio| shown.contains(ratio)), "{shown}");
    }
}
