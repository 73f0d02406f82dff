//! The tokens of a file: their texts, their kinds, and the way back from a text to a token.

use alloc::vec::Vec;

use embodios_gguf::{Gguf, Scalars, Strings};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::TokenizerError;
use super::marks::Marks;

/// Kind of a token (`tokenizer.ggml.token_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Something that has no token.
    Unknown,
    /// A mark of the model's format.
    Control,
    /// Text that is a token wherever it stands, before anything is merged.
    UserDefined,
    /// One byte, written `<0xFF>`.
    Byte,
}

impl Kind {
    const fn from_number(number: i32) -> Self {
        match number {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            6 => Self::Byte,
            // 1 is normal, 5 unused, 0 undefined.
            _ => Self::Text,
        }
    }

    /// Whether it is found in a text before anything is merged.
    pub const fn is_special(self) -> bool {
        matches!(self, Self::Unknown | Self::Control | Self::UserDefined)
    }
}

/// Text of the file to a number.
pub struct Index<'a> {
    numbers: HashMap<&'a [u8], u32, FixedState>,
    /// Bytes of the longest text.
    longest: usize,
}

impl<'a> Index<'a> {
    /// An index of up to `capacity` texts. A fixed seed: the same file always behaves the same.
    pub fn with_capacity(capacity: usize) -> Self {
        let numbers = HashMap::with_capacity_and_hasher(capacity, FixedState::with_seed(0));
        Self { numbers, longest: 0 }
    }

    /// Adds `text` unless it is there.
    pub fn insert(&mut self, text: &'a [u8], number: u32) {
        self.longest = self.longest.max(text.len());
        self.numbers.entry(text).or_insert(number);
    }

    /// The number of `text`.
    pub fn get(&self, text: &[u8]) -> Option<u32> {
        if self.can_hold(text.len()) { self.numbers.get(text).copied() } else { None }
    }

    /// Whether any text is of this length or longer.
    pub const fn can_hold(&self, length: usize) -> bool {
        length <= self.longest
    }
}

/// The tokens.
pub struct Vocabulary<'a> {
    texts: Vec<&'a [u8]>,
    kinds: Vec<Kind>,
    /// Of the tokens that text may become: without the control tokens, so that no text can forge one.
    ids: Index<'a>,
    /// The token of each byte, where there is one of [`Kind::Byte`].
    bytes: [Option<u32>; 256],
    /// The tokens that end an answer by their texts.
    ends: Vec<u32>,
}

impl<'a> Vocabulary<'a> {
    /// Reads `tokenizer.ggml.tokens` and `tokenizer.ggml.token_type`.
    pub fn new(file: &Gguf<'a>) -> Result<Self, TokenizerError> {
        let texts: Vec<&[u8]> = file.required::<Strings>("tokenizer.ggml.tokens")?.collect();
        if texts.is_empty() || u32::try_from(texts.len()).is_err() {
            return Err(TokenizerError::VocabularySize(texts.len()));
        }
        let key = "tokenizer.ggml.token_type";
        let mut kinds: Vec<Kind> = match file.get::<Scalars<i32>>(key)? {
            Some(types) if types.len() != texts.len() => {
                return Err(TokenizerError::Count { key, entries: types.len(), tokens: texts.len() });
            }
            Some(types) => types.iter().map(Kind::from_number).collect(),
            None => texts.iter().map(|_| Kind::Text).collect(),
        };
        let marks = Marks::of(&texts);
        let mut ids = Index::with_capacity(texts.len());
        let mut bytes = [None; 256];
        let mut ends = Vec::new();
        for ((&text, kind), id) in texts.iter().zip(&mut kinds).zip(0..) {
            if marks.is_end(text) {
                ends.push(id);
            }
            // Some files call these plain text, which would let any text forge them.
            *kind = marks.kind(text).unwrap_or(*kind);
            match kind {
                Kind::Unknown | Kind::Control => {}
                Kind::Text | Kind::UserDefined => ids.insert(text, id),
                Kind::Byte => {
                    if let Some(byte) = spelled_byte(text) {
                        bytes[usize::from(byte)].get_or_insert(id);
                    }
                }
            }
        }
        Ok(Self { texts, kinds, ids, bytes, ends })
    }

    /// Number of tokens.
    pub const fn len(&self) -> usize {
        self.texts.len()
    }

    /// All tokens: text, kind, id.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Kind, u32)> {
        self.texts.iter().zip(&self.kinds).zip(0..).map(|((&text, &kind), id)| (text, kind, id))
    }

    /// Text and kind of token `id`.
    pub fn get(&self, id: u32) -> Option<(&'a [u8], Kind)> {
        let index = id as usize;
        Some((*self.texts.get(index)?, self.kinds[index]))
    }

    /// The token that `text` may become.
    pub fn id(&self, text: &[u8]) -> Option<u32> {
        self.ids.get(text)
    }

    /// The token of one byte.
    pub const fn byte(&self, byte: u8) -> Option<u32> {
        self.bytes[byte as usize]
    }

    /// The tokens that end an answer by their texts.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The id under `key`, or `default` where the file has neither the key nor, then, fewer tokens.
    pub fn named(
        &self,
        file: &Gguf<'_>,
        key: &'static str,
        default: Option<u32>,
    ) -> Result<Option<u32>, TokenizerError> {
        let exists = |id: u32| (id as usize) < self.len();
        match file.get::<u32>(key)? {
            Some(id) if exists(id) => Ok(Some(id)),
            Some(id) => Err(TokenizerError::TokenId { key, id, tokens: self.len() }),
            None => Ok(default.filter(|&id| exists(id))),
        }
    }
}

/// The byte that `<0xFF>` spells.
pub fn spelled_byte(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let [high, low] = digits else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(*high)? * 16 + digit(*low)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_spelled_in_hexadecimal() {
        assert_eq!(spelled_byte(b"<0x0A>"), Some(10));
        assert_eq!(spelled_byte(b"<0xff>"), Some(255));
        for text in ["<0x0>", "<0x000>", "0x0A", "<0xG0>", "<0x+1>", ""] {
            assert_eq!(spelled_byte(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_first_of_equal_texts_counts() {
        let mut index = Index::with_capacity(2);
        index.insert(b"ab", 7);
        index.insert(b"ab", 8);
        assert_eq!(index.get(b"ab"), Some(7));
        assert_eq!(index.get(b"abc"), None);
    }
}
