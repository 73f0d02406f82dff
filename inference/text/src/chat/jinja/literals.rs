//! Strings and numbers as a template writes them: strings with Python's escapes.

use alloc::string::String;

use super::error::Problem;
use super::lexer::Word;

/// The string that `text` begins with, and its length; `quote` is its first character.
pub fn string(text: &str, quote: char) -> Result<(Word, usize), Problem> {
    const UNCLOSED: Problem = Problem::Unclosed("a string");
    let mut content = String::new();
    let mut at = quote.len_utf8();
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let first = rest.chars().next().ok_or(UNCLOSED)?;
        if first == '\\' {
            let escape = &rest[1..];
            let escaped = escape.chars().next().ok_or(UNCLOSED)?;
            let (character, length) = resolved(escape, escaped)?;
            content.extend(character);
            if character.is_none() && escaped != '\n' {
                content.extend(['\\', escaped]);
            }
            at += 1 + length;
        } else {
            at += first.len_utf8();
            if first == quote {
                return Ok((Word::Text(content), at));
            }
            content.push(first);
        }
    }
}

/// Meaning of the escape whose text behind the backslash begins with `first`, and the length of that; `None` for
/// nothing, or for no escape.
fn resolved(escape: &str, first: char) -> Result<(Option<char>, usize), Problem> {
    let simple = match first {
        'a' => '\x07',
        'b' => '\x08',
        't' => '\t',
        'n' => '\n',
        'v' => '\x0b',
        'f' => '\x0c',
        'r' => '\r',
        '\\' | '\'' | '"' => first,
        'x' => return coded(escape, 1, 2, 16),
        'u' => return coded(escape, 1, 4, 16),
        'U' => return coded(escape, 1, 8, 16),
        '0'..='7' => {
            let digits = escape.bytes().take(3).take_while(|digit| matches!(digit, b'0'..=b'7')).count();
            return coded(escape, 0, digits, 8);
        }
        'N' => return Err(unsupported(escape, 1)),
        other => return Ok((None, other.len_utf8())),
    };
    Ok((Some(simple), 1))
}

/// The character whose code is the `digits` digits from `start`.
fn coded(escape: &str, start: usize, digits: usize, radix: u32) -> Result<(Option<char>, usize), Problem> {
    let end = start + digits;
    let code = escape.get(start..end).filter(|code| code.chars().all(|digit| digit.is_digit(radix)));
    let character = code.and_then(|code| u32::from_str_radix(code, radix).ok()).and_then(char::from_u32);
    character.map(|character| (Some(character), end)).ok_or_else(|| unsupported(escape, end))
}

fn unsupported(escape: &str, length: usize) -> Problem {
    let name = core::iter::once('\\').chain(escape.chars().take(length)).collect();
    Problem::Unsupported { kind: "string escape", name }
}

/// The number that `text` begins with, and its length; `whole` where it can have no fraction.
pub fn number(text: &str, whole: bool) -> Result<(Word, usize), Problem> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut length = digits(text);
    let fraction = text[length..].strip_prefix('.').filter(|_| !whole).map_or(0, digits);
    let is_float = fraction > 0;
    if is_float {
        length += 1 + fraction;
    }
    // Exponents, other bases and underscores are known to the language, not here; zeros in front are not known to it.
    let goes_on = |c: char| c.is_alphanumeric() || c == '_';
    let leads =
        length > 1 && !is_float && text.starts_with('0') && text[..length].bytes().any(|digit| digit != b'0');
    if leads || text[length..].starts_with(goes_on) {
        let name = text.chars().take(40).take_while(|&c| goes_on(c) || c == '.').collect();
        return Err(Problem::Unsupported { kind: "number", name });
    }
    let word = match is_float {
        true => text[..length].parse().ok().map(Word::Float),
        false => text[..length].parse().ok().map(Word::Integer),
    };
    let found = || text[..length].chars().take(40).collect();
    Ok((word.ok_or_else(|| Problem::Unexpected { found: found(), wanted: "a smaller number" })?, length))
}
