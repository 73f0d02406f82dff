//! SentencePiece's BPE: spaces written as `▁`, characters of the whole text merging into the token of best
//! score, bytes for what has no token.
//!
//! Kudo and Richardson, "SentencePiece: A simple and language independent subword tokenizer" (2018).

use alloc::string::String;
use alloc::vec::Vec;

use embodios_gguf::{Gguf, Scalars};

use super::merge::Merger;
use super::vocabulary::Vocabulary;
use super::{Encoding, TokenizerError};

/// Stands for a space in tokens.
const SPACE: &str = "▁";

/// Data of the file beside its tokens.
pub struct SentencePiece {
    /// The order in which pairs merge into a token, lowest first, by its id.
    ranks: Vec<u32>,
    space_prefix: bool,
}

impl SentencePiece {
    /// Reads `tokenizer.ggml.scores` and `tokenizer.ggml.add_space_prefix`.
    pub fn new(file: &Gguf<'_>, vocabulary: &Vocabulary<'_>) -> Result<Self, TokenizerError> {
        let key = "tokenizer.ggml.scores";
        let scores: Scalars<f32> = file.required(key)?;
        if scores.len() != vocabulary.len() {
            return Err(TokenizerError::Count { key, entries: scores.len(), tokens: vocabulary.len() });
        }
        let space_prefix = file.get("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
        Ok(Self { ranks: scores.iter().map(rank).collect(), space_prefix })
    }

    /// Whether a space is put in front of text that follows a special token, or nothing.
    pub const fn space_prefix(&self) -> bool {
        self.space_prefix
    }

    /// Appends the ids of `text`, which has no special tokens; `first` when it follows a special token, or
    /// nothing.
    pub fn encode(&self, text: &str, first: bool, vocabulary: &Vocabulary<'_>, encoding: &mut Encoding) {
        let mut escaped = String::with_capacity(text.len() + SPACE.len());
        if first && self.space_prefix {
            escaped.push_str(SPACE);
        }
        for (index, piece) in text.split(' ').enumerate() {
            if index > 0 {
                escaped.push_str(SPACE);
            }
            escaped.push_str(piece);
        }
        let rank = |pair: &str| vocabulary.id(pair.as_bytes()).map(|id| self.ranks[id as usize]);
        Merger::default().merge_pairs(&escaped, rank, |piece| {
            if let Some(id) = vocabulary.id(piece.as_bytes()) {
                encoding.ids.push(id);
                return;
            }
            for byte in piece.bytes() {
                match vocabulary.byte(byte) {
                    Some(id) => encoding.ids.push(id),
                    None => encoding.left_out += 1,
                }
            }
        });
    }
}

/// Ascending where scores descend, equal where they are equal.
fn rank(score: f32) -> u32 {
    // Makes -0 into 0.
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    !ascending
}

/// Appends the text that `token` stands for.
pub fn decode(token: &[u8], text: &mut Vec<u8>) {
    let mut rest = token;
    while let Some((&first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(SPACE.as_bytes()) {
            text.push(b' ');
            rest = after;
        } else {
            text.push(first);
            rest = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_scores_come_first() {
        let scores = [f32::INFINITY, 3.5, 1e-20, 0.0, -1e-20, -2.0, -1e9];
        assert!(scores.windows(2).all(|pair| rank(pair[0]) < rank(pair[1])));
        assert_eq!(rank(0.0), rank(-0.0));
    }

    #[test]
    fn spaces_come_back() {
        let mut text = Vec::new();
        decode("▁a▁▁b▂".as_bytes(), &mut text);
        assert_eq!(text, " a  b▂".as_bytes());
    }
}
