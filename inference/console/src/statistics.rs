//! The command `stats`: the work of the engine, its workers and the cores, as text or as one line of JSON.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_pool::platform::CoreCounters;
use embodios_pool::{Summary, WorkerStatistics};
use serde::{Serialize, Serializer};

use super::Console;
use super::answer::Totals;

/// Counts to subtract: the platform's counters never go back.
#[derive(Default)]
pub struct Baseline(Vec<CoreCounters>);

/// Everything at one time.
struct Figures {
    workers: Vec<WorkerStatistics>,
    jobs: Summary,
    /// Each core's counters with their names; `None` where the platform does not count.
    cores: Vec<Vec<(&'static str, Option<u64>)>>,
}

impl Console<'_> {
    /// Begins everything anew.
    pub(super) fn reset_statistics(&mut self) {
        self.totals = Totals::default();
        self.workers.reset_statistics();
        let cores = 0..self.platform.cores().len();
        self.baseline = Baseline(cores.map(|core| self.platform.core_counters(core)).collect());
    }

    fn figures(&self) -> Figures {
        let monitor = self.workers.running().map(|pool| pool.monitor());
        let uncounted = self.platform.uncounted();
        let counters = |core: usize| {
            let before = self.baseline.0.get(core).copied().unwrap_or_default().named();
            let now = self.platform.core_counters(core).named();
            let since = now.into_iter().zip(before).map(|((name, now), (_, before))| {
                (name, (!uncounted.contains(&name)).then(|| now.saturating_sub(before)))
            });
            since.collect()
        };
        Figures {
            workers: self.workers.statistics(),
            jobs: monitor.map(|monitor| monitor.dispatches()).unwrap_or_default(),
            cores: (0..self.platform.cores().len()).map(counters).collect(),
        }
    }

    /// Everything, a line for each worker and core.
    pub(super) fn statistics(&self) -> String {
        let Totals { prompt_tokens, prompt_ns, tokens, generation_ns, batches } = self.totals;
        let Figures { workers, jobs, cores } = self.figures();
        let mut text = format!(
            "{}: {tokens} tokens made in {:.6} s, {prompt_tokens} of prompts taken in {:.6} s\n\
             {} batches: {} requests, {} tokens made, {} of prompts, in {:.6} s\n\
             up {:.2} s, engine restarts: {}\n",
            self.start.machine,
            generation_ns as f64 / 1e9,
            prompt_ns as f64 / 1e9,
            batches.count,
            batches.all.requests,
            batches.all.tokens,
            batches.all.prompt_tokens,
            batches.all.nanoseconds as f64 / 1e9,
            self.platform.now_ns() as f64 / 1e9,
            self.start.restarts,
        );
        self.platform.counters(&mut |(name, value)| text += &format!("{name}: {value}\n"));
        for (number, WorkerStatistics { core, work }) in workers.iter().enumerate() {
            text += &format!("worker {number} on cpu {core}:");
            for (name, value) in work.named() {
                text += &quantity(name, Some(value));
            }
            text.push('\n');
        }
        let microseconds = |nanoseconds: f64| nanoseconds / 1e3;
        text += &format!(
            "jobs: {}, mean {:.2} us, deviation {:.2}, p50 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.2}\n",
            jobs.count,
            microseconds(jobs.mean_ns),
            microseconds(jobs.deviation_ns),
            microseconds(jobs.p50_ns as f64),
            microseconds(jobs.p99_ns as f64),
            microseconds(jobs.p999_ns as f64),
            microseconds(jobs.max_ns as f64),
        );
        for (core, counters) in cores.iter().enumerate() {
            text += &format!("cpu {core}:");
            counters.iter().for_each(|&(name, value)| text += &quantity(name, value));
            text.push('\n');
        }
        text
    }

    /// The same as JSON; `null` for what the platform does not count.
    pub(super) fn statistics_json(&self) -> String {
        let Totals { prompt_tokens, prompt_ns, tokens, generation_ns, batches } = self.totals;
        let Figures { workers, jobs, cores } = self.figures();
        let worker = |WorkerStatistics { core, work }: &WorkerStatistics| OfCore {
            core: *core,
            figures: work.named().map(|(name, value)| (name, Some(value))).into(),
        };
        let object = Object {
            up_ns: self.platform.now_ns(),
            restarts: self.start.restarts,
            tokens,
            generation_ns,
            prompt_tokens,
            prompt_ns,
            batches: BatchesObject {
                count: batches.count,
                requests: batches.all.requests,
                tokens: batches.all.tokens,
                prompt_tokens: batches.all.prompt_tokens,
                ns: batches.all.nanoseconds,
            },
            jobs: JobsObject {
                count: jobs.count,
                mean_ns: tenths(jobs.mean_ns),
                deviation_ns: tenths(jobs.deviation_ns),
                p50_ns: jobs.p50_ns,
                p99_ns: jobs.p99_ns,
                p999_ns: jobs.p999_ns,
                max_ns: jobs.max_ns,
            },
            workers: workers.iter().map(worker).collect(),
            cores: cores.into_iter().enumerate().map(|(core, figures)| OfCore { core, figures }).collect(),
        };
        let json = serde_json::to_string(&object).expect("numbers, lists and objects can be written");
        json + "\n"
    }
}

/// The object of `stats --json`.
#[derive(Serialize)]
struct Object {
    up_ns: u64,
    restarts: u64,
    tokens: usize,
    generation_ns: u64,
    prompt_tokens: usize,
    prompt_ns: u64,
    batches: BatchesObject,
    jobs: JobsObject,
    workers: Vec<OfCore>,
    cores: Vec<OfCore>,
}

#[derive(Serialize)]
struct BatchesObject {
    count: usize,
    requests: usize,
    tokens: usize,
    prompt_tokens: usize,
    ns: u64,
}

#[derive(Serialize)]
struct JobsObject {
    count: u64,
    mean_ns: f64,
    deviation_ns: f64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    max_ns: u64,
}

/// A core's figures, or those of the worker there, in the order in which they are named.
struct OfCore {
    core: usize,
    figures: Vec<(&'static str, Option<u64>)>,
}

impl Serialize for OfCore {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let core = ("core", Some(self.core as u64));
        serializer.collect_map([core].into_iter().chain(self.figures.iter().copied()))
    }
}

/// To a tenth of a nanosecond.
fn tenths(nanoseconds: f64) -> f64 {
    libm::round(nanoseconds * 10.0) / 10.0
}

/// A figure after its name; nanoseconds as seconds, `-` where there is none.
fn quantity(name: &str, value: Option<u64>) -> String {
    match (name.strip_suffix("_ns"), value) {
        (Some(name), Some(value)) => format!(" {name} {:.6} s", value as f64 / 1e9),
        (None, Some(value)) => format!(" {name} {value}"),
        (time, None) => format!(" {} -", time.unwrap_or(name)),
    }
}
