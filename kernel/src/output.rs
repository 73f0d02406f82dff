//! Words on the console: the shared lock, `kprintln!`, and the sink of the `log` macros.

use crate::time::Instant;
use crate::{Board, Console, per_cpu};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use embodios_arch::{Arch, Architecture};
use log::{LevelFilter, Log, Metadata, Record};
use spin::{Mutex, Once};

static BOARD: Once<&'static dyn Board> = Once::new();
static TURN: Mutex<()> = Mutex::new(());
/// Whether the panic path has begun: from then on the lock is not waited for, since its holder may never return.
static LAST_WORDS: AtomicBool = AtomicBool::new(false);

/// Time limit for a device that takes nothing, as an emulator's whose reader is behind, before the output is dropped.
const DEVICE_TIME: Duration = Duration::from_secs(10);
/// Least number of polls in that time: before the clock's rate is known, time cannot be told.
const DEVICE_POLLS: u32 = 100_000;
/// Whether it was waited for in vain. Until it takes something again it is asked once.
static STALLED: AtomicBool = AtomicBool::new(false);

/// Bytes that are prepared at a time.
const PIECE: usize = 128;

/// Polls of a core that panics for a free console before it writes anyway.
const PATIENCE: u32 = 1_000_000;

/// Makes the board's console the place for output and installs the logger.
pub fn init(board: &'static dyn Board) {
    BOARD.call_once(|| board);
    // A second logger cannot be installed, and a first one is never refused.
    let _ = log::set_logger(&ConsoleLog);
    log::set_max_level(LevelFilter::Warn);
}

/// The board, once [`init`] has run.
#[must_use]
pub fn board() -> Option<&'static dyn Board> {
    BOARD.get().copied()
}

/// Lets output through even if another core holds the console. For the panic path.
pub fn force() {
    LAST_WORDS.store(true, Ordering::Release);
}

/// Writes all bytes to a device, which is waited for as long as it takes any.
pub fn write_all(console: &dyn Console, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match wait_for(|| console.write(bytes)) {
            0 => return,
            written => bytes = &bytes[written..],
        }
    }
}

/// Asks a device until it takes something, for a bounded time; the number of bytes.
fn wait_for(write: impl Fn() -> usize) -> usize {
    let since = Instant::now();
    let mut polls = 0;
    loop {
        let written = write();
        if written > 0 {
            STALLED.store(false, Ordering::Relaxed);
            return written;
        }
        polls += 1;
        let is_late = polls > DEVICE_POLLS && since.elapsed() > DEVICE_TIME;
        if STALLED.load(Ordering::Relaxed) || is_late {
            STALLED.store(true, Ordering::Relaxed);
            return 0;
        }
        Arch::relax();
    }
}

/// Writes bytes as a terminal on a serial line wants them, with a return before each new line. `send` gets bytes in
/// their order and returns how many it took; the result is how many of `bytes` were taken, and the first refusal ends
/// it.
fn with_returns(bytes: &[u8], mut send: impl FnMut(&[u8]) -> usize) -> usize {
    let mut done = 0;
    if !bytes.contains(&b'\n') {
        return send(bytes);
    }
    for piece in bytes.chunks(PIECE) {
        let mut expanded = heapless::Vec::<u8, { 2 * PIECE }>::new();
        for line in piece.split_inclusive(|&byte| byte == b'\n') {
            let text = line.strip_suffix(b"\n");
            // Each byte becomes two at most, so they fit.
            let _ = expanded.extend_from_slice(text.unwrap_or(line));
            let _ = expanded.extend_from_slice(if text.is_some() { b"\r\n" } else { b"" });
        }
        let taken = send(&expanded);
        // A return without its new line is not a byte of the caller's.
        done += taken - expanded[..taken].iter().zip(&expanded[1..]).filter(is_return).count();
        if taken < expanded.len() {
            break;
        }
    }
    done
}

/// Whether the first of two neighbours was put before the second.
fn is_return(&(&first, &second): &(&u8, &u8)) -> bool {
    (first, second) == (b'\r', b'\n')
}

