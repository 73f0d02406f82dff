//! The command `json TASK`: JSON lines from the serial line, answered until an empty one.
//!
//! Owns how lines travel, their meaning is [`crate::json`]'s. The kernel keeps some 4,096 bytes for a reader that is
//! busy and drops what exceeds them, so a sender sends no more than [`PIECE`] bytes ahead: each such piece of a line
//! is acknowledged by an ACK character, and a whole line by its answer, or by an ACK where the answers come together.

use alloc::vec::Vec;

use super::Console;
use super::error::CommandError;
use crate::batch::Settings;
use crate::json::{Lines as Batched, Task};
use crate::platform::Platform;

/// Bytes of a line after which there is an [`ACK`].
const PIECE: usize = 1024;
/// ASCII's "acknowledge".
const ACK: u8 = 0x06;
/// The longest line that is kept, in bytes.
const LONGEST: usize = 16 << 20;

impl Console<'_> {
    /// Answers lines until an empty one or the end of the input.
    ///
    /// # Errors
    /// When there is no model or no memory for a line.
    pub(super) fn json(&mut self, task: Task) -> Result<(), CommandError> {
        let platform = self.platform;
        let (loaded, pool) = self.loaded_and_pool(None)?;
        let requests = loaded.requests();
        let mut lines = Lines { platform, line: Vec::new(), ahead: Vec::new(), after_return: false };
        let mut together = Batched::default();
        let mut number = 1;
        while let Some(line) = lines.next()?.filter(|line| !line.is_empty()) {
            match task {
                Task::Batch => {
                    if let Some(error) = together.take(&requests, number, line) {
                        platform.write(&error);
                    }
                    platform.write(&[ACK]);
                }
                _ => requests.answer(pool, task, number, line, &mut |bytes| platform.write(bytes)),
            }
            number += 1;
        }
        let settings = Settings::new(super::batch::budget(platform));
        together.answer(&requests, pool, settings, &mut |bytes| platform.write(bytes))?;
        Ok(())
    }
}

/// Lines as they come.
struct Lines {
    platform: &'static dyn Platform,
    line: Vec<u8>,
    /// What was read behind the line.
    ahead: Vec<u8>,
    /// The last line ended with a carriage return: a line feed after it belongs to it.
    after_return: bool,
}

impl Lines {
    /// The next line without its end; `None` at the end of the input.
    fn next(&mut self) -> Result<Option<&[u8]>, CommandError> {
        self.line.clear();
        loop {
            let mut bytes = [0; 256];
            let count = match self.ahead.len() {
                0 => self.platform.read(&mut bytes),
                count => {
                    bytes[..count].copy_from_slice(&self.ahead);
                    count
                }
            };
            self.ahead.clear();
            if count == 0 {
                return Ok(Some(self.line.as_slice()).filter(|line| !line.is_empty()));
            }
            let mut bytes = &bytes[..count];
            if self.after_return && bytes[0] == b'\n' {
                bytes = &bytes[1..];
            }
            self.after_return = false;
            let end = bytes.iter().position(|byte| b"\r\n".contains(byte));
            self.keep(&bytes[..end.unwrap_or(bytes.len())])?;
            if let Some(end) = end {
                self.after_return = bytes[end] == b'\r';
                self.ahead.extend_from_slice(&bytes[end + 1..]);
                return Ok(Some(&self.line));
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        let acknowledged = self.line.len() / PIECE;
        if self.line.len() + bytes.len() > LONGEST || self.line.try_reserve(bytes.len()).is_err() {
            return Err(CommandError::LongLine(LONGEST));
        }
        self.line.extend_from_slice(bytes);
        for _ in acknowledged..self.line.len() / PIECE {
            self.platform.write(&[ACK]);
        }
        Ok(())
    }
}
