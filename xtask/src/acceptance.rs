//! `cargo xtask acceptance`: the six criteria on both architectures, each with its figures, thresholds and a verdict.
//!
//! Owns the order of the other modules' benches and tests: those that need a quiet host run first. A failed bench is a
//! missed finding, so the report stays complete.

mod criteria;
pub mod provenance;
mod report;
mod speedups;
mod work;

use anyhow::Result;
use std::io::Write;
use std::time::Instant;

use crate::accel::{AccelChoice, Accelerator, Host};
use crate::arch::Arch;
use crate::bench::scaling::FigureKind;
use crate::bench::{jitter, scaling};
use crate::build;
use crate::cli::{AcceptanceOptions, BenchMachine, GuestOptions, JitterBenchOptions, ScalingBenchOptions};
use crate::memory::MemorySize;
use crate::model::Model;
use crate::process::Interrupted;
use crate::setup::{self, Consent, Tool};
use crate::test::report::TestRun;
use crate::test::{FAILED, faults, guests, placement, scenario, setups};
use crate::workspace::{self, Workspace};
use provenance::Provenance;
use report::{AcceptanceReport, Finding};

/// Runs of a timed bench in a round: a disturbance of one is seldom in the others.
const RUNS: u32 = 5;

/// Results of all benches and tests.
struct Evidence {
    /// Test results by architecture.
    guests: Vec<Guests>,
    /// Findings of the second criterion.
    scaling: Vec<Finding>,
    /// Findings of the third criterion.
    jitter: Vec<Finding>,
}

/// Test results of one architecture's guests.
struct Guests {
    arch: Arch,
    /// Core counts and boots of the machines that ran the tests inside the kernel.
    boots: Vec<(u32, guests::Boot)>,
    /// Findings about the workers' items.
    work: Vec<Finding>,
    placement: TestRun,
    faults: TestRun,
}

/// Measures all criteria, prints them, and writes JSON and Markdown.
///
/// # Errors
/// When something is missing, does not build or cannot be written; a missed criterion is the status.
pub fn run(workspace: &Workspace, consent: Consent, options: &AcceptanceOptions) -> Result<u8> {
    let begun = Instant::now();
    let architectures = options.arch.map_or(Arch::ALL.to_vec(), |arch| vec![arch]);
    let model = Model::resolve(workspace, consent, &options.model)?;
    // Without a model there is nothing to measure.
    model.clone().on_host(workspace)?;
    for &arch in &architectures {
        setup::require(Tool::Qemu(arch), consent)?;
    }
    let mut provenance = Provenance::now(workspace, &architectures, &options.model);
    let evidence = Evidence {
        scaling: speedups(workspace, consent, options, &model)?,
        jitter: step_jitter(workspace, consent, options, &architectures)?,
        guests: architectures
            .iter()
            .map(|&arch| in_guests(workspace, options, &model, arch))
            .collect::<Result<_>>()?,
    };
    provenance.seconds = begun.elapsed().as_secs();
    let report = AcceptanceReport { provenance, criteria: criteria::all(&evidence) };
    print!("{report}");
    let json = serde_json::to_string_pretty(&report)?;
    for (given, name, text) in
        [(&options.json, "acceptance.json", json), (&options.markdown, "acceptance.md", report.markdown())]
    {
        let path = given.clone().unwrap_or_else(|| workspace.reports().join(name));
        workspace::replace_file(&path, |file| Ok(file.write_all(text.as_bytes())?))?;
        println!("{}", path.display());
    }
    Ok(if report.passed() { 0 } else { FAILED })
}

/// Findings of a bench, or a missed one with the error.
fn findings(
    what: &str,
    machine: &str,
    threshold: &str,
    result: Result<Vec<Finding>>,
) -> Result<Vec<Finding>> {
    match result {
        Err(error) if error.is::<Interrupted>() => Err(error),
        Err(error) => Ok(vec![Finding::judged(what, machine, format!("{error:#}"), threshold, false)]),
        findings => findings,
    }
}

