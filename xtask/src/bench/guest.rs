//! `cargo xtask bench guest`: the same generation on the host, as a plain process, and in a booted guest,
//! by turns. What is left of the host's speed is the cost of the kernel and of the machine under it.

use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::process::Command;

use super::median;
use crate::accel::{Accelerator, Host};
use crate::boot::{self, Plan, Setup};
use crate::build::{self, Built};
use crate::cli::GuestBenchOptions;
use crate::guest::Ending;
use crate::machine::MachineKind;
use crate::model::Model;
use crate::process::{self, End};
use crate::setup::{self, Consent, Tool};
use crate::workspace::Workspace;

/// An opening the story model knows how to go on from, long enough to time.
const PROMPT: &str = "Once upon a time, there was a little girl named Lily. Lily loved to play in the park with \
    her big red ball. One day, she saw a small dog under a tree. The dog was sad. Lily sat down and gave the \
    dog a hug. The dog was happy and ran to get the ball. They played all day. Then the sun went down and \
    it was time to go home.";

/// What one run said of itself.
#[derive(Clone, Debug, PartialEq)]
struct Run {
    /// Generated tokens a second.
    generation: f64,
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
    let kind = MachineKind::choose(options.arch, options.machine)?;
    let arch = kind.arch();
    let accel = Host::detect().choose(options.accel, arch)?;
    let model = Model::resolve(workspace, consent, &options.model)?;
    ensure!(model != Model::None, "--model none: there is nothing to measure without a model");
    if let Some(file) = model.file() {
        options.memory.check_module(arch, file)?;
    }
    setup::require(Tool::Qemu(arch), consent)?;
    let machine = Setup { kind, smp: options.smp.clone(), cpu: None, gic: None, el2: false };
    let program = build::host_example(workspace, "console")?;
    let built = build::build(workspace, arch)?;

    // The first generation warms up: its pages and clock are not counted.
    let command = format!("generate -n {} {PROMPT}", options.generate);
    let script = format!("{command}; {command}");
    let bench = Bench { workspace, built: &built, machine: &machine, accel, model: &model, script, options };
    let (mut on_host, mut in_guest) = (Vec::new(), Vec::new());
    for repetition in 1..=options.repetitions {
        let host = bench.on_host(&program).context("on the host")?;
        let guest = bench.in_guest().context("in the guest")?;
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
    println!("{} as guest, {accel}, {} tokens made; medians of {}", machine, options.generate, on_host.len());
    print!("{}", table(&on_host, &in_guest));
    Ok(0)
}

struct Bench<'b> {
    workspace: &'b Workspace,
    built: &'b Built,
    machine: &'b Setup,
    accel: Accelerator,
    model: &'b Model,
    script: String,
    options: &'b GuestBenchOptions,
}

impl Bench<'_> {
    fn on_host(&self, program: &Path) -> Result<Run> {
        let story = self.workspace.story_model();
        let mut command = Command::new(program);
        command.arg(self.options.smp.cores().to_string()).arg(self.model.file().unwrap_or(&story));
        command.arg(format!("exec={}", self.script));
        let mut output = Vec::new();
        let end = process::stream(&mut command, Some(self.options.timeout), &mut |bytes| {
            output.extend_from_slice(bytes);
            Ok(())
        })?;
        let output = String::from_utf8_lossy(&output);
        match end {
            End::Exited(status) if status.success() => read(&output),
            End::Exited(status) => bail!("the engine ended with {status} after saying\n{output}"),
            End::TimedOut => bail!("the engine still ran after {} s", self.options.timeout.as_secs_f64()),
        }
    }

    fn in_guest(&self) -> Result<Run> {
        let plan = Plan {
            name: &format!("bench {}", self.machine),
            setup: self.machine,
            accel: self.accel,
            memory: self.options.memory,
            model: self.model,
            words: &[],
            script: &self.script,
            timeout: self.options.timeout,
        };
        let (output, ending) = boot::run(self.workspace, self.built, &plan)?;
        if ending != Ending::Success {
            let reason = ending.reason().unwrap_or_else(|| "QEMU was closed".to_owned());
            bail!("{reason} after saying\n{output}");
        }
        read(&output)
    }
}

