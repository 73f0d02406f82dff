//! A template cut into text, outputs and blocks, and these into words; white space around blocks goes as
//! `trim_blocks`, `lstrip_blocks` and the minus signs say.

use alloc::string::String;
use alloc::vec::Vec;

use super::error::{Problem, TemplateError};

/// A word of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// A name or keyword.
    Name(String),
    /// A string, escapes resolved.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// An operator or bracket.
    Sign(&'static str),
}

impl Word {
    /// As an error shows it.
    pub fn show(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Text(text) => text.chars().take(40).collect(),
            Self::Integer(number) => alloc::format!("{number}"),
            Self::Float(number) => alloc::format!("{number}"),
            Self::Sign(sign) => (*sign).into(),
        }
    }
}

/// A piece of a template.
#[derive(Debug)]
pub struct Piece<'s> {
    /// Where it begins, from 1.
    pub line: u32,
    pub content: Content<'s>,
}

/// What a piece is.
#[derive(Debug)]
pub enum Content<'s> {
    /// Text as it stands.
    Text(&'s str),
    /// `{{ … }}`
    Output(Vec<Word>),
    /// `{% … %}`
    Block(Vec<Word>),
}

/// Longest first among those with the same beginning.
const SIGNS: [&str; 25] = [
    "==", "!=", "<=", ">=", "//", "**", "<", ">", "=", "+", "-", "*", "/", "%", "~", "(", ")", "[", "]", "{",
    "}", ",", ".", ":", "|",
];

/// Cuts `source` into pieces.
pub fn pieces(source: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    // One line break at the end of a template is not part of it.
    let source = source.strip_suffix('\n').unwrap_or(source);
    let mut lexer = Lexer { source, at: 0, line: 1, line_at: 0 };
    let mut pieces = Vec::new();
    let mut trim = Trim::Nothing;
    while lexer.at < source.len() {
        let start = lexer.at;
        let rest = &source[start..];
        let open = ["{{", "{%", "{#"].into_iter().filter_map(|open| rest.find(open)).min();
        let end = open.map_or(source.len(), |at| start + at);
        let mut text = trim.apply(&source[start..end]);
        let line = lexer.line_of(end);
        if open.is_some() {
            let sign = source[end + 2..].bytes().next();
            let is_block = !source[end..].starts_with("{{");
            if sign == Some(b'-') {
                text = text.trim_end();
            } else if is_block && sign != Some(b'+') {
                text = without_indentation(text, start == 0 || trim.ends_line(rest));
            }
        }
        if !text.is_empty() {
            pieces.push(Piece { line, content: Content::Text(text) });
        }
        lexer.at = end;
        trim = Trim::Nothing;
        if open.is_some() {
            trim = lexer.piece(line, &mut pieces)?;
        }
    }
    Ok(pieces)
}

/// What of the text behind a piece is dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trim {
    Nothing,
    /// One line break: behind blocks and comments.
    LineBreak,
    /// All white space: behind a minus sign.
    All,
}

impl Trim {
    /// Whether it drops a line break in front of `text`.
    fn ends_line(self, text: &str) -> bool {
        self == Self::LineBreak && text.starts_with('\n')
    }

    fn apply(self, text: &str) -> &str {
        match self {
            Self::Nothing => text,
            Self::LineBreak => text.strip_prefix('\n').unwrap_or(text),
            Self::All => text.trim_start(),
        }
    }
}

/// `text` without the white space between the beginning of its last line and its end, if nothing else is there.
/// `starts_line`: whether the first line's beginning is that of `text`.
fn without_indentation(text: &str, starts_line: bool) -> &str {
    let line = text.rfind('\n').map(|at| at + 1).or(starts_line.then_some(0));
    match line {
        Some(line) if text[line..].trim().is_empty() => &text[..line],
        _ => text,
    }
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    line: u32,
    /// Where `line` was counted to.
    line_at: usize,
}

impl<'s> Lexer<'s> {
    /// The line of a place no earlier than the last one asked for.
    fn line_of(&mut self, at: usize) -> u32 {
        self.line += self.source[self.line_at..at].matches('\n').count() as u32;
        self.line_at = at;
        self.line
    }

