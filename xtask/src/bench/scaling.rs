//! `cargo xtask bench scaling`: the same batches on more and more cores, in three kinds of figure.
//!
//! Every boot runs the console's `bench scaling`; all runs of a batch must have the same bits, at every place.
//! Figures that this machine cannot measure are in the report, with the reason.

mod place;
mod plot;
mod report;

use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::median;
use crate::acceptance::provenance;
use crate::arch::Arch;
use crate::cli::ScalingBenchOptions;
use crate::counting::CountedPart;
use crate::host_cores;
use crate::model::Model;
use crate::setup::Consent;
use crate::workspace::Workspace;
use place::{Place, Sample};
pub use report::{BatchInstructions, Curve, Figure, FigureKind, Measured, Point, ScalingReport};

/// Samples of a place by number of cores.
type Found = BTreeMap<u32, Vec<Sample>>;

/// Measures, prints a table, and writes JSON and a plot.
///
/// # Errors
/// As [`measure`], and when a file cannot be written.
pub fn run(workspace: &Workspace, consent: Consent, options: &ScalingBenchOptions) -> Result<u8> {
    let report = measure(workspace, consent, options)?;
    print!("{report}");
    let json = serde_json::to_vec_pretty(&report).context("the report cannot be written as JSON")?;
    let svg = plot::svg(&report).context("the plot cannot be drawn")?;
    super::keep(workspace, options.json.as_deref(), "scaling.json", &json)?;
    super::keep(workspace, options.svg.as_deref(), "scaling.svg", svg.as_bytes())?;
    Ok(0)
}

/// Measures every requested figure that can be measured here.
///
/// # Errors
/// When a guest or the host's engine cannot be started, does not end well, or computes other bits than another one.
pub fn measure(
    workspace: &Workspace,
    consent: Consent,
    options: &ScalingBenchOptions,
) -> Result<ScalingReport> {
    let model = Model::resolve(workspace, consent, &options.model)?;
    let architectures = options.arch.map_or(Arch::ALL.to_vec(), |arch| vec![arch]);
    // Speed-ups are over one core.
    let mut cores = [&[1], options.smp.as_slice()].concat();
    cores.sort_unstable();
    cores.dedup();
    let mut report = ScalingReport {
        model: options.model.clone(),
        tokens: options.generate,
        machine: provenance::machine(),
        date: provenance::today(),
        host_cores: host_cores::count() as u32,
        host_load: load(),
        curves: Vec::new(),
    };
    let mut hashes = BTreeMap::new();
    for &kind in &options.kind {
        let places = place::all(workspace, consent, kind, &architectures, &model, options)?;
        let mut found = vec![Found::new(); places.len()];
        for round in 1..=options.rounds {
            for (place, found) in places.iter().zip(&mut found) {
                for &cores in cores.iter().filter(|&&cores| place.cannot(kind, cores).is_none()) {
                    eprintln!("xtask: {round} of {}: {kind}, {place}, {cores} cores", options.rounds);
                    let samples = place.run(kind, cores)?;
                    check(&mut hashes, &samples, place)?;
                    let samples = if kind.is_timed() { warm(samples) } else { samples };
                    found.entry(cores).or_default().extend(samples);
                }
            }
        }
        for (place, found) in places.iter().zip(&found) {
            for &prompts in &options.prompts {
                let point = |&cores: &u32| -> Result<Point> {
                    let figure = match place.cannot(kind, cores) {
                        Some(reason) => Figure::NotMeasuredHere { reason },
                        None => Figure::Measured(figure(kind, found, prompts, cores)?),
                    };
                    Ok(Point { cores, figure })
                };
                report.curves.push(Curve {
                    kind,
                    place: place.to_string(),
                    kernels: place.kernels().map(str::to_owned),
                    prompts,
                    points: cores.iter().map(point).collect::<Result<_>>()?,
                });
            }
        }
    }
    Ok(report)
}

/// The host's load average of the last minute, if available.
fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Checks that every batch has the bits of its first run.
fn check(hashes: &mut BTreeMap<u32, String>, samples: &[Sample], place: &Place<'_>) -> Result<()> {
    for Sample { run, .. } in samples {
        let first = hashes.entry(run.prompts).or_insert_with(|| run.hash.clone());
        ensure!(
            run.hash == *first,
            "other bits: {} prompts on {} workers, {place}: logits hash {}, not {first}",
            run.prompts,
            run.workers,
            run.hash,
        );
    }
    Ok(())
}

/// Drops the first sample of each batch, which is the warm-up.
fn warm(samples: Vec<Sample>) -> Vec<Sample> {
    let mut met = BTreeSet::new();
    let again = |Sample { run, .. }: &Sample| !met.insert((run.prompts, run.workers, run.batches));
    samples.into_iter().filter(again).collect()
}

