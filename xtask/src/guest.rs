//! One run of a guest: QEMU's start, its output, and the meaning of its exit status.

use anyhow::Result;
use embodios_abi::ExitStatus;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::input::{InputSource, SerialLine};
use crate::machine::Console;
use crate::process::{self, End, Sink};
use crate::symbols::{Annotator, Symbols};

/// Ending of a run.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// The kernel powered off as asked; everything passed.
    Success,
    /// The kernel powered off as asked; a command or a test failed.
    Failure,
    /// The kernel panicked.
    Panic,
    /// The guest still ran at its time limit.
    Hang(Duration),
    /// The user closed QEMU.
    Closed,
    /// QEMU ended without the kernel's exit status.
    Emulator(String),
}

impl Ending {
    fn of(end: &End, timeout: Option<Duration>, console: Console) -> Self {
        let status = match end {
            End::TimedOut => return Self::Hang(timeout.unwrap_or_default()),
            End::Exited(status) => status,
        };
        let code = status.code().and_then(|code| u32::try_from(code).ok());
        match (code.and_then(ExitStatus::from_process_status), console) {
            (Some(ExitStatus::Success), _) => Self::Success,
            (Some(ExitStatus::Failure), _) => Self::Failure,
            (Some(ExitStatus::Panic), _) => Self::Panic,
            (None, Console::Terminal) if status.success() => Self::Closed,
            (None, _) => Self::Emulator(status.to_string()),
        }
    }

    /// xtask's exit status for the ending.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Success | Self::Closed => 0,
            Self::Failure => 1,
            Self::Panic => 101,
            Self::Hang(_) => 124,
            Self::Emulator(_) => 125,
        }
    }

    /// Message for the user, unless the run succeeded.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Success | Self::Closed => None,
            Self::Failure => Some("a command in the guest failed".to_owned()),
            Self::Panic => Some("the kernel panicked".to_owned()),
            Self::Hang(timeout) => {
                Some(format!("the guest still ran after {} s and was ended", timeout.as_secs_f64()))
            }
            Self::Emulator(status) => Some(format!(
                "QEMU ended without the kernel's exit status ({status}), as by a `reboot` without a terminal"
            )),
        }
    }
}

/// Runs QEMU to its end, sends `input` to the guest, and passes the guest's output, with readable backtraces, to
/// `sink`, and the process id to `started`.
///
/// # Errors
/// When QEMU cannot be started, the sink fails, or the user interrupts.
pub fn run(
    qemu: &mut Command,
    console: Console,
    timeout: Option<Duration>,
    input: Option<InputSource>,
    symbols: &mut Symbols,
    sink: Sink,
    started: impl FnOnce(u32) + Send,
) -> Result<Ending> {
    let mut annotator = Annotator::new(|address| symbols.describe(address));
    let mut line = match input.map(SerialLine::start).transpose()? {
        Some((line, reader)) => {
            qemu.stdin(reader);
            Some(line)
        }
        None => {
            qemu.stdin(Stdio::null());
            None
        }
    };
    let mut pass = |bytes: &[u8]| match &mut line {
        Some(line) => annotator.pass(&line.take(bytes), sink),
        None => annotator.pass(bytes, sink),
    };
    let end = process::stream_with(qemu, timeout, &mut pass, started)?;
    Ok(Ending::of(&end, timeout, console))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn ending(wait_status: i32, console: Console) -> Ending {
        Ending::of(&End::Exited(std::process::ExitStatus::from_raw(wait_status)), None, console)
    }

    #[test]
    fn the_kernels_status_becomes_the_shells() {
        for (status, code) in [(33, 0), (35, 1), (37, 101), (0, 125), (1, 125), (34, 125)] {
            let ending = ending(status << 8, Console::Script);
            assert_eq!(ending.code(), code, "status {status}");
            assert_eq!(ending.reason().is_none(), code == 0, "status {status}");
        }
    }

    #[test]
    fn a_killed_emulator_and_a_closed_one_differ() {
        assert!(matches!(ending(9, Console::Terminal), Ending::Emulator(_)));
        assert_eq!(ending(0, Console::Terminal), Ending::Closed);
        assert_eq!(ending(1 << 8, Console::Terminal).code(), 125);
    }

    #[test]
    fn a_hang_says_how_long_it_took() {
        let timeout = Some(Duration::from_secs(7));
        let ending = Ending::of(&End::TimedOut, timeout, Console::Script);
        assert_eq!(ending.code(), 124);
        assert!(ending.reason().is_some_and(|reason| reason.contains("7 s")));
    }
}
