//! Special tokens inside text: where they stand, and the text between them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

use super::ParseSpecial;
use super::vocabulary::Index;

/// A piece of text that was searched for special tokens.
pub enum Part {
    /// A special token.
    Token(u32),
    /// The bytes of text without any, not empty.
    Text(Range<usize>),
}

struct Special<'a> {
    text: &'a str,
    id: u32,
    /// Texts in which it is a token: those that may contain special tokens, or any.
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
    /// a shorter one. Control tokens are none where they touch the bytes in `outside`, ranges in order.
    pub fn split(&self, text: &str, outside: &[Range<usize>]) -> Vec<Part> {
        if text.is_empty() {
            return Vec::new();
        }
        let is_inside = |found: &Range<usize>| {
            let before = outside.partition_point(|range| range.end <= found.start);
            outside.get(before).is_none_or(|range| range.start >= found.end)
        };
        let mut parts = Vec::from([Part::Text(0..text.len())]);
        for place in self.occurring(text) {
            let special = &self.specials[place as usize];
            let counts = |found: &Range<usize>| special.needs == ParseSpecial::No || is_inside(found);
            parts = parts.into_iter().flat_map(|part| cut(part, text, special, counts)).collect();
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

/// The parts of `part` before, between and after the places where `special` stands and `counts`.
fn cut(part: Part, text: &str, special: &Special<'_>, counts: impl Fn(&Range<usize>) -> bool) -> Vec<Part> {
    let Part::Text(range) = part else { return Vec::from([part]) };
    let mut parts = Vec::new();
    let mut rest = range.start;
    for (at, found) in text[range.clone()].match_indices(special.text) {
        let found = range.start + at..range.start + at + found.len();
        if !counts(&found) {
            continue;
        }
        if found.start > rest {
            parts.push(Part::Text(rest..found.start));
        }
        parts.push(Part::Token(special.id));
        rest = found.end;
    }
    if range.end > rest {
        parts.push(Part::Text(rest..range.end));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str, parts: &[Part]) -> alloc::string::String {
        parts
            .iter()
            .map(|part| match part {
                Part::Token(id) => alloc::format!("<{id}>"),
                Part::Text(range) => alloc::format!("[{}]", &text[range.clone()]),
            })
            .collect()
    }

    #[test]
    fn longer_tokens_win_and_text_from_outside_stays_plain() {
        let texts: [&[u8]; 4] = [b"ab", b"abc", b"", b"!"];
        let needs = [ParseSpecial::Yes, ParseSpecial::Yes, ParseSpecial::Yes, ParseSpecial::No];
        let specials =
            Specials::new(texts.into_iter().zip(0..).zip(needs).map(|((text, id), needs)| (text, id, needs)));
        let split = |text: &str, outside: &[Range<usize>]| show(text, &specials.split(text, outside));
        assert_eq!(split("xabcab!y", &[]), "[x]<1><0><3>[y]");
        assert_eq!(split("xabcab!y", core::slice::from_ref(&(0..8))), "[xabcab]<3>[y]");
        assert_eq!(split("ab ab ab", core::slice::from_ref(&(3..5))), "<0>[ ab ]<0>");
        assert_eq!(split("ab ab ab", &[1..2, 7..8]), "[ab ]<0>[ ab]");
        assert_eq!(split("", &[]), "");
        assert_eq!(specials.id(b"abc"), Some(1));
        assert_eq!(specials.id(b"xyz"), None);
    }
}
