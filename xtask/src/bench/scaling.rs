//! `cargo xtask bench scaling`: the same batches on more and more cores, as three kinds of figure that are kept apart.
//!
//! Every boot runs the console's `bench scaling`; all runs of a batch must have the same bits, wherever they were. What
//! this machine cannot measure is part of the report, with the reason.

mod place;
mod plot;
mod report;

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;

use super::median;
use crate::arch::Arch;
use crate::cli::ScalingBenchOptions;
use crate::host_cores;
use crate::model::Model;
use crate::setup::Consent;
use crate::workspace::{self, Workspace};
use place::{Place, Sample};
pub use report::{Curve, Figure, Instructions, Kind, Measured, Point, Report};

/// Measures, prints a table, and writes JSON and a plot.
///
/// # Errors
/// As [`measure`], and when a file cannot be written.
pub fn run(workspace: &Workspace, consent: Consent, options: &ScalingBenchOptions) -> Result<u8> {
    let report = measure(workspace, consent, options)?;
    print!("{report}");
    let json = serde_json::to_vec_pretty(&report).context("the report cannot be written as JSON")?;
    let svg = plot::svg(&report).context("the plot cannot be drawn")?;
    for (given, name, bytes) in
        [(&options.json, "scaling.json", json.as_slice()), (&options.svg, "scaling.svg", svg.as_bytes())]
    {
        let path = given.clone().unwrap_or_else(|| workspace.reports().join(name));
        let shown = path.display().to_string();
        match given {
            Some(_) => fs::write(&path, bytes).with_context(|| format!("cannot write {shown}"))?,
            None => workspace::replace_file(&path, |file| Ok(std::io::Write::write_all(file, bytes)?))?,
        }
        println!("{shown}");
    }
    Ok(0)
}

/// Measures all that is asked for and can be measured here.
///
/// # Errors
/// When a guest or the host's engine cannot be started, does not end well, or computes other bits than another one.
pub fn measure(workspace: &Workspace, consent: Consent, options: &ScalingBenchOptions) -> Result<Report> {
    let model = Model::resolve(workspace, consent, &options.model)?;
    let architectures = options.arch.map_or(Arch::ALL.to_vec(), |arch| vec![arch]);
    // Speed-ups are over one core.
    let mut cores = [&[1], options.smp.as_slice()].concat();
    cores.sort_unstable();
    cores.dedup();
    let mut report = Report {
        model: options.model.clone(),
        tokens: options.generate,
        host_cores: host_cores::count() as u32,
        host_load: load(),
        curves: Vec::new(),
    };
    let mut hashes = BTreeMap::new();
    for &kind in &options.kind {
        for place in place::all(workspace, consent, kind, &architectures, &model, options)? {
            let mut points: BTreeMap<u32, Vec<Point>> = BTreeMap::new();
            let mut alone = BTreeMap::new();
            for &cores in &cores {
                let samples = match place.cannot(kind, cores, report.host_cores) {
                    Some(reason) => Err(reason),
                    None => {
                        eprintln!("xtask: {kind}, {place}, {cores} cores");
                        Ok(place.run(workspace, kind, cores)?)
                    }
                };
                if let Ok(samples) = &samples {
                    check(&mut hashes, samples, &place)?;
                }
                for &prompts in &options.prompts {
                    let figure = match &samples {
                        Ok(samples) => Figure::Measured(figure(kind, samples, prompts, cores, &mut alone)?),
                        Err(reason) => Figure::NotMeasuredHere { reason: reason.clone() },
                    };
                    points.entry(prompts).or_default().push(Point { cores, figure });
                }
            }
            let (place, kernels) = (place.to_string(), place.kernels().map(str::to_owned));
            report.curves.extend(points.into_iter().map(|(prompts, points)| Curve {
                kind,
                place: place.clone(),
                kernels: kernels.clone(),
                prompts,
                points,
            }));
        }
    }
    Ok(report)
}

/// The host's load average of the last minute, where it tells.
fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Every batch has the bits that it had the first time.
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

