//! The conversation with a guest's console that runs `json TASK`: a line sent, its answer awaited.
//!
//! A serial line has no flow control, and the kernel keeps a few thousand bytes for a reader that is busy. So a line
//! goes in pieces, each sent when the guest has acknowledged the one before.

use anyhow::{Context, Result};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use crate::accel::Accelerator;
use crate::boot::{self, Plan, Setup};
use crate::build::Built;
use crate::cli::EngineTask;
use crate::guest::Ending;
use crate::memory::MemorySize;
use crate::model::Model;
use crate::workspace::Workspace;

/// Bytes of a line after which the guest sends an [`ACK`].
const PIECE: usize = 1024;
/// ASCII's "acknowledge".
const ACK: u8 = 0x06;

/// A guest to boot.
pub struct Guest<'g> {
    /// Where it is built.
    pub workspace: &'g Workspace,
    /// What is booted.
    pub built: &'g Built,
    /// Machine.
    pub setup: &'g Setup,
    /// Accelerator.
    pub accel: Accelerator,
    /// Memory.
    pub memory: MemorySize,
    /// Model.
    pub model: &'g Model,
    /// When it is ended.
    pub timeout: Duration,
}

impl Guest<'_> {
    /// Boots and answers the lines of `input`. Answers go to `answers`, what else is on the console to `notes`.
    ///
    /// # Errors
    /// When QEMU cannot be started or `answers` fails.
    pub fn answer(
        &self,
        task: EngineTask,
        input: impl Read + Send + 'static,
        answers: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
        notes: &mut (dyn FnMut(&str) + Send),
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
        let (reader, writer) = io::pipe().context("cannot make a pipe")?;
        let (signals, received) = mpsc::channel();
        // Not waited for: it may be reading from someone who never ends a line.
        let taken = if task == EngineTask::Batch { Signal::Piece } else { Signal::Ready };
        thread::spawn(move || feed(input, writer, &received, taken));
        let mut console =
            Output { ready: format!("> {script}"), signals, at: At::Start, line: String::new() };
        boot::run_with_input(workspace, built, &plan, reader, &mut |bytes| {
            console.take(bytes, answers, notes)
        })
    }
}

/// What the guest has said of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    /// It waits for a line.
    Ready,
    /// It has taken a piece of one.
    Piece,
}

/// Sends the lines of `input`, each when the guest has `taken` the one before, and at the end the empty line. Ends early when the guest
/// has ended.
fn feed(input: impl Read, mut output: impl Write, signals: &Receiver<Signal>, taken: Signal) {
    let mut lines = BufReader::new(input).split(b'\n');
    let wait = |wanted| signals.iter().any(|signal| signal == wanted);
    let mut ready = wait(Signal::Ready);
    while ready {
        let Some(Ok(mut line)) = lines.next() else {
            // A guest that is gone has taken the other end of the pipe with it.
            let _ = output.write_all(b"\n");
            return;
        };
        let blank = line.trim_ascii().is_empty();
        if blank {
            // Counted, but not answered, and not the empty line that ends the conversation.
            line = b" ".to_vec();
        }
        // A return inside a line would end it; to JSON it is the same as a tab.
        line.iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\t');
        for piece in line.chunks(PIECE) {
            if output.write_all(piece).is_err() || (piece.len() == PIECE && !wait(Signal::Piece)) {
                return;
            }
        }
        if output.write_all(b"\n").is_err() {
            return;
        }
        ready = (blank && taken == Signal::Ready) || wait(taken);
    }
}

/// Where in the console's output its next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the start of a line.
    Start,
    /// In an answer.
    Answer,
    /// In any other line.
    Note,
}

/// The console's output: answers, acknowledgements and other lines.
struct Output {
    /// The line after which the guest reads.
    ready: String,
    signals: Sender<Signal>,
    at: At,
    /// The line so far, unless it is an answer.
    line: String,
}

