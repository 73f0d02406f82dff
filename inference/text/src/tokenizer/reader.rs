//! Tokens to text as they come: the text that is certain at once, up to a stop text.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::{TextStream, Tokenizer};

/// Reads one run of tokens.
pub struct TokenReader<'t> {
    tokenizer: &'t Tokenizer<'t>,
    stream: TextStream,
    bytes: Vec<u8>,
    stops: Cow<'t, [String]>,
    /// Decoded text that is not handed out: the beginning of a stop text may be in it.
    held: String,
    shown: String,
    stopped: bool,
}

impl<'t> TokenReader<'t> {
    /// A reader that ends before the first of the texts in `stops` (empty ones count for nothing).
    #[must_use]
    pub fn new(tokenizer: &'t Tokenizer<'t>, stops: impl Into<Cow<'t, [String]>>) -> Self {
        Self {
            tokenizer,
            stream: TextStream::new(),
            bytes: Vec::new(),
            stops: stops.into(),
            held: String::new(),
            shown: String::new(),
            stopped: false,
        }
    }

    /// Makes room for tokens of `length` bytes, so that reading allocates nothing where none is longer.
    pub fn reserve(&mut self, length: usize) {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        self.bytes.reserve(length);
        // A byte that is no text becomes three.
        self.held.reserve(longest + 3 * length);
        self.shown.reserve(longest + 3 * length);
    }

    /// The text that is certain with `token`: without what may yet become a whole character, or a stop text.
    pub fn push(&mut self, token: u32) -> &str {
        self.shown.clear();
        if self.stopped {
            return "";
        }
        self.bytes.clear();
        self.tokenizer.decode(token, &mut self.bytes);
        self.stream.push(&self.bytes, &mut self.held);
        self.release();
        &self.shown
    }

    /// Whether a stop text came up: it and all behind it is not handed out.
    #[must_use]
    pub const fn stopped(&self) -> bool {
        self.stopped
    }

    /// The text that is left when no more tokens come.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.stopped {
            return String::new();
        }
        self.stream.finish(&mut self.held);
        self.release();
        if !self.stopped {
            self.shown.push_str(&self.held);
        }
        self.shown
    }

    /// Moves what no stop text can begin in from `held` to `shown`.
    fn release(&mut self) {
        self.shown.clear();
        let stops = || self.stops.iter().filter(|stop| !stop.is_empty());
        // The one that is whole first, so that it does not matter how the text is cut into tokens.
        let found = stops().filter_map(|stop| self.held.find(stop.as_str()).map(|at| (at + stop.len(), at)));
        if let Some((_, at)) = found.min() {
            self.stopped = true;
            self.shown.push_str(&self.held[..at]);
            return;
        }
        let may_begin = |at: usize| stops().any(|stop| stop.starts_with(&self.held[at..]));
        let longest = stops().map(String::len).max().unwrap_or(0);
        let from = self.held.len().saturating_sub(longest);
        let places = (from..self.held.len()).filter(|&at| self.held.is_char_boundary(at));
        let certain = places.into_iter().find(|&at| may_begin(at)).unwrap_or(self.held.len());
        self.shown.push_str(&self.held[..certain]);
        self.held.drain(..certain);
    }
}
