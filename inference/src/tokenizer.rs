//! Text to token ids and back: byte-level BPE over the vocabulary of a GGUF file.
//!
//! Owns everything about `tokenizer.ggml.*`. The vocabulary's texts stay in the file; what is built at
//! load is one index of the tokens and one of the merges. Knows nothing of models or prompts.

mod bpe;
mod bytes;
mod pre;
mod special;
mod stream;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::gguf::{Gguf, GgufError, Scalars, Strings};
use bpe::Merger;
use pre::PreTokenizer;
use special::{Part, Specials};
pub use stream::TextStream;

/// Text of the file to a number.
type Index<'a> = HashMap<&'a [u8], u32, FixedState>;

/// A fixed seed: the same file always behaves the same.
const HASH: FixedState = FixedState::with_seed(0);

/// How `tokenizer.ggml.token_type` marks tokens that stand for something other than text.
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// Texts of control tokens that end an answer wherever they are in a vocabulary, beside the token the
/// file names as its end.
const END_TEXTS: [&[u8]; 2] = [b"<|endoftext|>", b"<|im_end|>"];

/// Why a file's tokenizer cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenizerError {
    /// A key is missing or has the wrong type.
    Gguf(GgufError),
    /// `tokenizer.ggml.model` names another kind of tokenizer.
    Model(String),
    /// `tokenizer.ggml.pre` names an unknown pre-tokenizer.
    PreTokenizer(String),
    /// The vocabulary has no tokens, or more than ids can count.
    VocabularySize(usize),
    /// There is not one token type for each token.
    TypeCount {
        /// Number of types.
        types: usize,
        /// Number of tokens.
        tokens: usize,
    },
    /// A special token's id is past the end of the vocabulary.
    TokenId {
        /// The key that names the token.
        key: &'static str,
        /// The id.
        id: u32,
        /// Number of tokens.
        tokens: usize,
    },
    /// A prompt shall begin with a token that the file does not name.
    NoBeginToken,
}

impl fmt::Display for TokenizerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gguf(error) => error.fmt(f),
            Self::Model(name) => {
                write!(f, "tokenizer.ggml.model is {name:?}; supported: \"gpt2\" (byte-level BPE)")
            }
            Self::PreTokenizer(name) => {
                write!(f, "tokenizer.ggml.pre is {name:?}; supported: {}", PreTokenizer::NAMES)
            }
            Self::VocabularySize(size) => write!(f, "tokenizer.ggml.tokens has {size} entries"),
            Self::TypeCount { types, tokens } => {
                write!(f, "tokenizer.ggml.token_type has {types} entries for {tokens} tokens")
            }
            Self::TokenId { key, id, tokens } => {
                write!(f, "{key} is {id}, past the vocabulary of {tokens} tokens")
            }
            Self::NoBeginToken => {
                write!(f, "tokenizer.ggml.add_bos_token is set but tokenizer.ggml.bos_token_id is missing")
            }
        }
    }
}

impl core::error::Error for TokenizerError {}

impl From<GgufError> for TokenizerError {
    fn from(error: GgufError) -> Self {
        Self::Gguf(error)
    }
}

/// Whether the texts of special tokens inside a text mean those tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseSpecial {
    /// They do: for text this program wrote.
    Yes,
    /// They are plain text: for text that came from outside.
    No,
}

/// What encoding gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Bytes of the text that the vocabulary has no token for; they are left out.
    pub left_out: usize,
}

/// The tokenizer of one model file.
pub struct Tokenizer<'a> {
    tokens: Vec<&'a [u8]>,
    types: Option<Scalars<'a, i32>>,
    ids: Index<'a>,
    /// `left right` to rank.
    ranks: Index<'a>,
    specials: Specials<'a>,
    pre: PreTokenizer,
    begin: Option<u32>,
    /// Ascending.
    ends: Vec<u32>,
}

impl<'a> Tokenizer<'a> {
    /// Builds the tokenizer that `file` describes.
    ///
    /// # Errors
    /// [`TokenizerError`], when the description is incomplete, contradicts itself, or names something
    /// this engine does not know.
    pub fn new(file: &Gguf<'a>) -> Result<Self, TokenizerError> {
        let model: &str = file.required("tokenizer.ggml.model")?;
        if model != "gpt2" {
            return Err(TokenizerError::Model(model.into()));
        }
        let name: &str = file.required("tokenizer.ggml.pre")?;
        let pre = PreTokenizer::from_name(name).ok_or_else(|| TokenizerError::PreTokenizer(name.into()))?;

        let tokens: Vec<&[u8]> = file.required::<Strings>("tokenizer.ggml.tokens")?.collect();
        if tokens.is_empty() || u32::try_from(tokens.len()).is_err() {
            return Err(TokenizerError::VocabularySize(tokens.len()));
        }
        let types: Option<Scalars<i32>> = file.get("tokenizer.ggml.token_type")?;
        if let Some(types) = types.filter(|types| types.len() != tokens.len()) {
            return Err(TokenizerError::TypeCount { types: types.len(), tokens: tokens.len() });
        }
        let id_of = |key| match file.get::<u32>(key)? {
            Some(id) if id as usize >= tokens.len() => {
                Err(TokenizerError::TokenId { key, id, tokens: tokens.len() })
            }
            id => Ok(id),
        };
        let begin = id_of("tokenizer.ggml.bos_token_id")?;
        let end = id_of("tokenizer.ggml.eos_token_id")?;
        let end_of_turn = id_of("tokenizer.ggml.eot_token_id")?;

        let ids = index(tokens.iter().copied());
        let merges: Strings = file.required("tokenizer.ggml.merges")?;
        let ranks = index(merges);
        let specials = Specials::new(types.iter().flat_map(Scalars::iter).zip(&tokens).zip(0..).filter_map(
            |((kind, text), id)| match kind {
                UNKNOWN | CONTROL => Some((text, id, ParseSpecial::Yes)),
                USER_DEFINED => Some((text, id, ParseSpecial::No)),
                _ => None,
            },
        ));
        let mut ends: Vec<u32> = END_TEXTS.iter().filter_map(|text| specials.id(text)).collect();
        ends.extend(end.into_iter().chain(end_of_turn));
        ends.sort_unstable();
        ends.dedup();

        let add_begin = file.get("tokenizer.ggml.add_bos_token")?.unwrap_or(pre == PreTokenizer::Llama3);
        if add_begin && begin.is_none() {
            return Err(TokenizerError::NoBeginToken);
        }
        let begin = begin.filter(|_| add_begin);
        Ok(Self { tokens, types, ids, ranks, specials, pre, begin, ends })
    }

