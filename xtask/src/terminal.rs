//! xtask's own terminal while a guest uses it: put back as it was, and written to without buffering.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io;

/// Remembers the terminal's settings and restores them when dropped.
///
/// QEMU makes the terminal raw and its standard input non-blocking; killed, it restores neither.
pub struct Saved {
    settings: Option<Termios>,
    flags: Option<OFlags>,
}

impl Saved {
    /// Remembers how standard input is now; one that is no terminal has less to remember.
    pub fn now() -> Self {
        let input = io::stdin();
        Self { settings: tcgetattr(&input).ok(), flags: fcntl_getfl(&input).ok() }
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        let input = io::stdin();
        // A terminal that is gone cannot be restored, and nobody is left to tell.
        if let Some(settings) = &self.settings {
            let _ = tcsetattr(&input, OptionalActions::Now, settings);
        }
        if let Some(flags) = self.flags {
            let _ = fcntl_setfl(&input, flags);
        }
    }
}

/// Writes to standard output at once.
///
/// Standard output may share its open file with the input that QEMU has made non-blocking.
///
/// # Errors
/// Whatever the write ends with, for example a closed pipe.
pub fn write(mut bytes: &[u8]) -> io::Result<()> {
    let output = rustix::stdio::stdout();
    while !bytes.is_empty() {
        match rustix::io::write(output, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&output, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
