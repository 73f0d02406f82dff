//! `cargo xtask bits --served`: random requests to guests of both architectures, with different numbers of cores, two
//! each, alone and among others, whether their prompts were computed before or not: one answer each.

use anyhow::{Context, Result};
use std::time::Instant;

use super::{Said, alone, differing, digest, requests, together};
use crate::accel::{AccelChoice, Host};
use crate::arch::Arch;
use crate::build;
use crate::cli::BitsOptions;
use crate::setup::{self, Consent, Tool};
use crate::test::FAILED;
use crate::test::serving::guest::{End, Guest, Loaded};
use crate::test::serving::{self, Server, model};
use crate::workspace::Workspace;

/// Start of the random numbers.
const SEED: u64 = 1;
/// Differences of a pass that are shown.
const SHOWN: usize = 3;

/// What is asked of a machine that has just booted, and then of the same machine once more.
type Pass = fn(&Server, &[super::Asked]) -> Result<Vec<Said>>;
const REPLICAS: [[(&str, Pass); 2]; 2] =
    [[("alone", alone), ("among 31 others", together)], [("among 31 others", together), ("alone", alone)]];

/// Boots the machines and compares.
///
/// # Errors
/// When a guest cannot be booted or a request is not answered; different answers are the returned status.
pub fn run(workspace: &Workspace, consent: Consent, options: &BitsOptions, count: usize) -> Result<u8> {
    let requests = requests(SEED, count);
    let mut first: Option<Vec<Said>> = None;
    let (mut answers, mut different) = (0, 0);
    for arch in options.arch.map_or(Arch::ALL.to_vec(), |arch| vec![arch]) {
        setup::require(Tool::Qemu(arch), consent)?;
        let (built, accel) =
            (build::build(workspace, arch)?, Host::detect().choose_any(AccelChoice::Auto, arch)?);
        let guest = Guest { workspace, built: &built, accel, timeout: options.timeout };
        let (file, _) = model::write(workspace, arch)?;
        let loaded = Loaded { model: &file, name: model::NAME, modules: &[], words: &[] };
        for smp in &options.smp {
            for (replica, passes) in (1..).zip(REPLICAS) {
                let setup = serving::machine(arch, smp.clone());
                let name = format!("{setup}, {accel}, replica {replica}");
                let boot = guest.serve(setup, &loaded, End::PowerOff, |server| -> Result<()> {
                    for (what, pass) in passes {
                        let (begun, hits) = (Instant::now(), hits(server)?);
                        let said = pass(server, &requests).with_context(|| format!("{name}, {what}"))?;
                        let hits = self::hits(server)? - hits;
                        let first = first.get_or_insert_with(|| said.clone());
                        let differ = differing(&requests, first, &said);
                        differ.iter().take(SHOWN).for_each(|words| println!("{name}, {what}: {words}"));
                        answers += said.len();
                        different += differ.len();
                        let (digest, time) = (digest(&said)?, begun.elapsed().as_secs_f64());
                        let digest = digest.get(..16).unwrap_or(&digest);
                        println!("{name}, {what}: {digest}, {hits} tokens of prompts found, {time:.1} s");
                    }
                    Ok(())
                })?;
                boot.result?;
                if let Some(wrong) = boot.wrong {
                    println!("{name}: {wrong}");
                    different += 1;
                }
            }
        }
    }
    println!("seed {SEED}, {count} requests, {answers} answers, {different} differ");
    Ok(if different == 0 { 0 } else { FAILED })
}

/// Tokens of prompts that were found computed.
fn hits(server: &Server) -> Result<f64> {
    server.metric(&["vllm:prefix_cache_hits_total"])
}
