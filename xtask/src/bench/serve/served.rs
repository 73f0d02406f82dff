//! A guest that serves while it is measured, with the times at which it says how far its boot has come.

use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::guest::Ending;
use crate::host_cores;
use crate::serve::plan::Plan;
use crate::threads;

/// Lines by which a guest says how far it is.
const CONSOLE: &str = "console after ";
const SERVING: &str = "serving at http";

/// Time for a boot: far more than one takes, so that it decides nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A guest that serves.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// The host's address that leads to it.
    pub address: SocketAddr,
    /// QEMU's process.
    pub process: u32,
    /// When QEMU was started.
    pub started: Instant,
    /// When its console came up, and milliseconds from the kernel's entry until then by the kernel's own clock.
    pub console: Instant,
    pub console_ms: f64,
    /// When it said where it serves.
    pub serving: Instant,
}

/// Boots a guest, has `work` done once it serves, and ends it.
///
/// # Errors
/// When it does not come to serve, the work fails, or the guest does not end as it should.
pub fn with<T>(plan: &Plan<'_>, address: SocketAddr, work: impl FnOnce(Served) -> Result<T>) -> Result<T> {
    let is_over = Arc::new(AtomicBool::new(false));
    let (said, lines) = mpsc::channel();
    let (names, name) = mpsc::channel();
    thread::scope(|scope| {
        let is_over_now = Arc::clone(&is_over);
        let started = Instant::now();
        let guest = scope.spawn(move || {
            let mut console = Lines { rest: Vec::new(), said };
            let mut sink = |bytes: &[u8]| {
                console.take(bytes);
                Ok(())
            };
            let is_over = move || is_over_now.load(Ordering::Relaxed);
            let pin = |process| {
                // Whoever waits for it has given up.
                let _ = names.send(process);
                host_cores::pin(process, plan.smp().cores());
            };
            plan.boot(address, None, is_over, &mut sink, pin)
        });
        let wait = || {
            let process = name.recv().context("QEMU was not started")?;
            wait(&lines, address, process, started)
        };
        let result = wait().and_then(work);
        is_over.store(true, Ordering::Relaxed);
        let ending = threads::join(guest)?;
        let result = result?;
        let reason = ending.reason().unwrap_or_else(|| "QEMU was closed".to_owned());
        ensure!(ending == Ending::Success, "the guest that served: {reason}");
        Ok(result)
    })
}

/// Waits until the guest has said where it serves.
fn wait(
    lines: &Receiver<(Instant, String)>,
    address: SocketAddr,
    process: u32,
    started: Instant,
) -> Result<Served> {
    let mut console = None;
    let mut said = String::new();
    loop {
        let line = lines.recv_timeout(PATIENCE);
        let (time, line) = line.with_context(|| format!("the guest does not serve; it said:\n{said}"))?;
        if let Some(milliseconds) = console_ms(&line) {
            console = Some((time, milliseconds));
        }
        if let Some((console, console_ms)) = console
            && line.contains(SERVING)
        {
            return Ok(Served { address, process, started, console, console_ms, serving: time });
        }
        said += &line;
    }
}

/// The kernel's own time in the line `console after 13.1 ms`.
fn console_ms(line: &str) -> Option<f64> {
    line.trim_end().strip_prefix(CONSOLE)?.strip_suffix(" ms")?.parse().ok()
}

/// A console's lines, each with the time at which it was whole.
struct Lines {
    rest: Vec<u8>,
    said: Sender<(Instant, String)>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            // Once it serves, nobody listens.
            let _ = self.said.send((Instant::now(), String::from_utf8_lossy(&line).into_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_read_from_its_lines() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let (said, lines) = mpsc::channel();
        let mut console = Lines { rest: Vec::new(), said };
        console.take(b"model m\r\nconsole after 13.5 ms\r\n> serving at http://10");
        console.take(b".0.2.15:8080/ to anybody: no api-key=\n");
        let served = wait(&lines, address, 1, Instant::now()).expect("it serves");
        assert_eq!(served.console_ms, 13.5);
        assert!(served.console <= served.serving);
        console.take(b"panic\n");
        drop(console);
        let error = wait(&lines, address, 1, Instant::now()).expect_err("it ended").to_string();
        assert!(error.contains("panic"), "{error}");
    }
}
