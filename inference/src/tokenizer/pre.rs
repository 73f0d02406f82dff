//! Pre-tokenizers: where text is cut into words before byte pairs merge inside each word.
//!
//! Vocabularies publish these as regular expressions; each is a scanner here, with the same
//! preference among alternatives.

use core::str::Chars;
use unicode_general_category::{GeneralCategory, get_general_category};

/// A pre-tokenizer that this engine knows, named as in `tokenizer.ggml.pre`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreTokenizer {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    Gpt2,
    /// Every `\p{N}` is a word; what lies between is cut as in [`Self::Gpt2`].
    SmolLm,
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|`
    /// `\s*[\r\n]+|\s+(?!\S)|\s+`
    Llama3,
    /// As [`Self::Llama3`], with `\p{N}` in place of `\p{N}{1,3}`.
    Qwen2,
}

impl PreTokenizer {
    /// Names that [`Self::from_name`] accepts, for error messages.
    pub const NAMES: &'static str = "smollm, gpt-2, llama-bpe, qwen2";

    /// The pre-tokenizer of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "smollm" => Some(Self::SmolLm),
            "gpt-2" => Some(Self::Gpt2),
            "llama-bpe" => Some(Self::Llama3),
            "qwen2" => Some(Self::Qwen2),
            _ => None,
        }
    }

    /// Whether a word that is a token is that token, whatever the merges say.
    pub fn takes_whole_words(self) -> bool {
        self == Self::Llama3
    }

    /// Cuts `text` into words; joined they are `text` again.
    pub fn words(self, text: &str) -> Words<'_> {
        Words { pre: self, fragment: "", rest: text }
    }
}

/// Iterator of [`PreTokenizer::words`].
pub struct Words<'t> {
    pre: PreTokenizer,
    /// Text that is scanned as if nothing followed it.
    fragment: &'t str,
    rest: &'t str,
}

impl<'t> Words<'t> {
    /// Moves the next fragment out of `rest`. Only [`PreTokenizer::SmolLm`] has more than one.
    fn next_fragment(&mut self) {
        let length = match self.pre {
            PreTokenizer::SmolLm => match self.rest.chars().next() {
                Some(first) if is(Class::Number)(first) => first.len_utf8(),
                _ => self.rest.find(is(Class::Number)).unwrap_or(self.rest.len()),
            },
            _ => self.rest.len(),
        };
        (self.fragment, self.rest) = self.rest.split_at(length);
    }
}

impl<'t> Iterator for Words<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        if self.fragment.is_empty() {
            self.next_fragment();
        }
        let first = self.fragment.chars().next()?;
        let length = match self.pre {
            PreTokenizer::Gpt2 | PreTokenizer::SmolLm => gpt2_word(self.fragment, first),
            PreTokenizer::Llama3 => llama3_word(self.fragment, first, 3),
            PreTokenizer::Qwen2 => llama3_word(self.fragment, first, 1),
        };
        let (word, fragment) = self.fragment.split_at(length);
        self.fragment = fragment;
        Some(word)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Number,
    Space,
    Other,
}

fn class(character: char) -> Class {
    use GeneralCategory as G;
    if character.is_ascii() {
        return match character {
            'a'..='z' | 'A'..='Z' => Class::Letter,
            '0'..='9' => Class::Number,
            '\t'..='\r' | ' ' => Class::Space,
            _ => Class::Other,
        };
    }
    if character.is_whitespace() {
        return Class::Space;
    }
    match get_general_category(character) {
        G::UppercaseLetter | G::LowercaseLetter | G::TitlecaseLetter | G::ModifierLetter | G::OtherLetter => {
            Class::Letter
        }
        G::DecimalNumber | G::LetterNumber | G::OtherNumber => Class::Number,
        _ => Class::Other,
    }
}

fn is(wanted: Class) -> impl Fn(char) -> bool {
    move |character| class(character) == wanted
}

/// Bytes of the longest prefix of `text` whose characters all satisfy `belongs`.
fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|character| !belongs(character)).unwrap_or(text.len())
}

/// Bytes of the contraction that `text` begins with, or 0.
fn contraction(text: &str, any_case: bool) -> usize {
    let bytes = text.as_bytes();
    ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"]
        .iter()
        .find(|suffix| {
            bytes.get(..suffix.len()).is_some_and(|start| {
                start == suffix.as_bytes() || any_case && start.eq_ignore_ascii_case(suffix.as_bytes())
            })
        })
        .map_or(0, |suffix| suffix.len())
}

/// Bytes of `\s+(?!\S)|\s+` at the start of `text`: white space, without its last character when a
/// word follows that could take it.
fn space(text: &str) -> usize {
    let length = run(text, is(Class::Space));
    let last = text[..length].chars().next_back().map_or(0, char::len_utf8);
    if length < text.len() && length > last { length - last } else { length }
}

/// The characters of `text` after its first.
fn after_first(text: &str) -> Chars<'_> {
    let mut chars = text.chars();
    chars.next();
    chars
}

/// Bytes of the first word of `text`, which begins with `first`.
fn gpt2_word(text: &str, first: char) -> usize {
    let contraction = contraction(text, false);
    if contraction > 0 {
        return contraction;
    }
    let body = if first == ' ' { after_first(text).as_str() } else { text };
    match body.chars().next().map(class) {
        None | Some(Class::Space) => space(text),
        Some(class) => text.len() - body.len() + run(body, is(class)),
    }
}

/// Bytes of the first word of `text`, which begins with `first`; numbers have up to `digits` characters.
fn llama3_word(text: &str, first: char, digits: usize) -> usize {
    let contraction = contraction(text, true);
    if contraction > 0 {
        return contraction;
    }
    let letters_after = run(after_first(text).as_str(), is(Class::Letter));
    match class(first) {
        Class::Letter => return first.len_utf8() + letters_after,
        Class::Number => {
            return text
                .chars()
                .take_while(|&c| class(c) == Class::Number)
                .take(digits)
                .map(char::len_utf8)
                .sum();
        }
        Class::Space | Class::Other if letters_after > 0 && !matches!(first, '\r' | '\n') => {
            return first.len_utf8() + letters_after;
        }
        Class::Space | Class::Other => {}
    }
    let lead = usize::from(first == ' ');
    let others = run(&text[lead..], is(Class::Other));
    if others > 0 {
        let end = lead + others;
        return end + run(&text[end..], |c| matches!(c, '\r' | '\n'));
    }
    let blank = &text[..run(text, is(Class::Space))];
    match blank.rfind(['\r', '\n']) {
        Some(last_break) => last_break + 1,
        None => space(text),
    }
}

#[cfg(test)]
mod tests {
    use super::PreTokenizer::{self, Gpt2, Llama3, Qwen2, SmolLm};
    use alloc::vec::Vec;

    fn words(pre: PreTokenizer, text: &str) -> Vec<&str> {
        let words: Vec<&str> = pre.words(text).collect();
        assert_eq!(words.concat(), text);
        words
    }

    #[test]
    fn gpt2_keeps_one_space_with_the_next_word() {
        assert_eq!(words(Gpt2, "hello   world"), ["hello", "  ", " world"]);
        assert_eq!(words(Gpt2, "a 12 b\t!? \n"), ["a", " 12", " b", "\t", "!?", " \n"]);
        assert_eq!(words(Gpt2, "isn't 'sure I'M"), ["isn", "'t", " '", "sure", " I", "'", "M"]);
        assert_eq!(words(Gpt2, "\n\n x"), ["\n\n", " x"]);
        assert_eq!(words(Gpt2, ""), [""; 0]);
    }

    #[test]
    fn smollm_cuts_out_every_digit_first() {
        assert_eq!(words(SmolLm, "and  42, ٠x"), ["and", "  ", "4", "2", ",", " ", "٠", "x"]);
    }

    #[test]
    fn llama3_takes_three_digits_and_line_breaks() {
        assert_eq!(words(Llama3, "x=12345"), ["x", "=", "123", "45"]);
        assert_eq!(words(Llama3, "don'T (hi)\n\n  y"), ["don", "'T", " (", "hi", ")\n\n", " ", " y"]);
        assert_eq!(words(Llama3, " \n \n  z\t.a"), [" \n \n", " ", " z", "\t", ".a"]);
        assert_eq!(words(Qwen2, " 12"), [" ", "1", "2"]);
    }
}
