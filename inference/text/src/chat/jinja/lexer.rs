//! A template cut into text, outputs and blocks, and these into words; white space around blocks goes as
//! `trim_blocks`, `lstrip_blocks` and the minus signs say.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::error::{Problem, TemplateError};
use super::literals::{number, string};
use super::words::is_space;

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
    /// Its first line, from 1.
    pub line: u32,
    pub content: Content<'s>,
}

/// Content of a piece.
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

/// Bytes of a name.
const MAX_NAME: usize = 200;

/// `source` with line feeds as its only line breaks, without the one at its end, which is no part of a template.
pub fn normalized(source: &str) -> Cow<'_, str> {
    let source = match source.contains('\r') {
        true => Cow::Owned(source.replace("\r\n", "\n").replace('\r', "\n")),
        false => Cow::Borrowed(source),
    };
    match source {
        Cow::Borrowed(source) => Cow::Borrowed(source.strip_suffix('\n').unwrap_or(source)),
        Cow::Owned(mut source) => {
            source.truncate(source.strip_suffix('\n').map_or(source.len(), str::len));
            Cow::Owned(source)
        }
    }
}

/// Cuts `source`, which is [`normalized`], into pieces.
pub fn pieces(source: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut lexer = Lexer { source, at: 0, line: 1, line_at: 0 };
    let mut pieces = Vec::new();
    let mut trim = Trim::Nothing;
    while lexer.at < source.len() {
        let start = lexer.at;
        let rest = &source[start..];
        let open = next_opening(rest);
        let end = open.map_or(source.len(), |at| start + at);
        let mut text = trim.apply(&source[start..end]);
        let line = lexer.line_of(end);
        if open.is_some() {
            let sign = source[end + 2..].bytes().next();
            let is_block = !source[end..].starts_with("{{");
            if sign == Some(b'-') {
                text = text.trim_end_matches(is_space);
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

/// Start of the next output, block or comment.
fn next_opening(text: &str) -> Option<usize> {
    let mut braces = text.match_indices('{').map(|(at, _)| at);
    braces.find(|&at| matches!(text.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')))
}

/// Text dropped behind a piece.
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
            Self::All => text.trim_start_matches(is_space),
        }
    }
}

/// `text` without the white space between the beginning of its last line and its end, if nothing else is there.
/// `starts_line`: whether the first line's beginning is that of `text`.
fn without_indentation(text: &str, starts_line: bool) -> &str {
    let line = text.rfind('\n').map(|at| at + 1).or(starts_line.then_some(0));
    match line {
        Some(line) if text[line..].chars().all(is_space) => &text[..line],
        _ => text,
    }
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    line: u32,
    /// Place up to which `line` was counted.
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
            return Ok(match comment[..end].bytes().next_back() {
                Some(b'-') => Trim::All,
                Some(b'+') => Trim::Nothing,
                _ => Trim::LineBreak,
            });
        }
        let is_block = rest.starts_with("{%");
        self.at += 2;
        if matches!(self.source.as_bytes().get(self.at), Some(b'-' | b'+')) {
            self.at += 1;
        }
        let (words, sign) = self.words(if is_block { "%}" } else { "}}" }, line)?;
        let content = if is_block { Content::Block(words) } else { Content::Output(words) };
        pieces.push(Piece { line, content });
        Ok(match sign {
            Some('-') => Trim::All,
            None if is_block => Trim::LineBreak,
            _ => Trim::Nothing,
        })
    }

    /// The words up to `close`, and the sign in front of that.
    fn words(&mut self, close: &str, line: u32) -> Result<(Vec<Word>, Option<char>), TemplateError> {
        let mut words = Vec::new();
        let mut braces = 0u32;
        loop {
            let rest = self.source[self.at..].trim_start_matches(is_space);
            self.at = self.source.len() - rest.len();
            // Only blocks can end with a plus.
            let signs: &[char] = if close == "%}" { &['-', '+'] } else { &['-'] };
            let sign =
                rest.chars().next().filter(|sign| signs.contains(sign) && rest[1..].starts_with(close));
            if braces == 0 && (rest.starts_with(close) || sign.is_some()) {
                self.at += close.len() + usize::from(sign.is_some());
                return Ok((words, sign));
            }
            let first = rest.chars().next().ok_or_else(|| Problem::Unclosed("a block").at(line))?;
            let (word, length) = match first {
                '\'' | '"' => string(rest, first).map_err(|problem| problem.at(line))?,
                '0'..='9' => number(rest, words.last() == Some(&Word::Sign(".")))
                    .map_err(|problem| problem.at(line))?,
                _ if first.is_alphabetic() || first == '_' => {
                    let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                    if length > MAX_NAME {
                        return Err(Problem::Bound("a name is too long").at(line));
                    }
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
