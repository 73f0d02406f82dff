//! A guest's console under `json TASK`: lines in, answers out.

use anyhow::Result;
use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use crate::accel::Accelerator;
use crate::boot::{self, Plan, Setup};
use crate::build::Built;
use crate::cli::EngineTask;
use crate::frames::Frames;
use crate::guest::Ending;
use crate::input::InputSource;
use crate::memory::MemorySize;
use crate::model::Model;
use crate::workspace::Workspace;

/// A guest to boot.
pub struct Guest<'g> {
    /// The workspace.
    pub workspace: &'g Workspace,
    /// Engine and kernel.
    pub built: &'g Built,
    /// Machine.
    pub setup: &'g Setup,
    /// Accelerator.
    pub accel: Accelerator,
    /// Memory.
    pub memory: MemorySize,
    /// Model.
    pub model: &'g Model,
    /// Time limit.
    pub timeout: Duration,
}

impl Guest<'_> {
    /// Boots and answers the lines of `input`. Answers go to `answers`, other console output to `notes`.
    ///
    /// # Errors
    /// When QEMU cannot be started, or `answers` or `notes` fails.
    pub fn answer(
        &self,
        task: EngineTask,
        input: impl Read + Send + 'static,
        answers: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
        notes: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<Ending> {
        let &Self { workspace, built, setup, accel, memory, model, timeout } = self;
        let script = format!("json {}", task.name());
        let plan = Plan {
            name: &script,
            setup,
            accel,
            memory,
            model,
            modules: &[],
            words: &[],
            script: &script,
            keep_going: false,
            timeout,
            pinned: false,
        };
        let source = InputSource::Reader(Box::new(Lines::new(input)));
        let mut frames = Frames::default();
        boot::run_with_input(workspace, built, &plan, source, &mut |bytes| frames.take(bytes, answers, notes))
    }
}

/// JSON lines as the console takes them: only the last is empty, and each stands on one line.
struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    taken: usize,
}

impl<R: Read> Lines<R> {
    fn new(input: R) -> Self {
        Self { input: BufReader::new(input), line: Vec::new(), taken: 0 }
    }

    /// Reads the next line; leaves an empty one at the end.
    fn next(&mut self) -> io::Result<()> {
        self.line.clear();
        self.taken = 0;
        if self.input.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(());
        }
        self.line.pop_if(|last| *last == b'\n');
        if self.line.trim_ascii().is_empty() {
            // Counted but not answered; an empty line would end the input.
            self.line = b" ".to_vec();
        }
        for byte in &mut self.line {
            match byte {
                // A carriage return inside a line would end it; JSON treats it like a tab.
                b'\r' => *byte = b'\t',
                // Keys to the console; in JSON, they and their replacement are equally invalid.
                0x03 | 0x04 => *byte = 0x01,
                _ => {}
            }
        }
        self.line.push(b'\n');
        Ok(())
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.line.len() {
            self.next()?;
        }
        let count = (&self.line[self.taken..]).read(buffer)?;
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_reach_the_console_as_lines() {
        let mut sent = String::new();
        let mut lines = Lines::new("long\n\n  \na\r\rb\x04\r\nlast".as_bytes());
        lines.read_to_string(&mut sent).expect("it is text");
        assert_eq!(sent, "long\n \n \na\t\tb\x01\t\nlast\n");
    }
}
