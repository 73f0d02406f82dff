//! `cargo xtask bits`: whether the logits of one greedy continuation have the same bits everywhere: on the host and in
//! a guest of each architecture, on any number of cores, by every variant of the kernels, with the prompt in one piece
//! and in several.

use anyhow::{Context, Result, ensure};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::accel::Accelerator;
use crate::arch::Arch;
use crate::boot::{self, Plan, Setup};
use crate::build::{self, Built};
use crate::cli::BitsOptions;
use crate::guest::Ending;
use crate::machine::MachineKind;
use crate::model::Model;
use crate::process;
use crate::setup::{self, Consent, Tool};
use crate::test::FAILED;
use crate::topology::Topology;
use crate::workspace::Workspace;

/// What is continued. The story model takes it as 17 tokens, so that both divisions leave a rest.
const PROMPT: &str = "Once upon a time, there was a little girl named Lily. She had a red ball.";

/// Divisions of the prompt: all at once, one by one, and into pieces that are no power of two.
const DIVISIONS: [&str; 3] = ["", "-d 1 ", "-d 3 "];

/// One way to compute, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    /// Where, on how many cores, by which kernels, with which division.
    way: String,
    /// The hash of all logits.
    hash: String,
}

/// Where the console runs.
enum Place<'p> {
    Host { program: PathBuf },
    Guest { workspace: &'p Workspace, built: Built, arch: Arch, model: &'p Model, options: &'p BitsOptions },
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { .. } => f.write_str("host"),
            Self::Guest { arch, .. } => write!(f, "{arch} guest"),
        }
    }
}

/// Computes every way and compares.
///
/// # Errors
/// When a run cannot be started or does not end well.
pub fn run(workspace: &Workspace, consent: Consent, options: &BitsOptions) -> Result<u8> {
    let model = Model::resolve(workspace, consent, &options.model)?;
    let file = model.clone().on_host(workspace)?;
    let mut places = vec![Place::Host { program: build::host_program(workspace, "console")? }];
    for arch in options.arch.map_or(Arch::ALL.to_vec(), |arch| vec![arch]) {
        setup::require(Tool::Qemu(arch), consent)?;
        let built = build::build(workspace, arch)?;
        places.push(Place::Guest { workspace, built, arch, model: &model, options });
    }
    let mut outcomes = Vec::new();
    for place in &places {
        let one: Topology = "1".parse().map_err(anyhow::Error::msg)?;
        let kernels = kernels(&place.console(&file, &one, "model")?)?;
        for smp in &options.smp {
            let ways: Vec<(&str, &str)> = kernels
                .iter()
                .flat_map(|kernels| DIVISIONS.map(|division| (kernels.as_str(), division)))
                .collect();
            let command = |(kernels, division): &(&str, &str)| {
                format!("hash -n {} -v {kernels} {division}{PROMPT}", options.generate)
            };
            let script = ways.iter().map(command).collect::<Vec<_>>().join("; ");
            let hashes = hashes(&place.console(&file, smp, &script)?);
            ensure!(hashes.len() == ways.len(), "{place}: {} hashes of {}", hashes.len(), ways.len());
            println!("{place}, {} cores: {}", smp.cores(), summary(&hashes));
            outcomes.extend(ways.iter().zip(hashes).map(|((kernels, division), hash)| Outcome {
                way: format!("{place}, {} cores, {kernels} kernels {division}", smp.cores()),
                hash,
            }));
        }
    }
    let differing = differing(&outcomes);
    for Outcome { way, hash } in &differing {
        println!("{}: {hash}", way.trim_end());
    }
    let first = outcomes.first().context("nothing was computed")?;
    println!("{} ways, {} differ from {}", outcomes.len(), differing.len(), first.hash);
    Ok(if differing.is_empty() { 0 } else { FAILED })
}

impl Place<'_> {
    /// What the console says to `script` on a machine of `smp`.
    fn console(&self, file: &Path, smp: &Topology, script: &str) -> Result<String> {
        match self {
            Self::Host { program } => {
                let mut command = Command::new(program);
                command.arg(smp.cores().to_string()).arg(file).arg(format!("exec={script}"));
                process::said(&mut command, None)
            }
            Self::Guest { workspace, built, arch, model, options } => {
                let kind = MachineKind::default_of(*arch);
                let setup = Setup { kind, smp: smp.clone(), cpu: None, gic: None, el2: false };
                let plan = Plan {
                    name: &format!("bits {setup}"),
                    setup: &setup,
                    accel: Accelerator::Tcg,
                    memory: options.memory,
                    model,
                    modules: &[],
                    words: &[],
                    script,
                    keep_going: false,
                    timeout: options.timeout,
                    pinned: false,
                };
                let (output, ending) = boot::run(workspace, built, &plan)?;
                ensure!(ending == Ending::Success, "{setup}: {ending:?}\n{output}");
                Ok(output)
            }
        }
    }
}

/// The names in the line `kernels for this processor: A, B` as the console takes them.
fn kernels(output: &str) -> Result<Vec<String>> {
    let line = output.lines().find_map(|line| line.trim_end().strip_prefix("kernels for this processor: "));
    let names = line.with_context(|| format!("no line `kernels for this processor` in\n{output}"))?;
    Ok(names.split(", ").map(|name| name.replace(' ', "-")).collect())
}

/// The hashes of all lines `ids ...; logits hash H`.
fn hashes(output: &str) -> Vec<String> {
    let lines = output.lines().filter(|line| line.starts_with("ids "));
    lines.filter_map(|line| Some(line.trim_end().split_once("; logits hash ")?.1.to_owned())).collect()
}

/// One hash if all are equal.
fn summary(hashes: &[String]) -> String {
    match hashes {
        [first, rest @ ..] if rest.iter().all(|hash| hash == first) => {
            format!("{} times {first}", hashes.len())
        }
        _ => format!("different: {}", hashes.join(" ")),
    }
}

/// Those that are not as the first.
fn differing(outcomes: &[Outcome]) -> Vec<Outcome> {
    let first = outcomes.first().map(|outcome| outcome.hash.clone());
    outcomes.iter().filter(|outcome| Some(&outcome.hash) != first.as_ref()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "kernels for this processor: AVX-512 VNNI, portable\r\n> hash a\r\nids 1 2; logits hash ab\r\n\
        ids 1 2; logits hash cd\r\n";

    #[test]
    fn output_is_read() {
        assert_eq!(kernels(OUTPUT).expect("a line"), ["AVX-512-VNNI", "portable"]);
        assert!(kernels("model").is_err());
        assert_eq!(hashes(OUTPUT), ["ab", "cd"]);
    }

    #[test]
    fn one_differing_way_is_named() {
        let outcome = |way: &str, hash: &str| Outcome { way: way.to_owned(), hash: hash.to_owned() };
        let all = [outcome("a", "1"), outcome("b", "1"), outcome("c", "2")];
        assert_eq!(differing(&all), [outcome("c", "2")]);
        assert!(differing(&all[..2]).is_empty());
        assert_eq!(summary(&hashes(OUTPUT)), "different: ab cd");
        assert_eq!(summary(&["1".to_owned(), "1".to_owned()]), "2 times 1");
    }
}