    /// Number of tokens.
    #[must_use]
    pub fn vocabulary_size(&self) -> usize {
        self.tokens.len()
    }

    /// The token that every prompt begins with, if this model wants one.
    #[must_use]
    pub const fn begin(&self) -> Option<u32> {
        self.begin
    }

    /// The tokens that end an answer, in ascending order.
    #[must_use]
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The control token with this text.
    #[must_use]
    pub fn special(&self, text: &str) -> Option<u32> {
        self.specials.id(text.as_bytes())
    }

    /// The ids of a whole prompt: [`Self::begin`], then `text`.
    #[must_use]
    pub fn prompt(&self, text: &str, special: ParseSpecial) -> Encoding {
        let mut encoding = Encoding { ids: self.begin.into_iter().collect(), left_out: 0 };
        self.encode(text, special, &mut encoding);
        encoding
    }

    /// Appends the ids of `text` to `encoding`.
    pub fn encode(&self, text: &str, special: ParseSpecial, encoding: &mut Encoding) {
        let mut merger = Merger::default();
        let mut spelled = String::new();
        for part in self.specials.split(text, special) {
            let text = match part {
                Part::Token(id) => {
                    encoding.ids.push(id);
                    continue;
                }
                Part::Text(text) => text,
            };
            for word in self.pre.words(text) {
                spelled.clear();
                spelled.extend(word.bytes().map(bytes::to_char));
                self.encode_word(&spelled, &mut merger, encoding);
            }
        }
    }

    /// Appends the ids of one word, spelled in the byte alphabet.
    fn encode_word(&self, spelled: &str, merger: &mut Merger, encoding: &mut Encoding) {
        if self.pre.takes_whole_words()
            && let Some(&id) = self.ids.get(spelled.as_bytes())
        {
            encoding.ids.push(id);
            return;
        }
        let mut pair = Vec::new();
        let rank = |left: &str, right: &str| {
            pair.clear();
            pair.extend_from_slice(left.as_bytes());
            pair.push(b' ');
            pair.extend_from_slice(right.as_bytes());
            self.ranks.get(pair.as_slice()).copied()
        };
        merger.merge(spelled, rank, |piece| {
            if let Some(&id) = self.ids.get(piece.as_bytes()) {
                encoding.ids.push(id);
                return;
            }
            // A merge whose result is no token falls back to its bytes.
            let mut spelling = [0; 4];
            for character in piece.chars() {
                match self.ids.get(character.encode_utf8(&mut spelling).as_bytes()) {
                    Some(&id) => encoding.ids.push(id),
                    None => encoding.left_out += 1,
                }
            }
        });
    }

    /// Appends the bytes that token `id` stands for to `text`; they may be part of a character, see
    /// [`TextStream`]. Control tokens stand for nothing, and so does an id past the vocabulary.
    pub fn decode(&self, id: u32, text: &mut Vec<u8>) {
        let Some(&token) = self.tokens.get(id as usize) else { return };
        match self.types.and_then(|types| types.get(id as usize)) {
            Some(UNKNOWN | CONTROL) => {}
            Some(USER_DEFINED) => text.extend_from_slice(token),
            _ => decode_spelling(token, text),
        }
    }

    /// All of `ids` as text.
    #[must_use]
    pub fn text(&self, ids: &[u32]) -> String {
        let mut bytes = Vec::new();
        for &id in ids {
            self.decode(id, &mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Numbers `texts` in their order; of equal ones the first counts.
fn index<'a>(texts: impl ExactSizeIterator<Item = &'a [u8]>) -> Index<'a> {
    let mut index = Index::with_capacity_and_hasher(texts.len(), HASH);
    for (text, number) in texts.zip(0..) {
        index.entry(text).or_insert(number);
    }
    index
}

/// Appends the bytes that `token` spells in the byte alphabet; what does not belong to the alphabet
/// stands for itself.
fn decode_spelling(token: &[u8], text: &mut Vec<u8>) {
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
