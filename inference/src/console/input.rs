//! What the terminal sends, for whoever reads next: the line editor, or a command that takes lines.
//!
//! What one reader leaves is the next one's. Every line ends with a line feed here, however the terminal ends it.

use core::ops::Range;

use crate::platform::Platform;

/// Bytes taken from the terminal at once.
const READ: usize = 256;

/// The terminal's bytes.
pub struct Input {
    platform: &'static dyn Platform,
    bytes: [u8; READ],
    /// Which of them nobody has taken.
    unread: Range<usize>,
    /// A carriage return came last: a line feed after it ends the same line.
    after_return: bool,
}

impl Input {
    /// The terminal of `platform`.
    pub const fn new(platform: &'static dyn Platform) -> Self {
        Self { platform, bytes: [0; READ], unread: 0..0, after_return: false }
    }

    /// Whether there is nothing that nobody has taken, so that a reader waits.
    pub fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }

    /// The bytes that nobody has taken; waits for some where there are none. Empty only at the end of the input.
    pub fn wait(&mut self) -> &[u8] {
        while self.unread.is_empty() {
            let count = self.platform.read(&mut self.bytes);
            if count == 0 {
                break;
            }
            self.unread = 0..self.end_lines_alike(count);
        }
        &self.bytes[self.unread.clone()]
    }

    /// Takes the first `count` of them.
    pub fn take(&mut self, count: usize) {
        self.unread.start = (self.unread.start + count).min(self.unread.end);
    }

    /// Turns the line ends among the first `count` bytes into line feeds. Result: bytes that are left.
    fn end_lines_alike(&mut self, count: usize) -> usize {
        let mut kept = 0;
        for index in 0..count {
            let byte = self.bytes[index];
            let second = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            if !second {
                self.bytes[kept] = if byte == b'\r' { b'\n' } else { byte };
                kept += 1;
            }
        }
        kept
    }
}
