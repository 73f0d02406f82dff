//! Input of a guest's console, from a terminal or a program, with flow control: none is sent before the guest asks
//! for it, and the unacknowledged bytes fit the kernel's buffer (`inference/console/src/input.rs`).

use anyhow::{Context, Result};
use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Maximum of unacknowledged bytes: half of the kernel's buffer.
const WINDOW: usize = 2048;
/// Bytes of one read from a program.
const PIECE: usize = 512;
/// ASCII's "enquiry" and "acknowledge", and the character for an acknowledged 0.
const ENQ: u8 = 0x05;
const ACK: u8 = 0x06;
const ZERO: u8 = b' ';
/// Ctrl-A, the prefix of keys for QEMU; Ctrl-C, which stops what runs; Ctrl-D, the end of input.
const ESCAPE: u8 = 0x01;
const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;

/// Source of the input.
pub enum InputSource {
    /// A terminal that sends each key at once: always read, so that keys for QEMU reach it at any time.
    Terminal,
    /// A program or a file: read to its end as the guest has room; its end ends the guest's input.
    Reader(Box<dyn Read + Send>),
}

/// The guest's side of the serial line.
pub struct SerialLine {
    shared: Arc<Shared>,
    /// Whether the last byte was an ACK, whose number follows.
    acknowledges: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The sending side.
#[derive(Default)]
struct State {
    /// Pipe to the guest; `None` once it has ended.
    out: Option<Box<dyn Write + Send>>,
    /// Whether the guest has asked for input.
    ready: bool,
    held: VecDeque<u8>,
    /// Bytes sent that the guest has not acknowledged.
    ahead: usize,
    /// Whether the last key was [`ESCAPE`].
    escaped: bool,
    /// Whether QEMU's monitor reads, not the guest.
    monitor: bool,
}

impl SerialLine {
    /// Starts sending from `source`. Also returns the pipe's end for QEMU.
    ///
    /// # Errors
    /// When no pipe can be made.
    pub fn start(source: InputSource) -> Result<(Self, PipeReader)> {
        let (reader, writer): (PipeReader, PipeWriter) = io::pipe().context("cannot make a pipe")?;
        let state = Mutex::new(State { out: Some(Box::new(writer)), ..State::default() });
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let sender = Arc::clone(&shared);
        // Not joined: its read may never return.
        thread::spawn(move || match source {
            InputSource::Terminal => sender.send_typed(&mut crate::terminal::Input),
            InputSource::Reader(mut reader) => sender.send_all(&mut reader),
        });
        Ok((Self { shared, acknowledges: false }, reader))
    }

    /// Removes the guest's flow-control bytes from its output and acts on them.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if std::mem::take(&mut self.acknowledges) {
                self.shared.change(|state| {
                    state.ahead = state.ahead.saturating_sub(usize::from(byte - ZERO.min(byte)))
                });
            } else {
                match byte {
                    // Bytes that an earlier engine has not acknowledged never will be.
                    ENQ => self.shared.change(|state| (state.ready, state.ahead) = (true, 0)),
                    ACK => self.acknowledges = true,
                    _ => kept.push(byte),
                }
            }
        }
        kept
    }
}

impl Drop for SerialLine {
    fn drop(&mut self) {
        self.shared.change(|state| state.out = None);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then sends as far as the window allows.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.pump();
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until `wanted`, or until the guest has ended. Returns whether it still runs.
    fn wait(&self, wanted: impl Fn(&State) -> bool) -> bool {
        let waits = |state: &mut State| state.out.is_some() && !wanted(state);
        let state = self.changed.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner);
        state.out.is_some()
    }

    fn send_typed(&self, terminal: &mut dyn Read) {
        let mut buffer = [0; PIECE];
        while let Ok(count @ 1..) = terminal.read(&mut buffer) {
            self.change(|state| buffer[..count].iter().for_each(|&byte| state.type_key(byte)));
        }
    }

