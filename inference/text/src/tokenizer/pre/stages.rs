//! The steps that pre-tokenizers are made of. A [`Stage`] takes text that is not empty and returns the bytes of its
//! first piece: a match of the stage's expression at the start of the text, or all text up to the first match.

use core::str::Chars;

use super::classes::{Class, class, is, is_line_break, is_punctuation};

/// A step.
pub type Stage = fn(&str) -> usize;

/// Bytes of the longest prefix of `text` whose characters all satisfy `belongs`.
fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|character| !belongs(character)).unwrap_or(text.len())
}

/// `X+`, for characters that satisfy `belongs`.
fn runs(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    match run(text, &belongs) {
        0 => text.find(belongs).unwrap_or(text.len()),
        length => length,
    }
}

/// `X`.
fn singles(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    match text.chars().next().filter(|&first| belongs(first)) {
        Some(first) => first.len_utf8(),
        None => text.find(belongs).unwrap_or(text.len()),
    }
}

/// `\s?X+`.
fn spaced_runs(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    let is_space = is(Class::Space);
    let first = text.chars().next();
    let lead = first.filter(|&first| is_space(first)).map_or(0, char::len_utf8);
    match (run(&text[lead..], &belongs), run(text, &belongs)) {
        (0, 0) => {}
        (0, length) => return length,
        (length, _) => return lead + length,
    }
    let Some(at) = text.find(&belongs) else { return text.len() };
    // The white space before the match belongs to it.
    let space = text[..at].chars().next_back().filter(|&last| is_space(last));
    at - space.map_or(0, char::len_utf8)
}

/// `\p{N}`
pub fn numbers(text: &str) -> usize {
    singles(text, is(Class::Number))
}

/// `\p{N}+`
pub fn number_runs(text: &str) -> usize {
    runs(text, is(Class::Number))
}

/// `[0-9][0-9][0-9]`
pub fn three_digits(text: &str) -> usize {
    let digits = |group: &[u8]| group.iter().all(u8::is_ascii_digit);
    match text.as_bytes().windows(3).position(digits) {
        Some(0) => 3,
        Some(at) => at,
        None => text.len(),
    }
}

/// `[\r\n]`
pub fn line_breaks(text: &str) -> usize {
    singles(text, is_line_break)
}

/// `\s+$`
pub fn trailing_space(text: &str) -> usize {
    match text.trim_end_matches(is(Class::Space)).len() {
        0 => text.len(),
        length => length,
    }
}

/// `[\p{P}$+<=>^~|]+`
pub fn punctuation_runs(text: &str) -> usize {
    runs(text, |c| is_punctuation(c) || "$+<=>^~|".contains(c))
}

/// `` [\p{P}$+<=>^~|`]+ ``
pub fn punctuation_and_accent_runs(text: &str) -> usize {
    runs(text, |c| is_punctuation(c) || "$+<=>^~|`".contains(c))
}

/// `\s?\p{L}+`
pub fn letters(text: &str) -> usize {
    spaced_runs(text, is(Class::Letter))
}

/// `\s?\p{P}+`
pub fn punctuation(text: &str) -> usize {
    spaced_runs(text, is_punctuation)
}

/// `\s?X+` for the letters that DeepSeek LLM lists.
pub fn listed_letters(text: &str) -> usize {
    spaced_runs(text, super::deepseek::is_listed_letter)
}

/// `\s?[!-/:-~！-／：-～‘-‟　-。]+`
pub fn listed_punctuation(text: &str) -> usize {
    spaced_runs(
        text,
        |c| matches!(c, '!'..='/' | ':'..='~' | '！'..='／' | '：'..='～' | '‘'..='\u{201f}' | '\u{3000}'..='。'),
    )
}

/// `[一-龥ࠀ-一가-퟿]+`
pub fn ideographs(text: &str) -> usize {
    runs(text, |c| matches!(c, '\u{800}'..='龥' | '가'..='\u{d7ff}'))
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

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
pub fn gpt2(text: &str) -> usize {
    let contraction = contraction(text, false);
    if contraction > 0 {
        return contraction;
    }
    let body = if text.starts_with(' ') { after_first(text).as_str() } else { text };
    match body.chars().next().map(class) {
        None | Some(Class::Space) => space(text),
        Some(class) => text.len() - body.len() + run(body, is(class)),
    }
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|`
/// `\s*[\r\n]+|\s+(?!\S)|\s+`
pub fn llama3(text: &str) -> usize {
    llama3_with(text, 3)
}

/// As [`llama3`], with `\p{N}` in place of `\p{N}{1,3}`.
pub fn qwen2(text: &str) -> usize {
    llama3_with(text, 1)
}

/// Numbers have up to `digits` characters.
fn llama3_with(text: &str, digits: usize) -> usize {
    let contraction = contraction(text, true);
    if contraction > 0 {
        return contraction;
    }
    let Some(first) = text.chars().next() else { return 0 };
    let letters_after = run(after_first(text).as_str(), is(Class::Letter));
    match class(first) {
        Class::Letter => return first.len_utf8() + letters_after,
        Class::Number => {
            let numbers = text.chars().take_while(|&c| class(c) == Class::Number);
            return numbers.take(digits).map(char::len_utf8).sum();
        }
        Class::Space | Class::Other if letters_after > 0 && !is_line_break(first) => {
            return first.len_utf8() + letters_after;
        }
        Class::Space | Class::Other => {}
    }
    let lead = usize::from(first == ' ');
    let others = run(&text[lead..], is(Class::Other));
    if others > 0 {
        let end = lead + others;
        return end + run(&text[end..], is_line_break);
    }
    let blank = &text[..run(text, is(Class::Space))];
    match blank.rfind(is_line_break) {
        Some(last_break) => last_break + 1,
        None => space(text),
    }
}
