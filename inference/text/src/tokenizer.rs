//! Text to token ids and back, over the vocabulary of a GGUF file: byte-level BPE or SentencePiece.
//!
//! Owns everything about `tokenizer.ggml.*`. The vocabulary's texts stay in the file; loading builds one index of the
//! tokens and one of the merges. Knows nothing of models or prompts.

mod byte_level;
mod bytes;
mod error;
pub mod keys;
mod marks;
mod merge;
mod pre;
mod reader;
mod sentence_piece;
mod special;
mod stream;
mod vocabulary;

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use embodios_gguf::{Gguf, Scalars};

use byte_level::ByteLevel;
pub use error::TokenizerError;
pub use reader::TokenReader;
use sentence_piece::SentencePiece;
use special::{Part, Specials};
pub use stream::TextStream;
use vocabulary::{Kind, Vocabulary, spelled_byte};

/// Keys that name further tokens at which an answer ends.
const OTHER_ENDS: [&str; 5] = [
    "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.eom_token_id",
    "tokenizer.ggml.fim_pad_token_id",
    "tokenizer.ggml.fim_rep_token_id",
    "tokenizer.ggml.fim_sep_token_id",
];

/// Names in templates of tokens that only they need, and the keys that name these.
const OTHER_MARKS: [(&str, &str); 5] = [
    ("unk_token", "tokenizer.ggml.unknown_token_id"),
    ("sep_token", "tokenizer.ggml.seperator_token_id"),
    ("pad_token", "tokenizer.ggml.padding_token_id"),
    ("cls_token", "tokenizer.ggml.cls_token_id"),
    ("mask_token", "tokenizer.ggml.mask_token_id"),
];

/// Special tokens of Phi-3 that leave the white space behind them.
const KEEPS_SPACE: [&str; 3] = ["<unk>", "<s>", "<|endoftext|>"];

/// Whether `file` is of the Phi-3 family by its name: files do not say which of their tokens take the white space
/// behind them, and only there some do (llama.cpp goes by the name, too).
fn is_phi3(file: &Gguf<'_>) -> bool {
    let name = file.get::<&str>("general.name").ok().flatten().unwrap_or_default().to_lowercase();
    name.contains("phi-3") || name.contains("phi3")
}

/// Reading of special tokens' texts inside a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseSpecial {
    /// They mean those tokens: for text this program wrote.
    Yes,
    /// They are plain text: for text that came from outside.
    No,
}

/// Result of encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Bytes of the text that the vocabulary has no token for; they are left out.
    pub left_out: usize,
}

/// Method that turns text between special tokens into ids.
enum Method<'a> {
    ByteLevel(ByteLevel<'a>),
    SentencePiece(SentencePiece),
}

