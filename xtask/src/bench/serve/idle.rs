//! Idle cores: how long each of them is awake while nobody asks, by the machine's own counters and by the host's.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::served::Served;
use crate::client::{Client, get};

/// Time for what runs to come to rest.
const SETTLE: Duration = Duration::from_secs(1);
const METRIC: &str = "embodios_core_seconds_total{";

/// A core's share of time awake.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AwakeCore {
    /// The core.
    pub core: String,
    /// Part of the time in which its worker worked or polled for work.
    pub awake: f64,
    /// Part of the time in which the host ran it, whatever it did, if the host says so.
    pub on_host: Option<f64>,
}

/// Seconds awake by core.
type Times = BTreeMap<String, f64>;

/// The share of each core's time awake over `duration` without requests.
///
/// # Errors
/// When the guest does not answer.
pub fn measure(served: Served, duration: Duration) -> Result<Vec<AwakeCore>> {
    thread::sleep(SETTLE);
    let before = scrape(served.address)?;
    // The scrape itself comes to rest.
    thread::sleep(SETTLE);
    let (begun, on_host) = (Instant::now(), on_host(served.process));
    thread::sleep(duration);
    let (passed, on_host_later) = (begun.elapsed().as_secs_f64(), self::on_host(served.process));
    let after = scrape(served.address)?;
    let mut cores = shares(&before, &after, passed)?;
    for core in &mut cores {
        let times = on_host.get(&core.core).zip(on_host_later.get(&core.core));
        core.on_host = times.map(|(before, after)| (after - before) / passed);
    }
    Ok(cores)
}

fn scrape(address: SocketAddr) -> Result<Times> {
    let answer = Client::connect(address)?.ask(get("/metrics", "Connection: close\r\n"))?;
    ensure!(answer.status == 200, "/metrics: {}", answer.status);
    times(answer.text()?)
}

/// The counters in a scrape. Sleep is none of them: one that lasts is not counted yet.
fn times(text: &str) -> Result<Times> {
    let samples = text.lines().filter_map(|line| line.strip_prefix(METRIC));
    let sample = |sample: &str| {
        let (labels, value) = sample.rsplit_once(' ')?;
        let label =
            |name: &str| Some(labels.split_once(&format!("{name}=\""))?.1.split_once('"')?.0.to_owned());
        Some((label("core")?, label("state")?, value.parse::<f64>().ok()?))
    };
    let mut times = Times::new();
    for text in samples {
        let (core, state, value) = sample(text).with_context(|| format!("no counter: {METRIC}{text}"))?;
        *times.entry(core).or_default() += if state == "asleep" { 0.0 } else { value };
    }
    ensure!(!times.is_empty(), "no counters {METRIC}");
    Ok(times)
}

fn shares(before: &Times, after: &Times, passed: f64) -> Result<Vec<AwakeCore>> {
    let share = |(core, now): (&String, &f64)| {
        let before = before.get(core).with_context(|| format!("core {core} was not there before"))?;
        Ok(AwakeCore { core: core.clone(), awake: (now - before) / passed, on_host: None })
    };
    after.iter().map(share).collect()
}

/// Seconds that the host has run each virtual core of a process; none where it does not say.
fn on_host(process: u32) -> Times {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let time = |thread: fs::DirEntry| {
        let name = fs::read_to_string(thread.path().join("comm")).ok()?;
        let core = name.trim_end().strip_prefix("CPU ")?.strip_suffix("/KVM")?.to_owned();
        let statistics = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let nanoseconds: f64 = statistics.split(' ').next()?.parse().ok()?;
        Some((core, nanoseconds / 1e9))
    };
    threads.filter_map(time).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_what_passed_between_two_scrapes() {
        let scrape = |working: f64, asleep: f64| {
            let sample = |state: &str, value: f64| {
                format!(
                    "embodios_core_seconds_total{{model_name=\"m\",core=\"1\",state=\"{state}\"}} {value}\n"
                )
            };
            let text = "other 5\n".to_owned() + &sample("working", working) + &sample("asleep", asleep);
            times(&(text + &sample("waiting", 2.0))).expect("counters")
        };
        let found = shares(&scrape(1.0, 10.0), &scrape(2.0, 10.0), 4.0).expect("a core");
        assert_eq!(found, [AwakeCore { core: "1".to_owned(), awake: 0.25, on_host: None }]);
        assert!(shares(&Times::new(), &scrape(1.0, 1.0), 4.0).is_err() && times("other 5\n").is_err());
    }
}
