//! Tokens that are known by their texts: those that end an answer wherever they are in a vocabulary, beside the ones
//! that the file names, and those around a gap to be filled. The lists are llama.cpp's (`llama-vocab.cpp`).

use super::vocabulary::Kind;

const END_TEXTS: [&str; 32] = [
    "</s>",
    "<EOT>",
    "<PAD>",
    "<REPO>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<eos>",
    "<fim-pad>",
    "<fim-repo>",
    "<fim_pad>",
    "<reponame>",
    "<turn|>",
    "<|calls|>",
    "<|call|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|end|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|file_sep|>",
    "<|fim_pad|>",
    "<|fim_repo|>",
    "<|flush|>",
    "<|im_end|>",
    "<|repo_name|>",
    "<|return|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[EOS]",
    "[EOT]",
    "[PAD]",
    "_<EOT>",
];

/// Tokens around a gap ("fill in the middle").
const GAP_TEXTS: [&str; 21] = [
    "<MID>",
    "<PRE>",
    "<SUF>",
    "<fim-middle>",
    "<fim-prefix>",
    "<fim-suffix>",
    "<fim_middle>",
    "<fim_prefix>",
    "<fim_suffix>",
    "<|code_middle|>",
    "<|code_prefix|>",
    "<|code_suffix|>",
    "<|fim_middle|>",
    "<|fim_prefix|>",
    "<|fim_suffix|>",
    "<|middle|>",
    "<|prefix|>",
    "<|suffix|>",
    "<｜fim▁begin｜>",
    "<｜fim▁hole｜>",
    "<｜fim▁end｜>",
];

/// Whether a text is in a list. A look at its first byte rules out most of a vocabulary.
fn is_one_of(texts: &[&str], text: &[u8]) -> bool {
    starts_like_one(text) && texts.iter().any(|known| known.as_bytes() == text)
}

const fn starts_like_one(text: &[u8]) -> bool {
    matches!(text, [b'<' | b'[' | b'_', ..])
}

/// Properties of one vocabulary, from the texts of its tokens.
pub struct Marks {
    /// Whether `<|end|>` ends a part of an answer only: where other tokens end calls and the whole.
    end_goes_on: bool,
    /// Whether `</s>` is plain text: where another token ends an answer to wait for a tool's.
    is_plain: bool,
}

impl Marks {
    /// Those of `texts`.
    pub fn of(texts: &[&[u8]]) -> Self {
        let [mut call, mut whole, mut tool] = [false; 3];
        for &text in texts {
            call |= is_one_of(&["<|call|>", "<|calls|>"], text);
            whole |= is_one_of(&["<|return|>", "<|flush|>"], text);
            tool |= text == b"<|tool_response>";
        }
        Self { end_goes_on: call && whole, is_plain: tool }
    }

    /// Whether the token of this text ends an answer.
    pub fn is_end(&self, text: &[u8]) -> bool {
        match text {
            b"<|end|>" => !self.end_goes_on,
            b"</s>" => !self.is_plain,
            _ => is_one_of(&END_TEXTS, text),
        }
    }

    /// The kind of the token of this text, whatever the file says.
    pub fn kind(&self, text: &[u8]) -> Option<Kind> {
        match text {
            b"<|end|>" if self.end_goes_on => Some(Kind::UserDefined),
            b"</s>" if self.is_plain => Some(Kind::Text),
            _ => (self.is_end(text) || is_one_of(&GAP_TEXTS, text)).then_some(Kind::Control),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_ruled_out_by_its_first_byte() {
        assert!(END_TEXTS.iter().chain(&GAP_TEXTS).all(|text| is_one_of(&[text], text.as_bytes())));
    }

    #[test]
    fn tokens_that_end_answers_depend_on_their_company() {
        let of = |texts: &[&str]| {
            Marks::of(&texts.iter().map(|text| text.as_bytes()).collect::<alloc::vec::Vec<_>>())
        };
        let plain = of(&["a", "<|end|>", "</s>"]);
        assert!(END_TEXTS.iter().all(|text| plain.is_end(text.as_bytes())));
        assert!(!plain.is_end(b"<|fim_prefix|>") && !plain.is_end(b"a") && !plain.is_end(b"[eos]"));
        assert_eq!((plain.kind(b"<|fim_prefix|>"), plain.kind(b"a")), (Some(Kind::Control), None));
        for company in [["<|call|>", "<|return|>"], ["<|calls|>", "<|flush|>"]] {
            let parts = of(&company);
            assert!(!parts.is_end(b"<|end|>") && parts.is_end(company[0].as_bytes()));
            assert_eq!(parts.kind(b"<|end|>"), Some(Kind::UserDefined));
        }
        let tools = of(&["<|tool_response>"]);
        assert!(!tools.is_end(b"</s>") && tools.is_end(b"<|tool_response>"));
        assert_eq!(tools.kind(b"</s>"), Some(Kind::Text));
    }
}
