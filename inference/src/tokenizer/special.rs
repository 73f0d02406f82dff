//! Special tokens inside text: where they stand, and the text between them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::ParseSpecial;
use super::vocabulary::Index;

/// A piece of text that was searched for special tokens.
pub enum Part<'t> {
    /// A special token.
    Token(u32),
    /// Text without any, not empty.
    Text(&'t str),
}

struct Special<'a> {
    text: &'a str,
    id: u32,
    /// Whether it is only a token in text that may contain special tokens, or in any text.
    needs: ParseSpecial,
}

/// The special tokens of a vocabulary.
pub struct Specials<'a> {
    /// Longest text first.
    specials: Vec<Special<'a>>,
    /// From a text to its place in `specials`.
    places: Index<'a>,
    /// From a byte to the lengths of the texts that begin with it.
    lengths: BTreeMap<u8, Vec<usize>>,
}

impl<'a> Specials<'a> {
    /// Of `(text, id, needs)`. Texts that are empty or not UTF-8 never stand in a text.
    pub fn new(tokens: impl Iterator<Item = (&'a [u8], u32, ParseSpecial)>) -> Self {
        let mut specials: Vec<Special<'a>> = tokens
            .filter_map(|(text, id, needs)| {
                let text = core::str::from_utf8(text).ok().filter(|text| !text.is_empty())?;
                Some(Special { text, id, needs })
            })
            .collect();
        specials.sort_by_key(|special| Reverse(special.text.len()));
        let mut places = Index::with_capacity(specials.len());
        let mut lengths: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
        for (special, place) in specials.iter().zip(0..) {
            let text = special.text.as_bytes();
            places.insert(text, place);
            let lengths = lengths.entry(text[0]).or_default();
            if lengths.last() != Some(&text.len()) {
                lengths.push(text.len());
            }
        }
        Self { specials, places, lengths }
    }

    /// The id of the special token with exactly this text.
    pub fn id(&self, text: &[u8]) -> Option<u32> {
        self.places.get(text).map(|place| self.specials[place as usize].id)
    }

    /// Cuts `text` at special tokens. A longer special token is looked for, in all of the text, before
    /// a shorter one.
    pub fn split<'t>(&self, text: &'t str, parse: ParseSpecial) -> Vec<Part<'t>> {
        if text.is_empty() {
            return Vec::new();
        }
        let mut parts = Vec::from([Part::Text(text)]);
        for place in self.occurring(text) {
            let special = &self.specials[place as usize];
            if parse == ParseSpecial::Yes || special.needs == ParseSpecial::No {
                parts = parts.into_iter().flat_map(|part| cut(part, special)).collect();
            }
        }
        parts
    }

    /// The places of the special tokens that stand anywhere in `text`.
    fn occurring(&self, text: &str) -> Vec<u32> {
        let mut found = Vec::new();
        for (at, byte) in text.bytes().enumerate() {
            for length in self.lengths.get(&byte).into_iter().flatten() {
                let candidate = text.as_bytes().get(at..at + length);
                found.extend(candidate.and_then(|candidate| self.places.get(candidate)));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
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
            Specials::new(texts.into_iter().zip(0..).zip(needs).map(|((text, id), needs)| (text, id, needs)));
        assert_eq!(show(&specials.split("xabcab!y", ParseSpecial::Yes)), "[x]<1><0><3>[y]");
        assert_eq!(show(&specials.split("xabcab!y", ParseSpecial::No)), "[xabcab]<3>[y]");
        assert_eq!(show(&specials.split("", ParseSpecial::Yes)), "");
        assert_eq!(specials.id(b"abc"), Some(1));
        assert_eq!(specials.id(b"xyz"), None);
    }
}
