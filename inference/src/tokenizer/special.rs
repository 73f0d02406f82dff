//! Special tokens inside text: where they stand, and the text between them.

use alloc::vec::Vec;
use core::cmp::Reverse;

use super::ParseSpecial;

/// A piece of text that was searched for special tokens.
pub enum Part<'t> {
    /// A special token.
    Token(u32),
    /// Text without any.
    Text(&'t str),
}

struct Special<'a> {
    text: &'a str,
    id: u32,
    /// Whether it is only a token in text that may contain special tokens, or in any text.
    needs: ParseSpecial,
}

/// The special tokens of a vocabulary, longest text first.
pub struct Specials<'a> {
    specials: Vec<Special<'a>>,
}

impl<'a> Specials<'a> {
    /// Of `(text, id, needs)`. Texts that are empty or not UTF-8 never stand in a text.
    pub fn new<'t>(tokens: impl Iterator<Item = (&'t &'a [u8], u32, ParseSpecial)>) -> Self
    where
        'a: 't,
    {
        let mut specials: Vec<Special<'a>> = tokens
            .filter_map(|(&text, id, needs)| {
                let text = core::str::from_utf8(text).ok().filter(|text| !text.is_empty())?;
                Some(Special { text, id, needs })
            })
            .collect();
        specials.sort_by_key(|special| Reverse(special.text.len()));
        Self { specials }
    }

    /// The id of the special token with exactly this text.
    pub fn id(&self, text: &[u8]) -> Option<u32> {
        self.specials.iter().find(|special| special.text.as_bytes() == text).map(|special| special.id)
    }

    /// Cuts `text` at special tokens. A longer special token is looked for, in all of the text, before
    /// a shorter one.
    pub fn split<'t>(&self, text: &'t str, parse: ParseSpecial) -> Vec<Part<'t>> {
        let mut parts = Vec::from([Part::Text(text)]);
        for special in &self.specials {
            let applies = parse == ParseSpecial::Yes || special.needs == ParseSpecial::No;
            if applies && text.contains(special.text) {
                parts = parts.into_iter().flat_map(|part| cut(part, special)).collect();
            }
        }
        parts
    }
}

/// The parts of `part` before, between and after the places where `special` stands.
fn cut<'t>(part: Part<'t>, special: &Special<'_>) -> Vec<Part<'t>> {
    let Part::Text(text) = part else { return Vec::from([part]) };
    let mut parts = Vec::new();
    for (index, piece) in text.split(special.text).enumerate() {
        if index > 0 {
            parts.push(Part::Token(special.id));
        }
        if !piece.is_empty() {
            parts.push(Part::Text(piece));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(parts: &[Part<'_>]) -> alloc::string::String {
        parts
            .iter()
            .map(|part| match part {
                Part::Token(id) => alloc::format!("<{id}>"),
                Part::Text(text) => alloc::format!("[{text}]"),
            })
            .collect()
    }

    #[test]
    fn longer_tokens_win_and_plain_text_stays_plain() {
        let texts: [&[u8]; 4] = [b"ab", b"abc", b"", b"!"];
        let needs = [ParseSpecial::Yes, ParseSpecial::Yes, ParseSpecial::Yes, ParseSpecial::No];
        let specials =
            Specials::new(texts.iter().zip(0..).zip(needs).map(|((text, id), needs)| (text, id, needs)));
        assert_eq!(show(&specials.split("xabcab!y", ParseSpecial::Yes)), "[x]<1><0><3>[y]");
        assert_eq!(show(&specials.split("xabcab!y", ParseSpecial::No)), "[xabcab]<3>[y]");
        assert_eq!(show(&specials.split("", ParseSpecial::Yes)), "[]");
        assert_eq!(specials.id(b"abc"), Some(1));
        assert_eq!(specials.id(b"xyz"), None);
    }
}
