//! Text that knows which of its parts came from outside.
//!
//! A template's own words may contain special tokens; the words of people and models may not, however a
//! template joins, cuts or trims it.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// Such a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    string: String,
    /// Bytes that came from outside: ranges in order that neither touch nor overlap.
    outside: Vec<Range<usize>>,
}

impl Text {
    /// Text of the template's.
    pub fn inside(string: &str) -> Self {
        Self { string: string.into(), outside: Vec::new() }
    }

    /// Text from outside.
    pub fn outside(string: &str) -> Self {
        Self::inside(string).into_outside()
    }

    fn into_outside(self) -> Self {
        let all = 0..self.string.len();
        Self { string: self.string, outside: if all.is_empty() { Vec::new() } else { Vec::from([all]) } }
    }

    /// Bytes that it takes, or more.
    pub const fn size(&self) -> usize {
        self.string.len() + self.outside.len() * size_of::<Range<usize>>()
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.string
    }

    /// The bytes that came from outside: ranges in order that neither touch nor overlap.
    pub fn outside_ranges(&self) -> &[Range<usize>] {
        &self.outside
    }

    /// Appends `other`.
    pub fn push(&mut self, other: &Self) {
        let base = self.string.len();
        self.string.push_str(&other.string);
        for range in &other.outside {
            let range = base + range.start..base + range.end;
            match self.outside.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => self.outside.push(range),
            }
        }
    }

    /// The part at `part`, which begins and ends at characters.
    pub fn slice(&self, part: Range<usize>) -> Self {
        let within = |at: usize| at.clamp(part.start, part.end) - part.start;
        let first = self.outside.partition_point(|range| range.end <= part.start);
        let ranges = self.outside[first..].iter().take_while(|range| range.start < part.end);
        let outside = ranges.map(|range| within(range.start)..within(range.end)).collect();
        Self { string: self.string[part].into(), outside }
    }

    /// The part that `part`, a part of [`Self::as_str`], is.
    pub fn part(&self, part: &str) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(self.string.as_ptr().addr());
        self.slice(start..start + part.len())
    }

    /// Its text after `change`: all from outside if any of it was.
    pub fn map(&self, change: impl FnOnce(&str) -> String) -> Self {
        let changed = Self { string: change(&self.string), outside: Vec::new() };
        if self.outside.is_empty() { changed } else { changed.into_outside() }
    }

    /// The first `most` of every `from` in it replaced by `to`.
    pub fn replace(&self, from: &str, to: &Self, most: usize) -> Self {
        let mut replaced = Self::default();
        let mut rest = 0;
        for (at, found) in self.string.match_indices(from).take(most) {
            replaced.push(&self.slice(rest..at));
            replaced.push(to);
            rest = at + found.len();
        }
        replaced.push(&self.slice(rest..self.string.len()));
        replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_origin() {
        let mut text = Text::inside("<a> ");
        text.push(&Text::outside("x<a>y"));
        text.push(&Text::outside("z"));
        text.push(&Text::inside("<b>"));
        assert_eq!(text.as_str(), "<a> x<a>yz<b>");
        let outside = |text: &Text| {
            let parts = text.outside_ranges().iter().map(|range| &text.as_str()[range.clone()]);
            parts.collect::<Vec<_>>().join("|")
        };
        assert_eq!(outside(&text), "x<a>yz");
        assert_eq!(outside(&text.slice(2..6)), "x<");
        assert_eq!(outside(&text.slice(0..4)), "");
        assert_eq!(outside(&text.part(&text.as_str()[5..11])), "<a>yz");
        let replaced = text.replace("<a>", &Text::inside("!"), usize::MAX);
        assert_eq!((replaced.as_str(), outside(&replaced).as_str()), ("! x!yz<b>", "x|yz"));
        let replaced = text.replace("<a>", &Text::outside("<!>"), 1);
        assert_eq!((replaced.as_str(), outside(&replaced).as_str()), ("<!> x<a>yz<b>", "<!>|x<a>yz"));
        assert_eq!(outside(&text.map(str::to_uppercase)), "<A> X<A>YZ<B>");
    }
}