/// Findings of the second criterion: native time on up to four cores, instructions on four and eight.
fn speedups(
    workspace: &Workspace,
    consent: Consent,
    options: &AcceptanceOptions,
    model: &Model,
) -> Result<Vec<Finding>> {
    let (counted, left_out): (Vec<u32>, Vec<u32>) =
        [4, 8].into_iter().partition(|&cores| options.smp.iter().any(|smp| smp.cores() == cores));
    // A large model has enough to do in few tokens, and is slow to emulate. The small one's batches of few are over in
    // milliseconds, as short as what disturbs them.
    let (timed, emulated) = if *model == Model::Embedded { (200, 16) } else { (48, 2) };
    let native = ScalingBenchOptions {
        arch: options.arch,
        smp: vec![2, 4],
        model: options.model.clone(),
        prompts: vec![8, 16],
        generate: timed,
        kind: vec![FigureKind::Native],
        rounds: options.rounds,
        repetitions: RUNS,
        memory: MemorySize::DEFAULT,
        timeout: options.timeout,
        json: None,
        svg: None,
    };
    let instructions = ScalingBenchOptions {
        smp: counted,
        prompts: vec![1, 8, 16],
        generate: emulated,
        kind: vec![FigureKind::Instructions],
        rounds: 1,
        repetitions: 3,
        ..native.clone()
    };
    let mut all = Vec::new();
    for bench in [native, instructions].iter().filter(|bench| !bench.smp.is_empty()) {
        let found = scaling::measure(workspace, consent, bench).map(|report| speedups::findings(&report));
        let what = format!("speed-up, {}", bench.kind[0]);
        all.extend(findings(&what, "every machine", "the same bits everywhere", found)?);
    }
    all.extend(left_out.into_iter().map(|cores| {
        let machine = format!("{cores} cores");
        Finding::not_measured(
            "speed-up, instructions",
            machine,
            "as a batch",
            "not among the counts of --smp",
        )
    }));
    Ok(all)
}

/// Findings of the third criterion: native time under KVM, and instructions under emulation.
fn step_jitter(
    workspace: &Workspace,
    consent: Consent,
    options: &AcceptanceOptions,
    architectures: &[Arch],
) -> Result<Vec<Finding>> {
    let mut all = Vec::new();
    for &arch in architectures {
        let mut runs = vec![(AccelChoice::Tcg, 50, 1)];
        match Host::detect().choose(AccelChoice::Kvm, arch) {
            Ok(_) => runs.insert(0, (AccelChoice::Kvm, 200, options.rounds.saturating_mul(RUNS))),
            Err(reason) => all.push(criteria::only_emulated(arch.name(), format!("{reason:#}"))),
        }
        for (accel, steps, rounds) in runs {
            let machine = BenchMachine {
                guest: GuestOptions { arch: Some(arch), machine: None, memory: MemorySize::DEFAULT },
                accel,
                smp: 2.into(),
                model: options.model.clone(),
                timeout: options.timeout,
            };
            let bench = JitterBenchOptions { machine, steps, rounds, json: None };
            let found =
                jitter::measure(workspace, consent, &bench).map(|report| criteria::step_jitter(&report));
            all.extend(findings("steps of a token", arch.name(), "they run", found)?);
        }
    }
    Ok(all)
}

/// Boots the guests of the other criteria for one architecture.
fn in_guests(
    workspace: &Workspace,
    options: &AcceptanceOptions,
    model: &Model,
    arch: Arch,
) -> Result<Guests> {
    let built = build::build(workspace, arch)?;
    let mut work = Vec::new();
    for cores in [&[0, 1, 2, 3][..], &[1, 2]] {
        let found = work::measure(workspace, &built, arch, model, cores, options.timeout);
        work.extend(findings("items of each worker", arch.name(), "above 0", found)?);
    }
    let mut boots = Vec::new();
    for setup in setups::select(arch, &options.smp)? {
        boots.push((
            setup.smp.cores(),
            guests::run(workspace, &built, &setup, Accelerator::Tcg, options.timeout)?,
        ));
    }
    let scenarios = |scenarios: Result<_>| {
        scenario::run(workspace, &built, arch, Accelerator::Tcg, scenarios?, options.timeout)
    };
    Ok(Guests {
        arch,
        boots,
        work,
        placement: scenarios(placement::scenarios(workspace, arch))?,
        faults: scenarios(faults::scenarios(workspace, arch))?,
    })
}
