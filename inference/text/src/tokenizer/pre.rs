//! Pre-tokenizers: the cut of text into words, before byte pairs merge inside each word.
//!
//! Vocabularies publish these as regular expressions, applied one after the other, each inside the pieces that
//! the one before has left. Each expression is a [`Stage`] here, with the same preference among alternatives.

mod classes;
mod deepseek;
mod stages;

use stages::Stage;

/// Most stages that a pre-tokenizer has.
const MAX_STAGES: usize = 6;

/// A pre-tokenizer that this engine knows.
#[derive(Debug)]
pub struct PreTokenizer {
    /// Values of `tokenizer.ggml.pre` that mean it.
    names: &'static [&'static str],
    stages: &'static [Stage],
    /// Whether a word that is a token is that token, whatever the merges say.
    pub takes_whole_words: bool,
    /// Whether prompts begin with the begin token when the file does not say.
    pub adds_begin: bool,
    /// Whether text is composed first (Unicode's normalization form C), as the models' `tokenizer.json` says.
    pub composes: bool,
}

/// A pre-tokenizer whose words merge, without begin token.
const fn plain(names: &'static [&'static str], stages: &'static [Stage]) -> PreTokenizer {
    assert!(!stages.is_empty() && stages.len() <= MAX_STAGES);
    PreTokenizer { names, stages, takes_whole_words: false, adds_begin: false, composes: false }
}

/// As [`plain`], of composed text.
const fn composed(names: &'static [&'static str], stages: &'static [Stage]) -> PreTokenizer {
    PreTokenizer { composes: true, ..plain(names, stages) }
}

static PRE_TOKENIZERS: [PreTokenizer; 11] = [
    plain(&["default"], &[stages::punctuation_runs, stages::gpt2, stages::number_runs, stages::three_digits]),
    plain(&["gpt-2", "phi-2"], &[stages::gpt2]),
    composed(&["mpt", "gpt-neox", "olmo"], &[stages::gpt2]),
    plain(&["smollm", "starcoder", "refact", "codeshell"], &[stages::numbers, stages::gpt2]),
    composed(&["command-r"], &[stages::numbers, stages::gpt2]),
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"],
        stages: &[stages::llama3],
        takes_whole_words: true,
        adds_begin: true,
        composes: false,
    },
    composed(&["qwen2", "stablelm2"], &[stages::qwen2]),
    plain(&["deepseek-r1-qwen"], &[stages::qwen2]),
    plain(
        &["deepseek-llm"],
        &[
            stages::line_breaks,
            stages::listed_letters,
            stages::listed_punctuation,
            stages::trailing_space,
            stages::ideographs,
            stages::number_runs,
        ],
    ),
    plain(
        &["deepseek-coder"],
        &[stages::line_breaks, stages::letters, stages::punctuation, stages::ideographs, stages::numbers],
    ),
    plain(&["falcon"], &[stages::punctuation_and_accent_runs, stages::gpt2, stages::three_digits]),
];

impl PreTokenizer {
    /// All names that [`Self::from_name`] accepts.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PRE_TOKENIZERS.iter().flat_map(|pre| pre.names).copied()
    }

    /// The pre-tokenizer of this name.
    pub fn from_name(name: &str) -> Option<&'static Self> {
        PRE_TOKENIZERS.iter().find(|pre| pre.names.contains(&name))
    }

    /// Cuts `text` into words; joined they are `text` again.
    pub fn words<'t>(&self, text: &'t str) -> Words<'t> {
        Words { stages: self.stages, text, rests: [""; MAX_STAGES] }
    }
}

/// Iterator of [`PreTokenizer::words`].
pub struct Words<'t> {
    stages: &'static [Stage],
    /// Text that the first stage has not had yet.
    text: &'t str,
    /// For each stage the uncut rest of the piece it was given.
    rests: [&'t str; MAX_STAGES],
}

impl<'t> Words<'t> {
    /// The next piece that `stage` makes.
    fn piece(&mut self, stage: usize) -> Option<&'t str> {
        if self.rests[stage].is_empty() {
            self.rests[stage] = match stage.checked_sub(1) {
                Some(before) => self.piece(before)?,
                None => core::mem::take(&mut self.text),
            };
        }
        let text = self.rests[stage];
        if text.is_empty() {
            return None;
        }
        let (piece, rest) = text.split_at((self.stages[stage])(text));
        self.rests[stage] = rest;
        Some(piece)
    }
}

impl<'t> Iterator for Words<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        self.piece(self.stages.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::PreTokenizer;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn words<'t>(name: &str, text: &'t str) -> Vec<&'t str> {
        let words: Vec<&str> = PreTokenizer::from_name(name).unwrap().words(text).collect();
        assert_eq!(words.concat(), text);
        words
    }

    #[test]
    fn gpt2_keeps_one_space_with_the_next_word() {
        assert_eq!(words("gpt-2", "hello   world"), ["hello", "  ", " world"]);
        assert_eq!(words("gpt-2", "a 12 b\t!? \n"), ["a", " 12", " b", "\t", "!?", " \n"]);
        assert_eq!(words("gpt-2", "isn't 'sure I'M"), ["isn", "'t", " '", "sure", " I", "'", "M"]);
        assert_eq!(words("gpt-2", "\n\n x"), ["\n\n", " x"]);
        assert_eq!(words("gpt-2", ""), [""; 0]);
    }

    #[test]
    fn smollm_cuts_out_every_digit_first() {
        assert_eq!(words("smollm", "and  42, ٠x"), ["and", "  ", "4", "2", ",", " ", "٠", "x"]);
    }

    #[test]
    fn llama3_takes_three_digits_and_line_breaks() {
        assert_eq!(words("llama-bpe", "x=12345"), ["x", "=", "123", "45"]);
        assert_eq!(words("llama-bpe", "don'T (hi)\n\n  y"), ["don", "'T", " (", "hi", ")\n\n", " ", " y"]);
        assert_eq!(words("llama-bpe", " \n \n  z\t.a"), [" \n \n", " ", " z", "\t", ".a"]);
        assert_eq!(words("qwen2", " 12"), [" ", "1", "2"]);
    }

    #[test]
    fn falcon_cuts_out_punctuation_and_three_digits() {
        assert_eq!(words("falcon", "a ($12345)!"), ["a", " ", "($", "123", "45", ")!"]);
        assert_eq!(words("falcon", "x `y` z"), ["x", " ", "`", "y", "`", " z"]);
        assert_eq!(words("default", "x `y` 1234"), ["x", " `", "y", "`", " ", "123", "4"]);
    }

    #[test]
    fn deepseek_takes_any_white_space_with_a_word() {
        assert_eq!(words("deepseek-coder", "a\tb \n c 12"), ["a", "\tb", " ", "\n", " c", " ", "1", "2"]);
        assert_eq!(words("deepseek-coder", "x  (y)!"), ["x", " ", " (", "y", ")!"]);
        assert_eq!(words("deepseek-llm", "Aא 12　你好  "), ["A", "א ", "12", "　", "你好", "  "]);
    }

    proptest! {
        #[test]
        fn words_are_the_text_in_pieces(text in any::<String>(), spaced in "[ \\n\\t0-9a-zA-Z'.,!一-三]{0,40}") {
            for name in PreTokenizer::names() {
                for text in [&text, &spaced] {
                    prop_assert!(words(name, text).iter().all(|word| !word.is_empty()), "{}", name);
                }
            }
        }
    }
}
