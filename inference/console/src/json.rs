//! The command `json TASK`: JSON lines from the serial line, answered until an empty one or the end of the input.
//!
//! Owns how lines come, their meaning is [`embodios_engine::json`]'s.

use alloc::string::String;
use alloc::vec::Vec;

use embodios_engine::batch::Settings;
use embodios_engine::cache;
use embodios_engine::json::{JsonBatch, Tally, Task};
use embodios_pool::platform::Platform;

use super::editor::{Editor, Entered, LINE_LIMIT};
use super::error::CommandError;
use super::input::{INTERRUPT, Input};
use super::output::Output;
use super::{Console, typing};

/// The longest line that is kept, in bytes.
const LONGEST: usize = 16 << 20;

impl Console<'_> {
    /// Answers lines until an empty one or the end of the input. Result: the tally of a batch.
    ///
    /// # Errors
    /// When there is no model or no memory for a line.
    pub(super) fn json(&mut self, task: Task) -> Result<Tally, CommandError> {
        let (platform, output, now) = (self.platform, self.output, self.unix_time());
        let (loaded, pool) = (self.loaded.as_ref()?, self.workers.pool(None)?);
        let requests = loaded.requests(now);
        let typed = self.columns.map(|_| Editor::new("", &[], self.columns));
        if typed.is_some() {
            let when = if task == Task::Batch { "all are answered then" } else { "each is answered at once" };
            output.note(format_args!("JSON objects, one a line; an empty line ends them, {when}\n"));
        }
        let mut lines = Lines { platform, input: &mut self.input, line: Vec::new(), typed };
        let mut together = JsonBatch::default();
        let (mut number, mut bad) = (1, 0);
        let mut answer = |bytes: &[u8]| output.answer(bytes);
        while let Some(line) = lines.next(output)?.filter(|line| !line.is_empty()) {
            match task {
                Task::Batch => {
                    if let Some(error) = together.take(&requests, number, line) {
                        answer(&error);
                        bad += 1;
                    }
                }
                _ => requests.answer(pool, task, number, line, &mut answer),
            }
            number += 1;
        }
        let settings = Settings::new(cache::budget(&platform.memory()));
        let tally = together.answer(&requests, pool, settings, &mut answer)?;
        Ok(Tally { failed: tally.failed + bad, ..tally })
    }
}

/// Lines as they come.
struct Lines<'i> {
    platform: &'static dyn Platform,
    input: &'i mut Input,
    line: Vec<u8>,
    /// The editor for a person who types.
    typed: Option<Editor>,
}

impl Lines<'_> {
    /// The next line without its end; `None` at the end of the input.
    fn next(&mut self, output: Output) -> Result<Option<&[u8]>, CommandError> {
        self.line.clear();
        if self.typed.is_some() {
            return self.next_typed(output);
        }
        if self.input.take_end() {
            return Ok(None);
        }
        let mut fits = true;
        loop {
            let bytes = self.input.wait();
            if bytes.is_empty() {
                return Ok(Some(self.line.as_slice()).filter(|line| !line.is_empty()));
            }
            if let Some(interrupt) = bytes.iter().position(|&byte| byte == INTERRUPT) {
                self.input.take(interrupt + 1);
                return Err(CommandError::Interrupted);
            }
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let length = end.unwrap_or(bytes.len());
            fits &= self.line.len() + length <= LONGEST && self.line.try_reserve(length).is_ok();
            if fits {
                self.line.extend_from_slice(&bytes[..length]);
            }
            self.input.take(length + usize::from(end.is_some()));
            match (end, fits) {
                (None, _) => {}
                (Some(_), true) => return Ok(Some(&self.line)),
                // Its rest was no command.
                (Some(_), false) => return Err(CommandError::LongLine(LONGEST)),
            }
        }
    }

    fn next_typed(&mut self, output: Output) -> Result<Option<&[u8]>, CommandError> {
        let Some(editor) = self.typed.as_mut() else { return Ok(None) };
        let (platform, screen) = (self.platform, String::new());
        match typing::read_line(platform, self.input, output, editor, screen, &mut typing::wait_for) {
            Some(Entered::Line(line)) => self.line = line.into_bytes(),
            Some(Entered::TooLong) => return Err(CommandError::LongLine(LINE_LIMIT)),
            Some(Entered::Interrupt) => return Err(CommandError::Interrupted),
            Some(Entered::End) | None => return Ok(None),
        }
        Ok(Some(&self.line))
    }
}