    /// Sends all of `source`, ends its last line, and answers further requests of the guest with the end of input.
    fn send_all(&self, source: &mut dyn Read) {
        let (mut buffer, mut last) = ([0; PIECE], b'\n');
        while self.wait(|state| state.ready && state.held.is_empty()) {
            match source.read(&mut buffer) {
                Ok(count @ 1..) => {
                    last = buffer[count - 1];
                    self.change(|state| state.held.extend(&buffer[..count]));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        let end: &[u8] = if last == b'\n' { &[] } else { b"\n" };
        self.change(|state| state.held.extend(end));
        while self.wait(|state| state.ready && state.held.is_empty() && state.ahead == 0) {
            self.change(|state| state.held.push_back(END));
        }
    }
}

impl State {
    /// Sends held bytes as far as the window allows.
    fn pump(&mut self) {
        while self.ready && self.ahead < WINDOW && !self.held.is_empty() {
            let (first, _) = self.held.as_slices();
            let piece = first[..first.len().min(WINDOW - self.ahead)].to_vec();
            self.held.drain(..piece.len());
            self.ahead += piece.len();
            self.send(&piece);
        }
    }

    /// Sends bytes at once. The pipe breaks when the guest ends.
    fn send(&mut self, bytes: &[u8]) {
        if self.out.as_mut().is_some_and(|out| out.write_all(bytes).is_err()) {
            self.out = None;
        }
    }

    /// Takes a key: keys for QEMU pass at once, Ctrl-C overtakes and drops all earlier input, others wait.
    fn type_key(&mut self, byte: u8) {
        if std::mem::take(&mut self.escaped) {
            self.monitor ^= byte == b'c';
            self.send(&[ESCAPE, byte]);
        } else if byte == ESCAPE {
            self.escaped = true;
        } else if self.monitor {
            self.send(&[byte]);
        } else if byte == INTERRUPT {
            self.held.clear();
            if self.ready {
                self.ahead += 1;
                self.send(&[byte]);
            }
        } else {
            self.held.push_back(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{self, Receiver, Sender};

    /// A writer that passes sent bytes to the test.
    struct Sent(Sender<Vec<u8>>);

    impl Write for Sent {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line() -> (SerialLine, Receiver<Vec<u8>>) {
        let (sender, sent) = mpsc::channel();
        let state = State { out: Some(Box::new(Sent(sender))), ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        (SerialLine { shared, acknowledges: false }, sent)
    }

    fn all(sent: &Receiver<Vec<u8>>) -> Vec<u8> {
        sent.try_iter().flatten().collect()
    }

    #[test]
    fn nothing_is_sent_before_the_guest_asks_and_nothing_beyond_its_room() {
        let (mut line, sent) = line();
        let text: Vec<u8> = (0..5000u32).map(|number| b'a' + (number % 26) as u8).collect();
        line.shared.change(|state| state.held.extend(&text));
        assert_eq!(all(&sent), b"");
        assert_eq!(line.take(b"boot\x05> "), b"boot> ");
        let mut received = all(&sent);
        assert_eq!(received.len(), WINDOW);
        // Acknowledgements come in any pieces, among other output.
        while received.len() < text.len() {
            assert_eq!(line.take(b"x\x06"), b"x");
            assert_eq!(line.take(&[ZERO + 64, b'y']), b"y");
            let more = all(&sent);
            assert!(more.len() <= 64);
            received.extend(more);
        }
        assert_eq!(received, text);
    }

    #[test]
    fn a_program_that_ends_ends_the_guests_input_for_every_reader() {
        let (mut line, sent) = line();
        line.take(&[ENQ]);
        let shared = Arc::clone(&line.shared);
        let sender = thread::spawn(move || shared.send_all(&mut b"ids a\nids b".as_slice()));
        let mut received = Vec::new();
        let mut acknowledged = 0;
        // Each reader's end comes when all before it has been read.
        while received.len() < b"ids a\nids b\n\x04\x04\x04".len() {
            let more = sent.recv().expect("it sends");
            received.extend(more);
            while acknowledged < received.len() {
                acknowledged += 1;
                line.take(&[ACK, ZERO + 1]);
            }
        }
        assert!(received.starts_with(b"ids a\nids b\n\x04\x04\x04"), "{received:?}");
        drop(line);
        sender.join().expect("it ends with the guest");
    }

    #[test]
    fn a_fresh_engine_owes_nothing_for_the_one_before() {
        let (mut line, sent) = line();
        line.take(&[ENQ]);
        line.shared.change(|state| state.held.extend([b'x'; 2 * WINDOW]));
        assert_eq!(all(&sent).len(), WINDOW);
        line.take(b"engine restarted (1)\n\x05");
        assert_eq!(all(&sent).len(), WINDOW);
        line.take(&[ACK, ZERO + 64]);
        line.shared.change(|state| state.held.push_back(b'y'));
        assert_eq!(all(&sent), b"y");
    }

    #[test]
    fn keys_for_qemu_and_interrupts_do_not_wait() {
        let (mut line, sent) = line();
        let type_keys = |line: &SerialLine, keys: &[u8]| {
            line.shared.change(|state| keys.iter().for_each(|&key| state.type_key(key)));
        };
        // During the boot, Ctrl-A x reaches QEMU, and Ctrl-C drops what is typed.
        type_keys(&line, b"abc\x01xde\x03fg");
        assert_eq!(all(&sent), b"\x01x");
        line.take(&[ENQ]);
        assert_eq!(all(&sent), b"fg");
        let long = vec![b'l'; 2 * WINDOW];
        type_keys(&line, &long);
        assert_eq!(all(&sent).len(), WINDOW - 2);
        type_keys(&line, b"\x03z");
        assert_eq!(all(&sent), b"\x03");
        // Keys for the monitor do not reach the guest.
        type_keys(&line, b"\x01cinfo\n\x01c");
        assert_eq!(all(&sent), b"\x01cinfo\n\x01c");
    }
}
