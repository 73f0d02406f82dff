//! xtask's terminal while a guest uses it: raw mode and its restoration, unbuffered reads and writes.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use rustix::termios::{OptionalActions, OutputModes, Termios, tcgetattr, tcgetwinsize, tcsetattr, ttyname};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::workspace::{self, Workspace};

/// Raw mode of the terminal, ended on drop.
pub struct Raw {
    settings: Termios,
    /// File with the settings, for the next start after a kill.
    kept: Option<PathBuf>,
}

impl Raw {
    /// Makes standard input raw, if it is a terminal. A terminal left raw by a killed xtask is restored first.
    pub fn begin(workspace: &Workspace) -> Option<Self> {
        let input = io::stdin();
        let name = ttyname(&input, Vec::new()).ok()?;
        let kept = workspace.reports().join(format!("terminal{}", name.to_string_lossy().replace('/', "-")));
        if let Some(settings) = left_behind(&kept) {
            // Settings that the terminal refuses are no worse than those that it has.
            let _ = stty(&settings);
        }
        let settings = tcgetattr(&input).ok()?;
        let text = format!("{}\n{}", std::process::id(), stty("-g").unwrap_or_default());
        let written = workspace::replace_file(&kept, |file| Ok(io::Write::write_all(file, text.as_bytes())?));
        let mut raw = settings.clone();
        raw.make_raw();
        // The guest's lines end as others do.
        raw.output_modes |= OutputModes::OPOST;
        tcsetattr(&input, OptionalActions::Now, &raw).ok()?;
        Some(Self { settings, kept: written.is_ok().then_some(kept) })
    }
}

/// The width of standard output's terminal.
pub fn columns() -> Option<u16> {
    tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col).filter(|&columns| columns > 0)
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone cannot be restored.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.settings);
        if let Some(kept) = &self.kept {
            let _ = fs::remove_file(kept);
        }
    }
}

/// The settings kept by a process that has ended.
fn left_behind(kept: &Path) -> Option<String> {
    let text = fs::read_to_string(kept).ok()?;
    let (owner, settings) = text.split_once('\n')?;
    let owner = Pid::from_raw(owner.parse().ok()?)?;
    let gone = test_kill_process(owner) == Err(Errno::SRCH);
    (gone && !settings.trim().is_empty()).then(|| settings.trim().to_owned())
}

/// Runs `stty` to print or set standard input's settings.
fn stty(argument: &str) -> Option<String> {
    let output = Command::new("stty").arg(argument).stdin(Stdio::inherit()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Unbuffered standard input: a read takes no more than the reader's room.
pub struct Input;

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let input = rustix::stdio::stdin();
        loop {
            match rustix::io::read(input, &mut *buffer) {
                Ok(count) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait(&mut PollFd::new(&input, PollFlags::IN))?,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Writes to standard output without buffering.
///
/// # Errors
/// Errors of the write, such as a closed pipe.
pub fn write(mut bytes: &[u8]) -> io::Result<()> {
    let output = rustix::stdio::stdout();
    while !bytes.is_empty() {
        match rustix::io::write(output, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(&mut PollFd::new(&output, PollFlags::OUT))?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits for a non-blocking file.
fn wait(file: &mut PollFd<'_>) -> io::Result<()> {
    match poll(std::slice::from_mut(file), None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_dead_are_found() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let kept = directory.path().join("terminal-dev-tty1");
        // Waited for, so that its process id is free.
        let mut child = Command::new("true").spawn().expect("it starts");
        child.wait().expect("it ends");
        let of = |text: String| {
            fs::write(&kept, text).expect("it is writable");
            left_behind(&kept)
        };
        assert_eq!(of(format!("{}\n500:5:bf\n", child.id())).as_deref(), Some("500:5:bf"));
        assert_eq!(of(format!("{}\n500:5:bf\n", std::process::id())), None);
        assert_eq!(of(format!("{}\n", child.id())), None);
        assert_eq!(of("half".to_owned()), None);
        assert_eq!(left_behind(&directory.path().join("none")), None);
    }
}
