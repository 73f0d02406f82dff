//! Child processes: start, wait and end. None outlives xtask.
//!
//! Owns the interrupt flag and every wait. The meaning of an exit status belongs to the callers.

use anyhow::{Context, Result, bail, ensure};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::convert::Infallible;
use std::ffi::OsStr;
use std::io::Read;
use std::ops::RangeInclusive;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use std::{error, fmt, io};

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Polling interval of a wait: a twentieth of the time waited so far, so that short waits end soon and long ones
/// disturb little.
const POLL: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(100);

/// Error of a run that the user ended by a signal.
#[derive(Debug)]
pub struct Interrupted;

/// Whether the next interrupt is [`deferred_interrupt`]'s, and ends no child; and whether it has come.
static DEFERRED: AtomicBool = AtomicBool::new(false);
static DEFERRED_CAME: AtomicBool = AtomicBool::new(false);

/// Leaves the next interrupt to [`deferred_interrupt`].
pub fn defer_interrupts() {
    DEFERRED.store(true, Ordering::Relaxed);
}

/// Whether the interrupt that was deferred has come. From then on another one ends the children.
pub fn deferred_interrupt() -> bool {
    let came = DEFERRED.load(Ordering::Relaxed)
        && INTERRUPTED.get().is_some_and(|flag| flag.swap(false, Ordering::Relaxed));
    if came {
        eprintln!("xtask: draining; Ctrl-C again ends it at once");
        DEFERRED_CAME.store(true, Ordering::Relaxed);
        DEFERRED.store(false, Ordering::Relaxed);
    }
    DEFERRED_CAME.load(Ordering::Relaxed)
}

fn is_interrupted() -> bool {
    INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

impl Interrupted {
    /// Exit status by the shell's convention for SIGINT.
    pub const CODE: u8 = 130;
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl error::Error for Interrupted {}

/// Turns SIGINT, SIGTERM and SIGHUP into an orderly end: waits notice them and end their child first.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn watch_signals() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag)).context("cannot watch for signals")?;
    }
    Ok(())
}

/// Ending of a wait.
#[derive(Debug)]
pub enum End {
    /// The process exited.
    Exited(ExitStatus),
    /// The time limit passed and the process was ended.
    TimedOut,
}

/// A running child, killed on drop.
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        die_with_parent(command);
        let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        Ok(Self { child })
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end, at most `timeout`, or until `sink_failed`. Until `reader` sees the end of the child's
    /// output, polling is slow, so that the child's measurements are not disturbed.
    fn wait(
        &mut self,
        timeout: Option<Duration>,
        mut reader: Option<&Receiver<Infallible>>,
        sink_failed: &AtomicBool,
    ) -> Result<End> {
        let mut begun = Instant::now();
        let deadline = timeout.and_then(|timeout| begun.checked_add(timeout));
        loop {
            if let Some(status) = self.child.try_wait().context("cannot wait for a child process")? {
                return Ok(End::Exited(status));
            }
            ensure!(DEFERRED.load(Ordering::Relaxed) || !is_interrupted(), Interrupted);
            ensure!(!sink_failed.load(Ordering::Relaxed), "standard output was closed");
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(End::TimedOut);
            }
            let left =
                deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            match reader {
                Some(end) => {
                    if end.recv_timeout(left.min(*POLL.end())) == Err(RecvTimeoutError::Disconnected) {
                        (reader, begun) = (None, Instant::now());
                    }
                }
                None => thread::sleep((begun.elapsed() / 20).clamp(*POLL.start(), *POLL.end()).min(left)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when the child has already ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has the operating system end the child when xtask dies without running its destructors.
#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    use std::os::unix::process::CommandExt;

    let parent = rustix::process::getpid();
    let prepare = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above took effect.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::Error::from(io::ErrorKind::NotFound)) }
    };
    // SAFETY: between fork and exec the closure makes two system calls and touches no memory but its own copy
    // of `parent`; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(prepare) };
}

/// Does nothing: other systems have no such service; the destructor and the signal handlers remain.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}

/// Consumer of a child's output; no call follows an error.
pub type Sink<'a> = &'a mut (dyn FnMut(&[u8]) -> io::Result<()> + Send);

/// Runs a command to its end and passes its standard output to `sink` as it comes.
///
/// # Errors
/// When it cannot be started, when the sink fails, and [`Interrupted`].
pub fn stream(command: &mut Command, timeout: Option<Duration>, sink: Sink) -> Result<End> {
    stream_with(command, timeout, sink, |_| {})
}