impl Output {
    fn take(
        &mut self,
        bytes: &[u8],
        answers: &mut dyn FnMut(&[u8]) -> io::Result<()>,
        notes: &mut dyn FnMut(&str),
    ) -> io::Result<()> {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if self.at == At::Start && first != b'\n' && first != b'\r' && first != ACK {
                self.at = if first == b'{' { At::Answer } else { At::Note };
            }
            let special = |byte: &u8| [ACK, b'\r', b'\n'].contains(byte);
            let (text, after) = rest.split_at(rest.iter().position(special).unwrap_or(rest.len()));
            match self.at {
                At::Answer => answers(text)?,
                At::Note | At::Start => self.line += &String::from_utf8_lossy(text),
            }
            rest = match after {
                [ACK, rest @ ..] => {
                    self.signal(Signal::Piece);
                    rest
                }
                [b'\n', rest @ ..] => {
                    self.end_line(answers, notes)?;
                    rest
                }
                [_, rest @ ..] | rest => rest,
            };
        }
        Ok(())
    }

    fn end_line(
        &mut self,
        answers: &mut dyn FnMut(&[u8]) -> io::Result<()>,
        notes: &mut dyn FnMut(&str),
    ) -> io::Result<()> {
        match std::mem::replace(&mut self.at, At::Start) {
            At::Answer => {
                answers(b"\n")?;
                self.signal(Signal::Ready);
            }
            At::Note | At::Start => {
                let line = std::mem::take(&mut self.line);
                if line == self.ready {
                    self.signal(Signal::Ready);
                } else {
                    notes(&line);
                }
            }
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        // Nobody listens once the input has ended.
        let _ = self.signals.send(signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_in_acknowledged_pieces() {
        let (sender, receiver) = mpsc::channel();
        let long = "x".repeat(2 * PIECE + 5);
        // A piece would be waited for for ever; so would a third answer.
        for signal in
            [Signal::Ready, Signal::Piece, Signal::Piece, Signal::Ready, Signal::Piece, Signal::Ready]
        {
            sender.send(signal).expect("somebody listens");
        }
        let mut sent = Vec::new();
        feed(io::Cursor::new(format!("{long}\n\n  \na\r\n")), &mut sent, &receiver, Signal::Ready);
        assert_eq!(String::from_utf8(sent).expect("text"), format!("{long}\n \n \na\t\n\n"));
    }

    #[test]
    fn a_guest_that_ends_is_not_waited_for() {
        let (sender, receiver) = mpsc::channel();
        sender.send(Signal::Ready).expect("somebody listens");
        drop(sender);
        let mut sent = Vec::new();
        feed(io::Cursor::new("a\nb\n"), &mut sent, &receiver, Signal::Ready);
        assert_eq!(sent, b"a\n");
    }

    #[test]
    fn output_is_told_apart_at_any_division() {
        let text = b"EMBODIOS\r\n> json logits\r\n\x06\x06{\"a\": [1]}\r\nwarning\r\n\x06{}\r\n";
        for size in 1..text.len() {
            let (signals, received) = mpsc::channel();
            let mut output =
                Output { ready: "> json logits".to_owned(), signals, at: At::Start, line: String::new() };
            let (mut answers, mut notes) = (Vec::new(), Vec::new());
            for piece in text.chunks(size) {
                let mut keep = |bytes: &[u8]| {
                    answers.extend_from_slice(bytes);
                    Ok(())
                };
                output
                    .take(piece, &mut keep, &mut |line| notes.push(line.to_owned()))
                    .expect("a vector takes everything");
            }
            assert_eq!(answers, b"{\"a\": [1]}\n{}\n", "pieces of {size}");
            assert_eq!(notes, ["EMBODIOS", "warning"]);
            drop(output);
            let (ready, piece) = (Signal::Ready, Signal::Piece);
            assert_eq!(received.iter().collect::<Vec<_>>(), [ready, piece, piece, ready, piece, ready]);
        }
    }
}
