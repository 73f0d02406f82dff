//! Bodies in chunks: their data, from bytes in any cut.

use crate::fault::Fault;

/// Most bytes of chunk extensions and trailers of a body together.
pub const FRAMES: usize = 4 << 10;

/// Place within the framing of a body, at its next byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The size of a chunk, with so many digits before this.
    Size(u8),
    /// Blanks behind it.
    Blank,
    /// An extension.
    Extension,
    /// The end of that line.
    SizeEnd,
    /// The data, as many bytes as are left of the chunk.
    Data,
    /// CR behind the data, then LF.
    DataEnd,
    DataEndFeed,
    /// The first byte of a line of the trailers.
    Trailer,
    /// The others.
    TrailerRest,
    TrailerEnd,
    /// LF of the empty line at the end.
    End,
    /// Behind the body.
    Over,
}

/// Decoder of one body.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    place: Place,
    /// The size of the chunk, as far as it was read; then what is left of its data.
    left: usize,
    /// Bytes of extensions and trailers.
    frames: usize,
}

impl Chunks {
    pub const fn new() -> Self {
        Self { place: Place::Size(0), left: 0, frames: 0 }
    }

    pub fn is_over(&self) -> bool {
        self.place == Place::Over
    }

    /// Takes bytes up to the body's end, and hands its data on. Result: how many were taken.
    ///
    /// # Errors
    /// When they are not chunks, or `data` fails.
    pub fn take(
        &mut self,
        input: &[u8],
        data: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let mut rest = input;
        while let Some((&byte, behind)) = rest.split_first() {
            match self.place {
                Place::Over => break,
                Place::Data => {
                    let (part, behind) = rest.split_at(self.left.min(rest.len()));
                    data(part)?;
                    self.left -= part.len();
                    rest = behind;
                    if self.left == 0 {
                        self.place = Place::DataEnd;
                    }
                }
                _ => {
                    self.place = self.frame(byte)?;
                    rest = behind;
                }
            }
        }
        Ok(input.len() - rest.len())
    }

    /// The place after a byte that is no data.
    fn frame(&mut self, byte: u8) -> Result<Place, Fault> {
        Ok(match (self.place, byte) {
            (Place::Size(digits), _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0) as usize;
                // More than 16 digits are zeros in front, which no client writes, or a size that no body has.
                if digits == 16 {
                    return Err(Fault::Malformed("a chunk size of more than 16 digits"));
                }
                self.left = self.left.saturating_mul(16).saturating_add(digit);
                Place::Size(digits + 1)
            }
            (Place::Size(1..) | Place::Blank | Place::Extension, b'\r') => Place::SizeEnd,
            (Place::Size(1..) | Place::Blank, b' ' | b'\t') => self.framed(Place::Blank)?,
            (Place::Size(1..) | Place::Blank, b';') => self.framed(Place::Extension)?,
            (Place::Size(_) | Place::Blank, _) => {
                return Err(Fault::Malformed("a chunk size that is no number"));
            }
            (Place::Extension, b'\t' | b' '..=b'~' | 0x80..) => self.framed(Place::Extension)?,
            (Place::SizeEnd, b'\n') if self.left == 0 => Place::Trailer,
            (Place::SizeEnd, b'\n') => Place::Data,
            (Place::DataEnd, b'\r') => Place::DataEndFeed,
            (Place::DataEndFeed, b'\n') => Place::Size(0),
            (Place::Trailer, b'\r') => Place::End,
            (Place::TrailerRest, b'\r') => Place::TrailerEnd,
            (Place::Trailer | Place::TrailerRest, b'\t' | b' '..=b'~' | 0x80..) => {
                self.framed(Place::TrailerRest)?
            }
            (Place::TrailerEnd, b'\n') => self.framed(Place::Trailer)?,
            (Place::End, b'\n') => Place::Over,
            (Place::DataEnd | Place::DataEndFeed, _) => {
                return Err(Fault::Malformed("a chunk that is longer than its size"));
            }
            _ => return Err(Fault::Malformed("a line of a chunked body that does not end with CR LF")),
        })
    }

    /// Counts a byte of an extension or a trailer.
    fn framed(&mut self, place: Place) -> Result<Place, Fault> {
        self.frames += 1;
        if self.frames > FRAMES { Err(Fault::LongFrames(FRAMES)) } else { Ok(place) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    /// Data and rest of `input`, the same whole and byte by byte.
    fn decoded(input: &[u8]) -> Result<(Vec<u8>, usize, bool), Fault> {
        let run = |cut: usize| {
            let (mut chunks, mut data, mut taken) = (Chunks::new(), Vec::new(), 0);
            for part in input.chunks(cut) {
                taken += chunks.take(part, &mut |bytes| {
                    data.extend_from_slice(bytes);
                    Ok(())
                })?;
            }
            Ok((data, taken, chunks.is_over()))
        };
        let whole = run(input.len().max(1));
        assert_eq!(whole, run(1), "{}", String::from_utf8_lossy(input));
        whole
    }

    #[test]
    fn chunks_are_joined() {
        let text = b"4\r\nWiki\r\n00A;x=\"1\"\r\npedia in\r\n\r\n0 \r\nTrail: er\r\n\r\nGET";
        assert_eq!(decoded(text), Ok((b"Wikipedia in\r\n".to_vec(), text.len() - 3, true)));
        assert_eq!(decoded(b"0\r\n\r\n"), Ok((Vec::new(), 5, true)));
        assert_eq!(decoded(b"5\r\nab"), Ok((b"ab".to_vec(), 5, false)));
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for bad in [
            "\r\n",
            ";x\r\n",
            "x\r\n",
            "-1\r\n",
            "0x1\r\n",
            "1\n",
            "1\r\r",
            "1\r\nab\r\n",
            "1\r\na\n",
            "1 2\r\n\n",
            "0\r\n\n",
            "0\r\na\n",
            "0\r\na: \rb",
            "1;\0\r\n",
            "00000000000000001\r\n",
            "1;a\nb\r\n",
            " 1\r\n",
        ] {
            assert!(matches!(decoded(bad.as_bytes()), Err(Fault::Malformed(_))), "{bad:?}");
        }
    }

    #[test]
    fn frames_are_bounded() {
        let extensions = "1;aaaaaaaaaaaaaaa\r\nx\r\n".repeat(FRAMES / 16);
        assert!(decoded(extensions.as_bytes()).is_ok());
        assert_eq!(decoded(format!("{extensions}1;\r\n").as_bytes()), Err(Fault::LongFrames(FRAMES)));
        let trailers = format!("0\r\n{}", "a: b\r\n".repeat(FRAMES));
        assert_eq!(decoded(trailers.as_bytes()), Err(Fault::LongFrames(FRAMES)));
    }
}