/// As [`stream`], and calls `started` with the child's process id, in a thread of its own.
///
/// # Errors
/// As [`stream`].
pub fn stream_with(
    command: &mut Command,
    timeout: Option<Duration>,
    sink: Sink,
    started: impl FnOnce(u32) + Send,
) -> Result<End> {
    let mut running = Running::spawn(command.stdout(Stdio::piped()))?;
    let mut output = running.child.stdout.take().context("a child's output is missing")?;
    let failed = AtomicBool::new(false);
    let child = running.child.id();
    let (until_end, reader) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || started(child));
        scope.spawn(|| {
            let _until_end = until_end;
            if copy(&mut output, sink).is_err() {
                failed.store(true, Ordering::Relaxed);
            }
        });
        let end = running.wait(timeout, Some(&reader), &failed);
        // The reader sees the end of its pipe only once the child is gone.
        drop(running);
        end
    })
}

fn copy(output: &mut impl Read, sink: Sink) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match output.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => sink(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Runs a command to its end with xtask's own standard streams.
///
/// # Errors
/// When it cannot be started or ends without success, and [`Interrupted`].
pub fn run(command: &mut Command) -> Result<()> {
    match Running::spawn(command)?.wait(None, None, &AtomicBool::new(false))? {
        End::Exited(status) if status.success() => Ok(()),
        End::Exited(status) => bail!("`{}` failed: {status}", shown(command)),
        End::TimedOut => bail!("`{}` timed out", shown(command)),
    }
}

/// Runs a program and returns its standard output.
///
/// # Errors
/// When it cannot be started, ends without success or not within `timeout`, and [`Interrupted`].
pub fn output(command: &mut Command, timeout: Option<Duration>) -> Result<String> {
    let mut output = Vec::new();
    let end = stream(command, timeout, &mut |bytes| {
        output.extend_from_slice(bytes);
        Ok(())
    })?;
    let output = String::from_utf8_lossy(&output).into_owned();
    let command = shown(command);
    match end {
        End::Exited(status) if status.success() => Ok(output),
        End::Exited(status) => bail!("`{command}` failed: {status}, output:\n{output}"),
        End::TimedOut => {
            let seconds = timeout.unwrap_or_default().as_secs_f64();
            bail!("`{command}` still ran after {seconds} s and was ended, output:\n{output}")
        }
    }
}

/// The command as a shell command line.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

/// A word quoted for a shell.
pub fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=+.,:/@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) { word.into_owned() } else { format!("'{word}'") }
}

/// The path of a program on `PATH`, if found.
pub fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_arrives_in_order_and_whole() {
        let mut seen = Vec::new();
        let mut sink = |bytes: &[u8]| {
            seen.extend_from_slice(bytes);
            Ok(())
        };
        let end = stream(&mut shell("echo one; printf two; exit 3"), None, &mut sink).expect("sh runs");
        assert!(matches!(end, End::Exited(status) if status.code() == Some(3)), "{end:?}");
        assert_eq!(seen, b"one\ntwo");
    }

    #[test]
    fn a_hanging_child_is_ended() {
        let end = stream(&mut shell("exec sleep 1000"), Some(Duration::from_millis(10)), &mut |_| Ok(()));
        assert!(matches!(end, Ok(End::TimedOut)), "{end:?}");
    }

    #[test]
    fn a_child_is_gone_with_its_owner() {
        let running = Running::spawn(&mut shell("exec sleep 1000")).expect("sh runs");
        let id =
            i32::try_from(running.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("an id");
        assert!(rustix::process::test_kill_process(id).is_ok());
        drop(running);
        assert!(rustix::process::test_kill_process(id).is_err(), "the child still runs");
    }

    #[test]
    fn a_failing_sink_ends_the_child() {
        let mut sink = |_: &[u8]| Err(io::Error::from(io::ErrorKind::BrokenPipe));
        let error = stream(&mut shell("echo; exec sleep 1000"), None, &mut sink).expect_err("nobody listens");
        assert!(error.to_string().contains("standard output"), "{error}");
    }

    #[test]
    fn failures_name_the_command() {
        assert_eq!(output(&mut shell("echo a"), None).expect("it works"), "a\n");
        let error = output(&mut shell("echo a; exit 4"), None).expect_err("it fails").to_string();
        assert!(error.contains("'echo a; exit 4'` failed: exit status: 4, output:\na\n"), "{error}");
        let short = Some(Duration::from_millis(10));
        let error = output(&mut shell("exec sleep 1000"), short).expect_err("it hangs").to_string();
        assert!(error.contains("still ran after 0.01 s"), "{error}");
        let error = run(&mut shell("exit 4")).expect_err("it fails");
        assert!(error.to_string().contains("`sh -c 'exit 4'` failed"), "{error}");
        let error = run(&mut Command::new("no-such-program")).expect_err("it does not exist");
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }
}
