//! `cargo xtask bits`: comparison of the logits' bits of one greedy continuation: on the host and in a guest of each
//! architecture, on any number of cores, by every kernel variant, with every division of the prompt.

use anyhow::{Context, Result, ensure};

use crate::accel::Accelerator;
use crate::arch::Arch;
use crate::cli::BitsOptions;
use crate::console::{self, Hash};
use crate::machine::MachineKind;
use crate::model::Model;
use crate::setup::Consent;
use crate::target::{GuestMachine, GuestTarget, HostTarget, Target};
use crate::test::FAILED;
use crate::test::serving::same;
use crate::workspace::Workspace;

/// Prompt of the continuation. The story model takes it as 17 tokens, so that both divisions leave a remainder.
const PROMPT: &str = "Once upon a time, there was a little girl named Lily. She had a red ball.";

/// Divisions of the prompt: all at once, one by one, and into pieces that are no power of two.
const DIVISIONS: [&str; 3] = ["", "-d 1 ", "-d 3 "];

/// A configuration and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    /// Configuration: target, number of cores, kernels, division.
    configuration: String,
    /// The hash of all logits.
    hash: String,
}

/// Computes with every configuration and compares the hashes.
///
/// # Errors
/// When a run cannot be started or fails.
pub fn run(workspace: &Workspace, consent: Consent, options: &BitsOptions) -> Result<u8> {
    if let Some(count) = options.served {
        return same::run(workspace, consent, options, count);
    }
    let model = Model::resolve(workspace, consent, &options.model)?;
    let mut targets = vec![Target::Host(HostTarget::new(workspace, &model, options.timeout)?)];
    for arch in options.arch.map_or(Arch::ALL.to_vec(), |arch| vec![arch]) {
        let machine = GuestMachine {
            kind: MachineKind::default_of(arch),
            accel: Accelerator::Tcg,
            memory: options.memory,
            timeout: options.timeout,
        };
        targets.push(Target::Guest(GuestTarget::new(workspace, consent, "bits", machine, &model)?));
    }
    let mut outcomes = Vec::new();
    for target in &targets {
        let kernels = console::all_kernels(&target.run(&1.into(), &[], "model")?)?;
        for smp in &options.smp {
            let configurations: Vec<(&str, &str)> = kernels
                .iter()
                .flat_map(|kernels| DIVISIONS.map(|division| (kernels.as_str(), division)))
                .collect();
            let command = |(kernels, division): &(&str, &str)| {
                format!("hash --json -n {} -v {kernels} {division}{PROMPT}", options.generate)
            };
            let script = configurations.iter().map(command).collect::<Vec<_>>().join("; ");
            let hashes: Vec<Hash> = console::objects(&target.run(smp, &[], &script)?)?;
            ensure!(
                hashes.len() == configurations.len(),
                "{target}: {} hashes of {}",
                hashes.len(),
                configurations.len()
            );
            println!("{target}, {} cores: {}", smp.cores(), summary(&hashes));
            outcomes.extend(configurations.iter().zip(hashes).map(|((_, division), hash)| Outcome {
                configuration: format!(
                    "{target}, {} cores, {} kernels {division}",
                    smp.cores(),
                    hash.kernels
                ),
                hash: hash.logits_hash,
            }));
        }
    }
    let differing = differing(&outcomes);
    for Outcome { configuration, hash } in &differing {
        println!("{}: {hash}", configuration.trim_end());
    }
    let first = outcomes.first().context("nothing was computed")?;
    println!("{} configurations, {} differ from {}", outcomes.len(), differing.len(), first.hash);
    Ok(if differing.is_empty() { 0 } else { FAILED })
}

/// Summary of the hashes: a single one if all are equal.
fn summary(hashes: &[Hash]) -> String {
    let hashes: Vec<&str> = hashes.iter().map(|hash| hash.logits_hash.as_str()).collect();
    match hashes.as_slice() {
        [first, rest @ ..] if rest.iter().all(|hash| hash == first) => {
            format!("{} times {first}", hashes.len())
        }
        _ => format!("different: {}", hashes.join(" ")),
    }
}

/// Outcomes that differ from the first.
fn differing(outcomes: &[Outcome]) -> Vec<Outcome> {
    let first = outcomes.first().map(|outcome| outcome.hash.clone());
    outcomes.iter().filter(|outcome| Some(&outcome.hash) != first.as_ref()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_differing_configuration_is_named() {
        let outcome = |configuration: &str, hash: &str| Outcome {
            configuration: configuration.to_owned(),
            hash: hash.to_owned(),
        };
        let all = [outcome("a", "1"), outcome("b", "1"), outcome("c", "2")];
        assert_eq!(differing(&all), [outcome("c", "2")]);
        assert!(differing(&all[..2]).is_empty());
    }

    #[test]
    fn equal_hashes_are_said_once() {
        let summary = |hashes: &[&str]| {
            let hash = |hash: &&str| Hash { kernels: String::new(), logits_hash: (*hash).to_owned() };
            summary(&hashes.iter().map(hash).collect::<Vec<_>>())
        };
        assert_eq!(summary(&["ab", "cd", "ab"]), "different: ab cd ab");
        assert_eq!(summary(&["1", "1"]), "2 times 1");
    }
}