/// What became of a batch on so many workers. Remembers in `alone` how many instructions one worker took for it.
fn figure(
    kind: Kind,
    samples: &[Sample],
    prompts: u32,
    workers: u32,
    alone: &mut BTreeMap<u32, u64>,
) -> Result<Measured> {
    let of = |workers: u32, batches: u32| {
        let wanted = (prompts, workers, batches);
        let fits =
            move |sample: &&Sample| (sample.run.prompts, sample.run.workers, sample.run.batches) == wanted;
        samples.iter().filter(fits).collect::<Vec<_>>()
    };
    let (one, own, missing) =
        (of(1, 1), of(workers, 1), || format!("no run of {prompts} prompts on {workers} workers"));
    let first = own.first().with_context(missing)?;
    // What disturbs only ever adds.
    let least = own.iter().filter_map(|sample| sample.part.as_ref()).min_by_key(|part| part.critical.total());
    let (speedup, bound) = if kind == Kind::Instructions {
        let took = least.with_context(missing)?.critical.total();
        if workers == 1 {
            alone.insert(prompts, took);
        }
        (*alone.get(&prompts).with_context(missing)? as f64 / took as f64, None)
    } else {
        let copies = if workers > 1 { of(workers, workers) } else { Vec::new() };
        let bound = faster(&one, &copies).map(|times| f64::from(workers) * times);
        (faster(&one, &own).with_context(missing)?, bound)
    };
    let seconds = || median(warm(&own).iter().map(|sample| sample.run.seconds).collect());
    Ok(Measured {
        speedup,
        bound,
        tokens_per_second: (kind != Kind::Instructions).then(|| f64::from(first.run.tokens) / seconds()),
        instructions: least.map(|part| Instructions {
            critical: part.critical,
            alone: part.alone,
            all: part.cores.iter().map(|count| count.total()).sum(),
        }),
        plan: first.run.plan.clone(),
        hash: first.run.hash.clone(),
    })
}

/// How many times as fast `others` are as those of `one` that ran just before them: the median, so that a machine whose
/// speed changes meanwhile changes both sides alike. `None` where there are none.
fn faster(one: &[&Sample], others: &[&Sample]) -> Option<f64> {
    let pairs = warm(one).iter().zip(warm(others));
    let times: Vec<f64> = pairs.map(|(one, other)| one.run.seconds / other.run.seconds).collect();
    (!times.is_empty()).then(|| median(times))
}

/// All but the first, which warms up, where there are more.
fn warm<'s, 'r>(samples: &'s [&'r Sample]) -> &'s [&'r Sample] {
    if samples.len() > 1 { &samples[1..] } else { samples }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counting::{Count, Part};
    use place::Run;

    fn sample((workers, batches): (u32, u32), seconds: f64, critical: u64) -> Sample {
        let (plan, hash) = ("together".to_owned(), "ab".to_owned());
        let critical = Count { engine: critical, kernel: 0 };
        let part = Part { cores: vec![critical; 2], critical, alone: Count::default() };
        let run = Run { prompts: 8, workers, batches, tokens: 100 * batches, seconds, plan, hash };
        Sample { run, part: Some(part) }
    }

    #[test]
    fn time_is_compared_with_the_run_before_and_warm() {
        let mut alone = BTreeMap::from([(8, 1000)]);
        let cold = [(1, 1, 9.0), (2, 1, 9.0), (2, 2, 9.0)];
        // Now twice as slow, and with one run disturbed.
        let warm = [1.0, 2.0, 2.0].map(|slow| [(1, 1, 4.0 * slow), (2, 1, 2.5 * slow), (2, 2, 5.0 * slow)]);
        let disturbed = [(1, 1, 8.0), (2, 1, 16.0), (2, 2, 16.0)];
        let runs = [&cold[..], &disturbed, warm.as_flattened()].concat();
        let samples: Vec<Sample> =
            runs.iter().map(|&(workers, batches, seconds)| sample((workers, batches), seconds, 0)).collect();
        let measured = figure(Kind::Native, &samples, 8, 2, &mut alone).expect("both ran");
        assert_eq!((measured.speedup, measured.bound), (1.6, Some(1.6)));
        assert_eq!(measured.tokens_per_second, Some(20.0));
        assert!(figure(Kind::Native, &samples, 16, 2, &mut alone).is_err());
    }

    #[test]
    fn instructions_are_compared_with_the_boot_on_one_core() {
        let mut alone = BTreeMap::new();
        let one = [sample((1, 1), 1.0, 4_000), sample((1, 1), 1.0, 4_004)];
        let first = figure(Kind::Instructions, &one, 8, 1, &mut alone).expect("it ran");
        assert_eq!((first.speedup, first.bound), (1.0, None));
        let two = [sample((2, 1), 1.0, 9_000), sample((2, 1), 1.0, 2_500)];
        let measured = figure(Kind::Instructions, &two, 8, 2, &mut alone).expect("both ran");
        assert_eq!((measured.speedup, measured.tokens_per_second), (1.6, None));
        assert_eq!(measured.instructions.map(|counts| counts.all), Some(5_000));
    }
}
