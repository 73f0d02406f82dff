//! Bytes of tokens to text, as it comes: a character that is cut between tokens is held back until it
//! is whole, bytes that can never become a character turn into U+FFFD.

use alloc::string::String;

/// Decoder of one stream.
#[derive(Default)]
pub struct TextStream {
    /// The beginning of a character, at most three bytes.
    pending: [u8; 3],
    length: usize,
}

impl TextStream {
    /// A stream before its first byte.
    #[must_use]
    pub const fn new() -> Self {
        Self { pending: [0; 3], length: 0 }
    }

    /// Adds `bytes` and appends to `text` what is certain now.
    pub fn push(&mut self, mut bytes: &[u8], text: &mut String) {
        while self.length > 0 {
            let Some((&next, rest)) = bytes.split_first() else { return };
            let mut start = [0; 4];
            start[..self.length].copy_from_slice(&self.pending[..self.length]);
            start[self.length] = next;
            match core::str::from_utf8(&start[..=self.length]) {
                Ok(character) => {
                    text.push_str(character);
                    self.length = 0;
                    bytes = rest;
                }
                // The pending bytes alone were a valid beginning, so only `next` can be at fault:
                // it stays in `bytes` and begins anew.
                Err(error) if error.error_len().is_some() => {
                    text.push(char::REPLACEMENT_CHARACTER);
                    self.length = 0;
                }
                Err(_) => {
                    self.pending[self.length] = next;
                    self.length += 1;
                    bytes = rest;
                }
            }
        }
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            let cut = chunks.peek().is_none()
                && core::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if cut {
                self.pending[..invalid.len()].copy_from_slice(invalid);
                self.length = invalid.len();
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }

    /// Ends the stream: a character that never became whole is one U+FFFD.
    pub fn finish(&mut self, text: &mut String) {
        if self.length > 0 {
            text.push(char::REPLACEMENT_CHARACTER);
            self.length = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TextStream;
    use alloc::string::String;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn holds_back_half_a_character() {
        let mut stream = TextStream::default();
        let mut text = String::new();
        for (byte, expected) in "a€b".bytes().zip(["a", "a", "a", "a€", "a€b"]) {
            stream.push(&[byte], &mut text);
            assert_eq!(text, expected);
        }
        stream.push(&[0xe2, 0x82], &mut text);
        stream.push(b"!", &mut text);
        assert_eq!(text, "a€b\u{fffd}!");
        stream.push(&[0xf0, 0x9f], &mut text);
        stream.finish(&mut text);
        assert_eq!(text, "a€b\u{fffd}!\u{fffd}");
    }

    proptest! {
        #[test]
        fn equals_the_lossy_decoder_however_it_is_cut(
            chunks in proptest::collection::vec(
                proptest::collection::vec(
                    prop_oneof![any::<u8>(), Just(0xe2), Just(0x82), Just(0xf0), Just(0x9f)],
                    0..6,
                ),
                0..12,
            )
        ) {
            let mut stream = TextStream::default();
            let mut text = String::new();
            for chunk in &chunks {
                stream.push(chunk, &mut text);
            }
            stream.finish(&mut text);
            let bytes: Vec<u8> = chunks.concat();
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
        }
    }
}
