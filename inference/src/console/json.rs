//! The command `json TASK`: JSON lines from the serial line, answered until an empty one.
//!
//! Owns how lines travel, their meaning is [`crate::json`]'s. The kernel keeps some 4,096 bytes for a reader that is
//! busy and drops what exceeds them, so a sender sends no more than [`PIECE`] bytes ahead: each such piece of a line
//! is acknowledged by an ACK character, and a whole line by its answer, or by an ACK where the answers come together.

use alloc::vec::Vec;

use super::Console;
use super::error::CommandError;
use super::input::Input;
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
    /// Answers lines until an empty one or the end of the input. Result: how many requests of a batch failed.
    ///
    /// # Errors
    /// When there is no model or no memory for a line.
    pub(super) fn json(&mut self, task: Task) -> Result<usize, CommandError> {
        let (platform, output) = (self.platform, self.output);
        let (loaded, pool) = (self.loaded.as_ref()?, self.workers.pool(None)?);
        let requests = loaded.requests();
        let mut lines = Lines { platform, input: &mut self.input, line: Vec::new() };
        let mut together = Batched::default();
        let (mut number, mut bad) = (1, 0);
        while let Some(line) = lines.next()?.filter(|line| !line.is_empty()) {
            match task {
                Task::Batch => {
                    if let Some(error) = together.take(&requests, number, line) {
                        output.answer(&error);
                        bad += 1;
                    }
                    platform.write(&[ACK]);
                }
                _ => requests.answer(pool, task, number, line, &mut |bytes| output.answer(bytes)),
            }
            number += 1;
        }
        let settings = Settings::new(super::batch::budget(platform));
        Ok(bad + together.answer(&requests, pool, settings, &mut |bytes| output.answer(bytes))?)
    }
}

/// Lines as they come.
struct Lines<'i> {
    platform: &'static dyn Platform,
    input: &'i mut Input,
    line: Vec<u8>,
}

impl Lines<'_> {
    /// The next line without its end; `None` at the end of the input.
    fn next(&mut self) -> Result<Option<&[u8]>, CommandError> {
        self.line.clear();
        loop {
            let bytes = self.input.wait();
            if bytes.is_empty() {
                return Ok(Some(self.line.as_slice()).filter(|line| !line.is_empty()));
            }
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let length = end.unwrap_or(bytes.len());
            keep(&mut self.line, &bytes[..length], self.platform)?;
            self.input.take(length + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(Some(&self.line));
            }
        }
    }
}

/// Adds `bytes` to `line`, and acknowledges every piece that is whole with them.
fn keep(line: &mut Vec<u8>, bytes: &[u8], platform: &dyn Platform) -> Result<(), CommandError> {
    let acknowledged = line.len() / PIECE;
    if line.len() + bytes.len() > LONGEST || line.try_reserve(bytes.len()).is_err() {
        return Err(CommandError::LongLine(LONGEST));
    }
    line.extend_from_slice(bytes);
    for _ in acknowledged..line.len() / PIECE {
        platform.write(&[ACK]);
    }
    Ok(())
}
