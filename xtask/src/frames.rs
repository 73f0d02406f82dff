//! Frames in a quiet guest's output: answers stand inside (`inference/console/src/output.rs`), everything else outside.

use std::io;

/// ASCII's "start of text" and "end of text".
const STX: u8 = 0x02;
const ETX: u8 = 0x03;

/// Parser state: inside or outside a frame.
#[derive(Debug, Default)]
pub struct Frames {
    inside: bool,
}

impl Frames {
    /// Passes `bytes` on to `answers` or `notes`, without the carriage returns of a serial line.
    ///
    /// # Errors
    /// Errors of `answers` or `notes`.
    pub fn take(
        &mut self,
        bytes: &[u8],
        answers: &mut dyn FnMut(&[u8]) -> io::Result<()>,
        notes: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        for piece in bytes.split_inclusive(|byte| [STX, ETX, b'\r'].contains(byte)) {
            let (text, mark) = match piece.split_last() {
                Some((&mark @ (STX | ETX | b'\r'), text)) => (text, mark),
                _ => (piece, 0),
            };
            if !text.is_empty() {
                if self.inside { answers(text)? } else { notes(text)? }
            }
            match mark {
                STX => self.inside = true,
                ETX => self.inside = false,
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_separated_at_any_division() {
        let text = b"WARN core 0: x\r\n\x02{\"a\":\x03\x021}\r\n\x03error: y\r\n";
        for size in 1..=text.len() {
            let mut frames = Frames::default();
            let (mut answers, mut notes) = (Vec::new(), Vec::new());
            for piece in text.chunks(size) {
                let mut answer = |bytes: &[u8]| io::Write::write_all(&mut answers, bytes);
                let mut note = |bytes: &[u8]| io::Write::write_all(&mut notes, bytes);
                frames.take(piece, &mut answer, &mut note).expect("vectors take everything");
            }
            assert_eq!(answers, b"{\"a\":1}\n", "pieces of {size}");
            assert_eq!(notes, b"WARN core 0: x\nerror: y\n");
        }
    }
}
