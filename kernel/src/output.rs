//! Words on the console: the shared lock, `kprintln!`, and the sink of the `log` macros.

use crate::{Board, per_cpu};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use log::{LevelFilter, Log, Metadata, Record};
use spin::{Mutex, Once};

static BOARD: Once<&'static dyn Board> = Once::new();
static TURN: Mutex<()> = Mutex::new(());
/// Set by the panic path: from then on the lock is not waited for, since its holder may never return.
static LAST_WORDS: AtomicBool = AtomicBool::new(false);

/// How often a core that panics looks for the console to become free before it writes anyway.
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

/// Writes bytes in one piece.
pub fn write(bytes: &[u8]) {
    let Some(board) = board() else { return };
    let mut guard = TURN.try_lock();
    let mut patience = PATIENCE;
    while guard.is_none() && !(LAST_WORDS.load(Ordering::Acquire) && patience == 0) {
        core::hint::spin_loop();
        patience = patience.saturating_sub(1);
        guard = TURN.try_lock();
    }
    board.console().write(bytes);
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
