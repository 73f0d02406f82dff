//! Byte-level BPE: words spelled in the byte alphabet, whose pieces merge by the ranks in the file.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_gguf::{Gguf, Strings};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::merge::Merger;
use super::pre::PreTokenizer;
use super::vocabulary::{Index, Vocabulary};
use super::{Encoding, TokenizerError, bytes};

/// The pre-tokenizer of files that name none.
const DEFAULT: &str = "default";

/// Pre-tokenizer and merges of a file.
pub struct ByteLevel<'a> {
    pre: &'static PreTokenizer,
    /// `left right` to rank.
    ranks: Index<'a>,
}

impl<'a> ByteLevel<'a> {
    /// Reads `tokenizer.ggml.pre` and `tokenizer.ggml.merges`.
    pub fn new(file: &Gguf<'a>) -> Result<Self, TokenizerError> {
        let name = file.get("tokenizer.ggml.pre")?.unwrap_or(DEFAULT);
        let unknown = || TokenizerError::PreTokenizer(name.chars().take(80).collect());
        let pre = PreTokenizer::from_name(name).ok_or_else(unknown)?;
        let merges: Strings = file.required("tokenizer.ggml.merges")?;
        let mut ranks = Index::with_capacity(merges.len());
        for (merge, rank) in merges.zip(0..) {
            ranks.insert(merge, rank);
        }
        Ok(Self { pre, ranks })
    }

    /// Whether prompts begin with the begin token when the file does not say.
    pub const fn adds_begin(&self) -> bool {
        self.pre.adds_begin
    }

    /// Appends the ids of `text`, which has no special tokens.
    pub fn encode(&self, text: &str, vocabulary: &Vocabulary<'_>, encoding: &mut Encoding) {
        let composed = match self.pre.composes && !is_nfc(text) {
            true => Cow::Owned(text.nfc().collect()),
            false => Cow::Borrowed(text),
        };
        let mut merger = Merger::default();
        let mut spelled = String::new();
        for word in self.pre.words(&composed) {
            spelled.clear();
            spelled.extend(word.bytes().map(bytes::to_char));
            match vocabulary.id(spelled.as_bytes()).filter(|_| self.pre.takes_whole_words) {
                Some(id) => encoding.ids.push(id),
                None => self.encode_word(&spelled, &mut merger, vocabulary, encoding),
            }
        }
    }

    fn encode_word(
        &self,
        spelled: &str,
        merger: &mut Merger,
        vocabulary: &Vocabulary<'_>,
        encoding: &mut Encoding,
    ) {
        let mut pair = Vec::new();
        let rank = |left: &str, right: &str| {
            if !self.ranks.can_hold(left.len() + 1 + right.len()) {
                return None;
            }
            pair.clear();
            pair.extend_from_slice(left.as_bytes());
            pair.push(b' ');
            pair.extend_from_slice(right.as_bytes());
            self.ranks.get(&pair)
        };
        merger.merge(spelled, rank, |piece| {
            if let Some(id) = vocabulary.id(piece.as_bytes()) {
                encoding.ids.push(id);
                return;
            }
            // A merge whose result is no token falls back to its bytes.
            let mut spelling = [0; 4];
            for character in piece.chars() {
                match vocabulary.id(character.encode_utf8(&mut spelling).as_bytes()) {
                    Some(id) => encoding.ids.push(id),
                    None => encoding.left_out += 1,
                }
            }
        });
    }
}

/// Appends the bytes that `token` spells in the byte alphabet; other characters and bytes stand for themselves.
pub fn decode(token: &[u8], text: &mut Vec<u8>) {
    for chunk in token.utf8_chunks() {
        for character in chunk.valid().chars() {
            match bytes::to_byte(character) {
                Some(byte) => text.push(byte),
                None => text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        text.extend_from_slice(chunk.invalid());
    }
}
