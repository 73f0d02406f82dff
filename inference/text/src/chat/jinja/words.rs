//! Changes of strings, as Python's methods and Jinja's filters have them.

use alloc::string::String;
use alloc::vec::Vec;

/// Whether Python takes `character` for white space.
pub fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\x1c'..='\x1f')
}

/// `str.capitalize`: the first letter in title case, all others small.
pub fn capitalized(text: &str) -> String {
    changed_letters(text, |before| before.is_none())
}

/// `str.title`: letters that follow one with case are small, others in title case.
pub fn titled(text: &str) -> String {
    changed_letters(text, |before| !before.is_some_and(has_case))
}

/// `text` in title case where `begins` says so by the character before, and small elsewhere.
fn changed_letters(text: &str, begins: fn(Option<char>) -> bool) -> String {
    // Of the whole text, because a sigma is another one at the end of a word.
    let small = text.to_lowercase();
    let mut small = small.chars();
    let mut changed = String::with_capacity(text.len());
    let mut before = None;
    for character in text.chars() {
        let small = small.by_ref().take(character.to_lowercase().count());
        if begins(before) {
            push_title_case(character, &mut changed);
            small.for_each(drop);
        } else {
            changed.extend(small);
        }
        before = Some(character);
    }
    changed
}

fn has_case(character: char) -> bool {
    character.is_lowercase() || character.is_uppercase() || title_case(character) == Some(character)
}

/// The filter `title`: words begin behind white space, `-`, `(`, `{`, `[` and `<`.
pub fn title_words(text: &str) -> String {
    let separates = |c: char| is_space(c) || "-({[<".contains(c);
    let mut titled = String::with_capacity(text.len());
    for word in text.split_inclusive(separates) {
        let mut characters = word.chars();
        titled.extend(characters.next().into_iter().flat_map(char::to_uppercase));
        titled.push_str(&characters.as_str().to_lowercase());
    }
    titled
}

/// Appends `character` in title case.
fn push_title_case(character: char, text: &mut String) {
    if let Some(title) = title_case(character) {
        text.push(title);
        return;
    }
    let mut upper = character.to_uppercase();
    text.extend(upper.next());
    for more in upper {
        match more {
            // An iota below stays below.
            'Ι' => text.push('\u{345}'),
            'N' => text.push('N'),
            _ => text.extend(more.to_lowercase()),
        }
    }
}

/// The title case of a character that is neither its upper case nor begins with it (Unicode's UnicodeData.txt).
fn title_case(character: char) -> Option<char> {
    let code = character as u32;
    let title = match character {
        'Ǆ'..='ǆ' => 'ǅ' as u32,
        'Ǉ'..='ǉ' => 'ǈ' as u32,
        'Ǌ'..='ǌ' => 'ǋ' as u32,
        'Ǳ'..='ǳ' => 'ǲ' as u32,
        'ა'..='ჺ' | 'ჽ'..='ჿ' => code,
        '\u{1f80}'..='\u{1faf}' => code | 8,
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => code + 9,
        '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}' => code,
        _ => return None,
    };
    char::from_u32(title)
}

/// `str.splitlines`; with `keep`, each with its line break.
pub fn lines(text: &str, keep: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let is_break = |c: char| {
            matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}')
        };
        let end = rest.find(is_break).unwrap_or(rest.len());
        let behind = &rest[end..];
        let length = match behind.chars().next() {
            Some('\r') if behind.starts_with("\r\n") => 2,
            first => first.map_or(0, char::len_utf8),
        };
        lines.push(&rest[..if keep { end + length } else { end }]);
        rest = &rest[end + length..];
    }
    lines
}

/// The whole number that a string is to Python's `int`, without the point and what follows it as by `float` first.
pub fn parsed_integer(text: &str) -> Option<i64> {
    let digits = without_underscores(text.trim_matches(is_space))?;
    digits.parse().ok().or_else(|| {
        let number = parsed_float(&digits)?;
        let whole = libm::trunc(number);
        (whole.abs() < 9.2e18).then_some(whole as i64)
    })
}

/// The number that a string is to Python's `float`.
pub fn parsed_float(text: &str) -> Option<f64> {
    let digits = without_underscores(text.trim_matches(is_space))?;
    digits.parse().ok()
}

/// `text` without underscores, each of which stands between digits.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let mut underscores = text.match_indices('_');
    let proper = underscores.all(|(at, _)| digit(at.checked_sub(1)) && digit(Some(at + 1)));
    proper.then(|| text.replace('_', ""))
}