/// Writes bytes in one piece, waiting for the device and for its other users. For the kernel's own words, which are
/// few.
pub fn write(bytes: &[u8]) {
    let Some(board) = board() else { return };
    let mut guard = TURN.try_lock();
    let mut patience = PATIENCE;
    while guard.is_none() && !(LAST_WORDS.load(Ordering::Acquire) && patience == 0) {
        Arch::relax();
        patience = patience.saturating_sub(1);
        guard = TURN.try_lock();
    }
    with_returns(bytes, |bytes| {
        write_all(board.console(), bytes);
        bytes.len()
    });
}

/// Writes as many of `bytes` as the device takes at once; their number. 0 while another core writes.
pub fn try_write(bytes: &[u8]) -> usize {
    let (Some(board), Some(_turn)) = (board(), TURN.try_lock()) else { return 0 };
    with_returns(bytes, |bytes| {
        let written = board.console().write(bytes);
        // Not between a return and its new line.
        match bytes[..written].last() {
            Some(b'\r') if bytes.get(written) == Some(&b'\n') => {
                write_all(board.console(), b"\n");
                written + 1
            }
            _ => written,
        }
    })
}

/// Writes the engine's bytes as text: control characters become dots, but for the new line.
pub fn write_text(bytes: &[u8]) {
    let plain = |&byte: &u8| if byte == b'\n' || byte >= b' ' && byte != 0x7f { byte } else { b'.' };
    for piece in bytes.chunks(PIECE) {
        write(&piece.iter().map(plain).collect::<heapless::Vec<u8, PIECE>>());
    }
}

/// A line's worth of bytes, so that a message reaches the console in few pieces and unmixed.
struct Line {
    bytes: heapless::Vec<u8, 256>,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.as_bytes().chunks(self.bytes.capacity()) {
            if self.bytes.len() + piece.len() > self.bytes.capacity() {
                self.flush();
            }
            // It fits: pieces are no longer than the capacity, and the buffer was emptied if need be.
            let _ = self.bytes.extend_from_slice(piece);
        }
        Ok(())
    }
}

impl Line {
    fn flush(&mut self) {
        write(&self.bytes);
        self.bytes.clear();
    }
}

/// Formats to the console.
pub fn print(arguments: fmt::Arguments<'_>) {
    let mut line = Line { bytes: heapless::Vec::new() };
    // `Line` never fails.
    let _ = line.write_fmt(arguments);
    line.flush();
}

/// Prints a line on the console.
#[macro_export]
macro_rules! kprintln {
    ($($argument:tt)*) => {
        $crate::output::print(format_args!("{}\n", format_args!($($argument)*)))
    };
}

/// Messages with level and core.
struct ConsoleLog;

impl Log for ConsoleLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = record.level();
        match per_cpu::try_this() {
            Some(core) => kprintln!("{level} core {}: {}", core.cpu, record.args()),
            None => kprintln!("{level}: {}", record.args()),
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::with_returns;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        /// A writer that goes on behind the bytes taken writes each byte once, however many a device takes.
        #[test]
        fn what_was_taken_is_counted(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..700),
            takes in prop::collection::vec(0usize..300, 1..20),
        ) {
            let mut out = Vec::new();
            let mut rest = &text[..];
            let mut takes = takes.iter().cycle();
            while !rest.is_empty() {
                let mut room = takes.next().copied().unwrap_or(0) + 2;
                let done = with_returns(rest, |bytes| {
                    let mut taken = bytes.len().min(room);
                    if taken > 0 && bytes[taken - 1] == b'\r' && bytes.get(taken) == Some(&b'\n') {
                        taken += 1;
                    }
                    room -= taken.min(room);
                    out.extend_from_slice(&bytes[..taken]);
                    taken
                });
                rest = &rest[done..];
            }
            let expected: Vec<u8> = text
                .iter()
                .flat_map(|&byte| if byte == b'\n' { [Some(b'\r'), Some(byte)] } else { [None, Some(byte)] })
                .flatten()
                .collect();
            prop_assert_eq!(out, expected);
        }
    }
}
