//! Output of the console: answers, and notes about them.
//!
//! For programs (`quiet`), answers stand in frames, between STX and ETX, each one write: a program that boots the
//! machine tells them from notes and from the kernel's messages.

use alloc::fmt::format;
use core::fmt;

use arrayvec::ArrayVec;
use embodios_pool::platform::Platform;
use embodios_text::terminal;

/// ASCII's "start of text" and "end of text".
const STX: u8 = 0x02;
const ETX: u8 = 0x03;
/// Bytes of an answer in a frame, which the kernel writes in one piece.
const PIECE: usize = 500;

/// The way to the terminal.
#[derive(Clone, Copy)]
pub struct Output {
    platform: &'static dyn Platform,
    quiet: bool,
}

impl Output {
    /// The terminal of `platform`; with `quiet`, a program's.
    pub const fn new(platform: &'static dyn Platform, quiet: bool) -> Self {
        Self { platform, quiet }
    }

    /// Whether a program reads: it gets no prompt and no echo.
    pub const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Says what was asked for, as text.
    pub fn say(&self, text: &str) {
        self.answer(terminal::shown(text).as_bytes());
    }

    /// Says what was asked for, as JSON, which has escapes of its own.
    pub fn answer(&self, bytes: &[u8]) {
        if !self.quiet {
            self.platform.write(bytes);
            return;
        }
        for piece in bytes.chunks(PIECE) {
            let mut frame = ArrayVec::<u8, { PIECE + 2 }>::new();
            frame.push(STX);
            frame.extend(piece.iter().copied());
            frame.push(ETX);
            self.platform.write(&frame);
        }
    }

    /// Says something beside the answer.
    pub fn note(&self, text: fmt::Arguments<'_>) {
        self.platform.write(terminal::shown(&format(text)).as_bytes());
    }
}
