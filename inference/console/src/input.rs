//! Input from the terminal, for one reader at a time: the line editor, or a command that takes lines.
//!
//! Bytes that one reader leaves are the next one's. Every line ends with a line feed here, however the terminal ends
//! it.
//!
//! A serial line has no flow control, and the kernel keeps some 4,096 bytes for a reader that is busy. Where a sender
//! asks for it (`flow-control`), the first read is announced by ENQ, and the bytes that a read has taken are
//! acknowledged by ACK and their number as a printable character: a sender that sends no more than those ahead loses
//! none.

use alloc::sync::Arc;
use core::ops::Range;

use embodios_pool::platform::{Platform, is_after};

use crate::serve::{READ, Reader};

// The number of bytes taken at once fits the printable characters.
const _: () = assert!(ZERO as usize + READ < 0x7f);
/// ASCII's "enquiry" and "acknowledge".
const ENQ: u8 = 0x05;
const ACK: u8 = 0x06;
/// The character for an acknowledged 0.
const ZERO: u8 = b' ';
/// Ctrl-C, and Ctrl-D.
pub const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;

/// The terminal's bytes.
pub struct Input {
    platform: &'static dyn Platform,
    /// The thread that reads, where there is more to wait for than input.
    reader: Option<Arc<Reader>>,
    bytes: [u8; READ],
    /// Those that have not been taken.
    unread: Range<usize>,
    /// A carriage return came last: a line feed after it ends the same line.
    after_return: bool,
    /// Whether reads are acknowledged.
    acknowledge: bool,
    /// Whether the first one has been announced.
    announced: bool,
    /// Interrupts that have had their effect.
    acknowledged: u32,
}

impl Input {
    /// The terminal of `platform`.
    pub fn new(platform: &'static dyn Platform, acknowledge: bool) -> Self {
        Self {
            platform,
            reader: None,
            bytes: [0; READ],
            unread: 0..0,
            after_return: false,
            acknowledge,
            announced: false,
            acknowledged: platform.interrupts(),
        }
    }

    /// Whether all bytes have been taken, so that a reader waits.
    pub fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }

    /// Leaves reading to a thread.
    pub fn read_by(&mut self, reader: Arc<Reader>) {
        self.reader = Some(reader);
    }

    /// The bytes that have not been taken; waits for some where there are none. Empty only at the end of the input.
    pub fn wait(&mut self) -> &[u8] {
        self.wait_beside(&mut |reader| {
            reader.wait_until_ready();
            true
        })
    }

    /// As [`Self::wait`]; where a thread reads, `meanwhile` is called until it has bytes, and may itself wait for that.
    /// Once it says that no more input is wanted, the input is at its end.
    pub fn wait_beside(&mut self, meanwhile: &mut dyn FnMut(&Reader) -> bool) -> &[u8] {
        while self.unread.is_empty() {
            if self.acknowledge && !core::mem::replace(&mut self.announced, true) {
                self.platform.write(&[ENQ]);
            }
            let count = match &self.reader {
                None => self.platform.read(&mut self.bytes),
                Some(reader) => {
                    reader.ask();
                    while !reader.is_ready() {
                        if !meanwhile(reader) {
                            return &[];
                        }
                    }
                    reader.take(&mut self.bytes)
                }
            };
            if count == 0 {
                break;
            }
            if self.acknowledge {
                self.platform.write(&[ACK, ZERO + count as u8]);
            }
            self.unread = 0..self.end_lines_alike(count);
        }
        &self.bytes[self.unread.clone()]
    }

    /// Takes the first `count` of them. An interrupt among them has its effect by that.
    pub fn take(&mut self, count: usize) {
        let end = (self.unread.start + count).min(self.unread.end);
        let interrupts = self.bytes[self.unread.start..end].iter().filter(|&&byte| byte == INTERRUPT);
        for _ in interrupts {
            // One that an earlier engine has counted is in no later count.
            if is_after(self.platform.interrupts(), self.acknowledged) {
                self.acknowledged = self.acknowledged.wrapping_add(1);
            }
        }
        self.unread.start = end;
    }

    /// Takes what ends the input if it comes next.
    pub fn take_end(&mut self) -> bool {
        let ends = matches!(self.wait(), [] | [END, ..]);
        self.take(usize::from(ends));
        ends
    }

    /// Interrupts that have had their effect.
    pub const fn acknowledged(&self) -> u32 {
        self.acknowledged
    }

    /// Whether there was one that has not. If so, drops what came before it, as a terminal does.
    pub fn take_interrupt(&mut self) -> bool {
        let mut interrupted = false;
        while is_after(self.platform.interrupts(), self.acknowledged) {
            interrupted = true;
            let bytes = self.wait();
            if bytes.is_empty() {
                break;
            }
            let dropped = bytes.iter().position(|&byte| byte == INTERRUPT).map_or(bytes.len(), |at| at + 1);
            self.take(dropped);
        }
        interrupted
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