/// Computes the figure of a batch on `workers` workers.
fn figure(kind: FigureKind, found: &Found, prompts: u32, workers: u32) -> Result<Measured> {
    let of = |cores: u32, workers: u32, batches: u32| {
        let wanted = (prompts, workers, batches);
        let fits =
            move |sample: &&Sample| (sample.run.prompts, sample.run.workers, sample.run.batches) == wanted;
        found.get(&cores).into_iter().flatten().filter(fits).collect::<Vec<_>>()
    };
    let (own, missing) =
        (of(workers, workers, 1), || format!("no run of {prompts} prompts on {workers} workers"));
    let first = own.first().with_context(missing)?;
    let counted = least(&own);
    let (speedup, bound) = if kind.is_timed() {
        let one = of(workers, 1, 1);
        let copies = if workers > 1 { of(workers, workers, workers) } else { Vec::new() };
        let bound = faster(&one, &copies).map(|times| f64::from(workers) * times);
        (faster(&one, &own).with_context(missing)?, bound)
    } else {
        let instructions = |part: Option<&CountedPart>| part.map(|part| part.critical.total() as f64);
        let one = instructions(least(&of(1, 1, 1))).with_context(missing)?;
        (one / instructions(counted).with_context(missing)?, None)
    };
    let seconds = || median(own.iter().map(|sample| sample.run.seconds).collect());
    Ok(Measured {
        speedup,
        bound,
        tokens_per_second: kind.is_timed().then(|| f64::from(first.run.tokens) / seconds()),
        instructions: counted.map(|part| BatchInstructions {
            critical: part.critical,
            serial: part.serial,
            all: part.cores.iter().map(|count| count.total()).sum(),
        }),
        plan: first.run.plan.clone(),
        hash: first.run.hash.clone(),
    })
}

/// The sample with the fewest instructions: a disturbance only adds.
fn least<'s>(samples: &[&'s Sample]) -> Option<&'s CountedPart> {
    samples.iter().filter_map(|sample| sample.part.as_ref()).min_by_key(|part| part.critical.total())
}

/// Median speed-up of `others` over the runs of `one` just before them, so that a machine whose speed changes affects
/// both sides alike. `None` where there are none.
fn faster(one: &[&Sample], others: &[&Sample]) -> Option<f64> {
    let pairs = one.iter().zip(others);
    let times: Vec<f64> = pairs.map(|(one, other)| one.run.seconds / other.run.seconds).collect();
    (!times.is_empty()).then(|| median(times))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counting::Count;
    use place::ScalingRun;

    fn sample((workers, batches): (u32, u32), seconds: f64, critical: u64) -> Sample {
        let (plan, hash) = ("data-parallel in 2 groups".to_owned(), "ab".to_owned());
        let critical = Count { engine: critical, kernel: 0 };
        let part = CountedPart { cores: vec![critical; 2], critical, serial: Count::default() };
        let run = ScalingRun { prompts: 8, workers, batches, tokens: 100 * batches, seconds, plan, hash };
        Sample { run, part: Some(part) }
    }

    #[test]
    fn time_is_compared_with_the_run_before_and_warm() {
        let cold = [(1, 1, 9.0), (2, 1, 9.0), (2, 2, 9.0)];
        // Now twice as slow, and with one run disturbed.
        let slower = [1.0, 2.0, 2.0].map(|slow| [(1, 1, 4.0 * slow), (2, 1, 2.5 * slow), (2, 2, 5.0 * slow)]);
        let disturbed = [(1, 1, 8.0), (2, 1, 16.0), (2, 2, 16.0)];
        let runs = [&cold[..], &disturbed, slower.as_flattened()].concat();
        let samples =
            runs.iter().map(|&(workers, batches, seconds)| sample((workers, batches), seconds, 0)).collect();
        let found = Found::from([(2, warm(samples))]);
        let measured = figure(FigureKind::Native, &found, 8, 2).expect("both ran");
        assert_eq!((measured.speedup, measured.bound), (1.6, Some(1.6)));
        assert_eq!(measured.tokens_per_second, Some(20.0));
        assert!(figure(FigureKind::Native, &found, 16, 2).is_err());
    }

    #[test]
    fn instructions_are_compared_with_the_boot_on_one_core() {
        let one = vec![sample((1, 1), 1.0, 4_000), sample((1, 1), 1.0, 4_004)];
        let two = vec![sample((2, 1), 1.0, 9_000), sample((2, 1), 1.0, 2_500)];
        let found = Found::from([(1, one), (2, two)]);
        let first = figure(FigureKind::Instructions, &found, 8, 1).expect("it ran");
        assert_eq!((first.speedup, first.bound), (1.0, None));
        let measured = figure(FigureKind::Instructions, &found, 8, 2).expect("both ran");
        assert_eq!((measured.speedup, measured.tokens_per_second), (1.6, None));
        assert_eq!(measured.instructions.map(|counts| counts.all), Some(5_000));
    }
}