    /// Takes the comment, output or block at [`Self::at`].
    fn piece(&mut self, line: u32, pieces: &mut Vec<Piece<'s>>) -> Result<Trim, TemplateError> {
        let rest = &self.source[self.at..];
        if let Some(comment) = rest.strip_prefix("{#") {
            let end = comment.find("#}").ok_or_else(|| Problem::Unclosed("a comment").at(line))?;
            self.at += end + 4;
            let minus = comment[..end].ends_with('-');
            return Ok(if minus { Trim::All } else { Trim::LineBreak });
        }
        let is_block = rest.starts_with("{%");
        self.at += 2;
        if matches!(self.source.as_bytes().get(self.at), Some(b'-' | b'+')) {
            self.at += 1;
        }
        let (words, minus) = self.words(if is_block { "%}" } else { "}}" }, line)?;
        let content = if is_block { Content::Block(words) } else { Content::Output(words) };
        pieces.push(Piece { line, content });
        Ok(if minus {
            Trim::All
        } else if is_block {
            Trim::LineBreak
        } else {
            Trim::Nothing
        })
    }

    /// The words up to `close`, and whether that has a minus sign.
    fn words(&mut self, close: &str, line: u32) -> Result<(Vec<Word>, bool), TemplateError> {
        let mut words = Vec::new();
        let mut braces = 0u32;
        loop {
            let rest = self.source[self.at..].trim_start();
            self.at = self.source.len() - rest.len();
            let minus = rest.strip_prefix(['-', '+']).filter(|rest| rest.starts_with(close));
            if braces == 0 && (rest.starts_with(close) || minus.is_some()) {
                self.at += close.len() + usize::from(minus.is_some());
                return Ok((words, minus.is_some() && rest.starts_with('-')));
            }
            let first = rest.chars().next().ok_or_else(|| Problem::Unclosed("a block").at(line))?;
            let (word, length) = match first {
                '\'' | '"' => string(rest, first).ok_or_else(|| Problem::Unclosed("a string").at(line))?,
                '0'..='9' => number(rest, line)?,
                _ if first.is_alphabetic() || first == '_' => {
                    let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                    (Word::Name(rest[..length].into()), length)
                }
                _ => {
                    let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
                    let wanted = "an operator";
                    let found = || Problem::Unexpected { found: first.into(), wanted }.at(line);
                    let sign = sign.ok_or_else(found)?;
                    (Word::Sign(sign), sign.len())
                }
            };
            match word {
                Word::Sign("{") => braces += 1,
                Word::Sign("}") => braces = braces.saturating_sub(1),
                _ => {}
            }
            words.push(word);
            self.at += length;
        }
    }
}

/// The string that `text` begins with, and its length; `quote` is its first character.
fn string(text: &str, quote: char) -> Option<(Word, usize)> {
    let mut content = String::new();
    let mut chars = text.char_indices().skip(1);
    loop {
        match chars.next()? {
            (_, '\\') => match chars.next()?.1 {
                'n' => content.push('\n'),
                't' => content.push('\t'),
                'r' => content.push('\r'),
                escaped @ ('\\' | '\'' | '"') => content.push(escaped),
                'u' => {
                    let (at, _) = chars.next()?;
                    let code = u32::from_str_radix(text.get(at..at + 4)?, 16).ok()?;
                    content.push(char::from_u32(code)?);
                    chars.nth(2)?;
                }
                other => content.extend(['\\', other]),
            },
            (at, end) if end == quote => return Some((Word::Text(content), at + 1)),
            (_, character) => content.push(character),
        }
    }
}

fn number(text: &str, line: u32) -> Result<(Word, usize), TemplateError> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let whole = digits(text);
    let fraction = text[whole..].strip_prefix('.').map_or(0, digits);
    let length = if fraction > 0 { whole + 1 + fraction } else { whole };
    let word = match fraction {
        0 => text[..length].parse().ok().map(Word::Integer),
        _ => text[..length].parse().ok().map(Word::Float),
    };
    let unexpected = || Problem::Unexpected { found: text[..length].into(), wanted: "a smaller number" };
    Ok((word.ok_or_else(|| unexpected().at(line))?, length))
}
