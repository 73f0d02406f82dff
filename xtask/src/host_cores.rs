//! The host's cores: their number for xtask and its children, and pinning of a guest's cores.
//!
//! QEMU runs each virtual core in a thread, which the host migrates at will. A comparison of a guest's core with a
//! host's needs it pinned: [`pin`] finds the threads under `/proc` while the guest starts.

use std::num::NonZero;
use std::thread;

/// Number of host cores that this process may use; 1 if unknown.
pub fn count() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Whether the host has a core for each of `cores`.
pub fn suffice_for(cores: u32) -> bool {
    count() >= cores as usize
}

/// Pins virtual core `i` of the running QEMU `process` to the `i`-th allowed core of the host, for all of `cores`
/// cores. On failure the guest runs unpinned, with the reason on standard error.
pub fn pin(process: u32, cores: u32) {
    if let Err(error) = threads::pin(process, cores) {
        eprintln!("xtask: the guest's cores are not pinned to the host's: {error:#}");
    }
}

#[cfg(target_os = "linux")]
mod threads {
    use anyhow::{Context, Result, bail, ensure};
    use rustix::process::Pid;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use std::fs;
    use std::path::Path;
    use std::thread;
    use std::time::{Duration, Instant};

    /// Time limit from QEMU's start to its virtual cores' threads.
    const PATIENCE: Duration = Duration::from_secs(10);
    /// Polling interval: short beside the time that QEMU then takes to load a kernel.
    const POLL: Duration = Duration::from_millis(1);

    pub fn pin(process: u32, cores: u32) -> Result<()> {
        let allowed = sched_getaffinity(None).context("cannot ask for the host's cores")?;
        let processors = (0..CpuSet::MAX_CPU).filter(|&processor| allowed.is_set(processor));
        let processors: Vec<_> = processors.take(cores as usize).collect();
        ensure!(processors.len() == cores as usize, "{cores} on {} of the host", processors.len());
        let tasks = format!("/proc/{process}/task");
        let deadline = Instant::now() + PATIENCE;
        for (core, processor) in processors.into_iter().enumerate() {
            let thread = loop {
                match thread_of(tasks.as_ref(), core) {
                    Ok(Some(thread)) => break thread,
                    Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
                    Ok(None) => bail!("QEMU has no thread for core {core}"),
                    // QEMU has ended: its exit status is reported by the caller's wait.
                    Err(_) => return Ok(()),
                }
            };
            let mut set = CpuSet::new();
            set.set(processor);
            sched_setaffinity(Some(thread), &set)
                .with_context(|| format!("core {core} to processor {processor}"))?;
        }
        Ok(())
    }

    /// Finds the thread that QEMU names `CPU n/...` among those listed in `tasks`.
    ///
    /// # Errors
    /// When the process has ended.
    fn thread_of(tasks: &Path, core: usize) -> Result<Option<Pid>> {
        let name = format!("CPU {core}/");
        for entry in fs::read_dir(tasks)? {
            let entry = entry?;
            // A thread may end between the two reads.
            let Ok(comm) = fs::read_to_string(entry.path().join("comm")) else { continue };
            if comm.starts_with(&name) {
                let number = entry.file_name().to_str().and_then(|number| number.parse().ok());
                return Ok(number.and_then(Pid::from_raw));
            }
        }
        Ok(None)
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::sync::Barrier;

        #[test]
        fn a_thread_stays_where_its_name_says() {
            let barrier = Barrier::new(2);
            thread::scope(|scope| {
                let own = thread::Builder::new().name("CPU 0/TEST".to_owned()).spawn_scoped(scope, || {
                    barrier.wait();
                    sched_getaffinity(None)
                        .map(|set| (set.count(), set.is_set(rustix::thread::sched_getcpu())))
                });
                let own = own.expect("a thread");
                let pinned = pin(std::process::id(), 1);
                barrier.wait();
                assert_eq!(own.join().expect("no panic"), Ok((1, true)));
                pinned.expect("it is there");
            });
        }

        #[test]
        fn more_cores_than_the_host_has_are_refused() {
            let error =
                pin(std::process::id(), CpuSet::MAX_CPU as u32 + 1).expect_err("too many").to_string();
            assert!(error.starts_with("1025 on ") && error.ends_with(" of the host"), "{error}");
        }

        #[test]
        fn a_process_that_has_ended_is_no_failure() {
            assert!(pin(u32::MAX, 1).is_ok());
        }
    }
}

/// Pinning elsewhere: not available.
#[cfg(not(target_os = "linux"))]
mod threads {
    pub fn pin(_: u32, _: u32) -> anyhow::Result<()> {
        anyhow::bail!("not available on this system")
    }
}