/// Takes the figures out of the last `[N tokens, S s, R tokens/s; prompt N tokens, S s, R tokens/s; logits hash H]`
/// and the kernels out of `model ..., NAME kernels`.
fn read(output: &str) -> Result<Run> {
    let lines = || output.lines().map(str::trim_end);
    let figures = lines().rev().find_map(|line| {
        let mut parts = line.strip_prefix('[')?.split("; ");
        let mut rate = || parts.next()?.rsplit_once(", ")?.1.strip_suffix(" tokens/s")?.parse::<f64>().ok();
        let (generation, prompt) = (rate()?, rate()?);
        let hash = parts.next()?.strip_prefix("logits hash ")?.trim_end_matches(']').to_owned();
        Some((generation, prompt, hash))
    });
    let (generation, prompt, hash) =
        figures.filter(|&(generation, prompt, _)| generation > 0.0 && prompt > 0.0).with_context(|| {
            format!("no line `[... tokens/s; prompt ... tokens/s; logits hash ...]` in\n{output}")
        })?;
    let kernels = lines().find_map(|line| {
        let (_, name) = line.strip_prefix("model ")?.strip_suffix(" kernels")?.rsplit_once(", ")?;
        Some(name.to_owned())
    });
    Ok(Run { generation, prompt, kernels: kernels.context("no line `model ... kernels`")?, hash })
}

/// Medians of both and their ratio.
fn table(on_host: &[Run], in_guest: &[Run]) -> String {
    let medians = |runs: &[Run]| {
        let of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
        (of(|run| run.generation), of(|run| run.prompt))
    };
    let row = |name: &str, (generation, prompt): (f64, f64), runs: &[Run]| {
        format!("{name:<12}  {generation:>10.1} tok/s  {prompt:>10.1} tok/s  {}\n", runs[0].kernels)
    };
    let (host, guest) = (medians(on_host), medians(in_guest));
    format!(
        "{:<12}  {:>16}  {:>16}  kernels\n{}{}{:<12}  {:>16.3}  {:>16.3}  same bits: logits hash {}\n",
        "",
        "generation",
        "prompt",
        row("host", host, on_host),
        row("guest", guest, in_guest),
        "guest / host",
        guest.0 / host.0,
        guest.1 / host.1,
        on_host[0].hash,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "model a.gguf: llama, 1.3 M parameters, context 256, AVX-VNNI kernels\r\n\
        [64 tokens, 0.03 s, 2000.0 tokens/s; prompt 97 tokens, 0.00 s, 9000.0 tokens/s; logits hash aa]\r\n\
        > generate [x\r\n\
        [64 tokens, 0.02 s, 3400.5 tokens/s; prompt 97 tokens, 0.00 s, 9100.0 tokens/s; logits hash ab]\r\n";

    fn sample(generation: f64, prompt: f64) -> Run {
        Run { generation, prompt, kernels: "AVX-VNNI".to_owned(), hash: "ab".to_owned() }
    }

    #[test]
    fn the_last_generation_counts() {
        assert_eq!(read(OUTPUT).expect("well-formed"), sample(3400.5, 9100.0));
        let full = OUTPUT.replace("hash ab]", "hash ab; the context is full]");
        assert_eq!(read(&full).expect("well-formed"), sample(3400.5, 9100.0));
    }

    #[test]
    fn output_without_figures_is_shown() {
        for output in
            ["error: no model", "model a, b kernels\n[0 tokens, 0.00 s, 0.0 tokens/s; prompt 1 tokens]"]
        {
            assert!(read(output).expect_err("no figures").to_string().contains(output));
        }
    }

    #[test]
    fn ratios_are_of_medians() {
        let shown = table(&[sample(1.0, 10.0), sample(4.0, 20.0), sample(2.0, 30.0)], &[sample(1.9, 10.0)]);
        assert!(shown.contains("0.950") && shown.contains("0.500"), "{shown}");
    }
}