/// The tokenizer of one model file.
pub struct Tokenizer<'a> {
    vocabulary: Vocabulary<'a>,
    method: Method<'a>,
    specials: Specials<'a>,
    /// The tokens that templates know by a name, with it.
    marks: Vec<(&'static str, u32)>,
    begin: Option<u32>,
    /// Whether white space behind a special token is a part of it, but behind those of [`KEEPS_SPACE`].
    strips_space: bool,
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
        let vocabulary = Vocabulary::new(file)?;
        // Where the file does not say: whether a begin token is added, which it is, and which ends.
        let (method, adds_begin, default_begin, default_end) = match model {
            "gpt2" => {
                let method = ByteLevel::new(file)?;
                let adds_begin = method.adds_begin();
                (Method::ByteLevel(method), adds_begin, None, None)
            }
            "llama" => {
                let method = SentencePiece::new(file, &vocabulary)?;
                (Method::SentencePiece(method), true, Some(1), Some(2))
            }
            other => return Err(TokenizerError::Model(other.chars().take(80).collect())),
        };
        keys::check(file)?;
        let begin = vocabulary.named(file, "tokenizer.ggml.bos_token_id", default_begin)?;
        let adds_begin = file.get("tokenizer.ggml.add_bos_token")?.unwrap_or(adds_begin);
        if adds_begin && begin.is_none() {
            return Err(TokenizerError::NoBeginToken);
        }
        let mut ends = vocabulary.ends().to_vec();
        let end = vocabulary.named(file, "tokenizer.ggml.eos_token_id", default_end)?;
        ends.extend(end);
        for key in OTHER_ENDS {
            ends.extend(vocabulary.named(file, key, None)?);
        }
        let key = "tokenizer.ggml.eos_token_ids";
        for id in file.get::<Scalars<i32>>(key)?.iter().flat_map(Scalars::iter) {
            let id = id.cast_unsigned();
            if vocabulary.get(id).is_none() {
                return Err(TokenizerError::TokenId { key, id, tokens: vocabulary.len() });
            }
            ends.push(id);
        }
        ends.sort_unstable();
        ends.dedup();
        let specials = Specials::new(vocabulary.iter().filter_map(|(text, kind, id)| match kind {
            Kind::Unknown | Kind::Control => Some((text, id, ParseSpecial::Yes)),
            Kind::UserDefined => Some((text, id, ParseSpecial::No)),
            Kind::Text | Kind::Byte => None,
        }));
        let mut marks = Vec::new();
        marks.extend(begin.map(|id| ("bos_token", id)));
        marks.extend(end.map(|id| ("eos_token", id)));
        for (name, key) in OTHER_MARKS {
            // Some files name one past their vocabulary, for which there is no text.
            marks.extend(file.get::<u32>(key)?.map(|id| (name, id)));
        }
        let strips_space = matches!(method, Method::SentencePiece(_)) && is_phi3(file);
        let begin = begin.filter(|_| adds_begin);
        Ok(Self { vocabulary, method, specials, marks, begin, strips_space, ends })
    }

    /// Number of tokens.
    #[must_use]
    pub const fn vocabulary_size(&self) -> usize {
        self.vocabulary.len()
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

    /// The texts of the tokens that templates know by a name (`bos_token` and the like), with it.
    pub fn marks(&self) -> impl Iterator<Item = (&'static str, &'a str)> {
        self.marks.iter().filter_map(|&(name, id)| {
            let (text, _) = self.vocabulary.get(id)?;
            Some((name, core::str::from_utf8(text).ok()?))
        })
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

    /// Takes the begin token out of a prompt that had one already.
    pub fn begin_once(&self, prompt: &mut Encoding) {
        if self.begin().is_some() && prompt.ids.get(1).copied() == self.begin() {
            prompt.ids.remove(0);
        }
    }

    /// Appends the ids of `text` to `encoding`, which it continues.
    pub fn encode(&self, text: &str, special: ParseSpecial, encoding: &mut Encoding) {
        let all = 0..text.len();
        match special {
            ParseSpecial::Yes => self.encode_mixed(text, &[], encoding),
            ParseSpecial::No => self.encode_mixed(text, core::slice::from_ref(&all), encoding),
        }
    }

    /// As [`Self::encode`], where the bytes in `outside`, ranges in order, came from outside: no control token
    /// is found where they have a part in it.
    pub fn encode_mixed(&self, text: &str, outside: &[Range<usize>], encoding: &mut Encoding) {
        let mut strips = false;
        for mut part in self.specials.split(text, outside) {
            if let Part::Text(range) = &mut part
                && core::mem::take(&mut strips)
            {
                range.start = range.end - text[range.clone()].trim_start().len();
            }
            match (part, &self.method) {
                (Part::Token(id), _) => {
                    encoding.ids.push(id);
                    strips = self.strips_space && !self.keeps_space(id);
                }
                (Part::Text(range), _) if range.is_empty() => {}
                (Part::Text(range), Method::ByteLevel(method)) => {
                    method.encode(&text[range], &self.vocabulary, encoding);
                }
                (Part::Text(range), Method::SentencePiece(method)) => {
                    let last = encoding.ids.last().and_then(|&id| self.vocabulary.get(id));
                    let first = last.is_none_or(|(_, kind)| kind.is_special());
                    method.encode(&text[range], first, &self.vocabulary, encoding);
                }
            }
        }
    }

    /// Whether white space behind special token `id` is text in a file where it is not as a rule.
    fn keeps_space(&self, id: u32) -> bool {
        let text = self.vocabulary.get(id).map(|(text, _)| text);
        KEEPS_SPACE.iter().any(|keeps| text == Some(keeps.as_bytes()))
    }

    /// Appends the bytes that token `id` stands for to `text`; they may be part of a character, see
    /// [`TextStream`]. Control tokens stand for nothing, and so does an id past the vocabulary.
    pub fn decode(&self, id: u32, text: &mut Vec<u8>) {
        let Some((token, kind)) = self.vocabulary.get(id) else { return };
        match (kind, &self.method) {
            (Kind::Unknown | Kind::Control, _) => {}
            (Kind::UserDefined, _) => text.extend_from_slice(token),
            (Kind::Byte, _) => match spelled_byte(token) {
                Some(byte) => text.push(byte),
                None => text.extend_from_slice(token),
            },
            (Kind::Text, Method::ByteLevel(_)) => byte_level::decode(token, text),
            (Kind::Text, Method::SentencePiece(_)) => sentence_piece::decode(token, text),
        }
    }

    /// Appends the bytes that token `id` is shown by to `text`: those of [`Self::decode`], or a control token's name.
    pub fn show(&self, id: u32, text: &mut Vec<u8>) {
        match self.vocabulary.get(id) {
            Some((name, Kind::Unknown | Kind::Control)) => text.extend_from_slice(name),
            _ => self.decode(id, text),
        }
    }

    /// All of `ids` as text, without the space that encoding may have put in front.
    #[must_use]
    pub fn text(&self, ids: &[u32]) -> String {
        self.joined(ids, Self::decode)
    }

    /// As [`Self::text`], with the names of control tokens.
    #[must_use]
    pub fn shown(&self, ids: &[u32]) -> String {
        self.joined(ids, Self::show)
    }

    fn joined(&self, ids: &[u32], append: fn(&Self, u32, &mut Vec<u8>)) -> String {
        let mut bytes = Vec::new();
        for &id in ids {
            append(self, id, &mut bytes);
        }
        let prefix: &[u8] = match &self.method {
            Method::SentencePiece(method) if method.space_prefix() => b" ",
            _ => b"",
        };
        let text = bytes.strip_prefix(prefix).unwrap_or(&bytes);
        String::from_utf8_lossy(text).into_owned()
    }
}
