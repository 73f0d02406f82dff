//! Reasons for refusing a file's tokenizer.

use alloc::string::String;
use core::fmt;

use embodios_gguf::GgufError;

use super::pre::PreTokenizer;

/// A tokenizer that cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenizerError {
    /// A key is missing or has the wrong type.
    Gguf(GgufError),
    /// A key that may change ids and is not known.
    Key {
        /// The key.
        key: String,
        /// Whether it is known where it is `false`.
        is_set: bool,
    },
    /// `tokenizer.ggml.model` names another kind of tokenizer.
    Model(String),
    /// `tokenizer.ggml.pre` names an unknown pre-tokenizer.
    PreTokenizer(String),
    /// The vocabulary has no tokens, or more than ids can count.
    VocabularySize(usize),
    /// There is not one element for each token.
    Count {
        /// The key of the array.
        key: &'static str,
        /// Number of its elements.
        entries: usize,
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
            Self::Key { key, is_set: true } => write!(f, "{key} is not false, which is not supported"),
            Self::Key { key, is_set: false } => write!(f, "the key {key:?} is not supported"),
            Self::Model(name) => write!(
                f,
                "tokenizer.ggml.model is {name:?}; supported: \"gpt2\" (byte-level BPE), \"llama\" (SentencePiece)"
            ),
            Self::PreTokenizer(name) => {
                write!(f, "tokenizer.ggml.pre is {name:?}; supported:")?;
                PreTokenizer::names().try_for_each(|name| write!(f, " {name}"))
            }
            Self::VocabularySize(size) => write!(f, "tokenizer.ggml.tokens has {size} entries"),
            Self::Count { key, entries, tokens } => {
                write!(f, "{key} has {entries} entries for {tokens} tokens")
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
