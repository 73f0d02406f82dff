//! The line editor: bytes from a terminal in, edited lines out, and the bytes that the terminal must show.
//!
//! A pure state machine. Only changes are sent to the terminal: every byte costs time on a serial
//! line. Where the terminal's width is not known, lines wider than it are edited correctly but shown wrongly.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;

use unicode_width::UnicodeWidthChar;

use super::keys::{Key, KeyReader};

/// Longest line, in bytes; a terminal bell refuses more, and the line is not taken as if it were whole.
pub const LINE_LIMIT: usize = 64 * 1024;
/// Lines kept for the arrow keys.
const HISTORY_LIMIT: usize = 100;
/// A terminal that is narrower is taken for one of unknown width.
const NARROWEST: usize = 8;

/// The person's action that ends the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entered {
    /// Sent it.
    Line(String),
    /// Sent one of which [`LINE_LIMIT`] left something out.
    TooLong,
    /// Dropped it by Ctrl-C.
    Interrupt,
    /// Ended the input, at an empty line.
    End,
}

/// The line being edited.
pub struct Editor {
    prompt: &'static str,
    /// Words of which a tab completes one at the start of the line.
    words: &'static [&'static str],
    /// The terminal's width.
    columns: usize,
    line: String,
    /// Byte index into `line`, on a character boundary.
    cursor: usize,
    /// Result of [`Self::measure`] for the line's end.
    end: (usize, usize),
    /// Start of the paste under way.
    pasted: Option<usize>,
    /// Something had no room in the line.
    overflowed: bool,
    history: VecDeque<String>,
    /// Entry of `history` on show; its length for the new line.
    shown: usize,
    /// The new line while a history entry is on show.
    draft: String,
    keys: KeyReader,
}

impl Editor {
    /// An editor that shows `prompt` before every line, on a terminal of so many `columns`, if that is known.
    pub fn new(prompt: &'static str, words: &'static [&'static str], columns: Option<usize>) -> Self {
        let mut editor = Self {
            prompt,
            words,
            columns: columns.filter(|&columns| columns >= NARROWEST).unwrap_or(usize::MAX),
            line: String::new(),
            cursor: 0,
            end: (0, 0),
            pasted: None,
            overflowed: false,
            history: VecDeque::new(),
            shown: 0,
            draft: String::new(),
            keys: KeyReader::default(),
        };
        editor.end = editor.measure(0);
        editor
    }

    /// Works off `bytes` up to the end of a line or of the input, and appends to `screen` what the terminal must
    /// show. Result: how many bytes that was, and what was entered, or `None` when more input is needed.
    pub fn feed(&mut self, bytes: &[u8], screen: &mut String) -> (usize, Option<Entered>) {
        for (index, &byte) in bytes.iter().enumerate() {
            for key in self.keys.read(byte).into_iter().flatten() {
                // A key that ends a line is the last one of its byte.
                if let Some(entered) = self.press(key, screen) {
                    return (index + 1, Some(entered));
                }
            }
        }
        (bytes.len(), None)
    }

    fn press(&mut self, key: Key, screen: &mut String) -> Option<Entered> {
        match key {
            Key::Enter if self.pasted.is_some() => self.insert('\n', screen),
            Key::Enter => return Some(self.enter(screen)),
            // The input ends within what is pasted.
            Key::DeleteOrEnd if self.pasted.is_some() => {
                self.end_paste(screen);
                return Some(self.enter(screen));
            }
            Key::DeleteOrEnd if self.line.is_empty() => {
                screen.push('\n');
                return Some(Entered::End);
            }
            Key::Tab if self.pasted.is_none() && self.cursor == self.line.len() => match self.completion() {
                Some(rest) => rest.chars().for_each(|character| self.insert(character, screen)),
                None => self.insert('\t', screen),
            },
            Key::Tab => self.insert('\t', screen),
            Key::Character(character) => self.insert(character, screen),
            Key::Interrupt => {
                self.leave(screen);
                screen.push_str("^C\n");
                self.replace(String::new());
                (self.pasted, self.overflowed) = (None, false);
                return Some(Entered::Interrupt);
            }
            Key::PasteStart => self.pasted = Some(self.cursor),
            Key::PasteEnd => self.end_paste(screen),
            // Pasted characters are text, not editing.
            _ if self.pasted.is_some() => {}
            Key::ClearScreen => {
                screen.push_str("\x1b[H\x1b[2J");
                screen.push_str(self.prompt);
                self.print(0, self.line.len(), screen);
                self.back(self.line.len(), self.cursor, screen);
            }
            Key::Left => self.move_to(self.before_cursor(), screen),
            Key::Right => self.move_to(self.after_cursor(), screen),
            Key::Home => self.move_to(0, screen),
            Key::End => self.move_to(self.line.len(), screen),
            Key::Backspace => self.delete(self.before_cursor(), self.cursor, screen),
            Key::Delete | Key::DeleteOrEnd => self.delete(self.cursor, self.after_cursor(), screen),
            Key::DeleteToEnd => self.delete(self.cursor, self.line.len(), screen),
            Key::DeleteToStart => self.delete(0, self.cursor, screen),
            Key::DeleteWord => self.delete(self.word_start(), self.cursor, screen),
            Key::Up => self.show_history(self.shown.checked_sub(1), screen),
            Key::Down => self.show_history(Some(self.shown + 1), screen),
        }
        None
    }

    /// Sends the line.
    fn enter(&mut self, screen: &mut String) -> Entered {
        self.leave(screen);
        screen.push('\n');
        let line = self.take_line();
        if core::mem::take(&mut self.overflowed) { Entered::TooLong } else { Entered::Line(line) }
    }

    fn take_line(&mut self) -> String {
        let line = core::mem::take(&mut self.line);
        self.replace(String::new());
        if !line.trim().is_empty() && self.history.back() != Some(&line) {
            self.history.push_back(line.clone());
            if self.history.len() > HISTORY_LIMIT {
                self.history.pop_front();
            }
        }
        self.shown = self.history.len();
        line
    }

    /// The missing rest of the only word that the line is the beginning of.
    fn completion(&self) -> Option<String> {
        let mut fitting = self.words.iter().filter_map(|word| word.strip_prefix(self.line.as_str()));
        let (first, second) = (fitting.next(), fitting.next());
        let rest = first.filter(|rest| second.is_none() && !rest.is_empty() && !self.line.is_empty())?;
        Some(format!("{rest} "))
    }

    /// Takes the line ends off the end of what was pasted: they come with copied lines and are not part of the text.
    fn end_paste(&mut self, screen: &mut String) {
        let Some(start) = self.pasted.take() else { return };
        let text = self.line.get(start..self.cursor).unwrap_or_default();
        let kept = start + text.trim_end_matches('\n').len();
        self.delete(kept, self.cursor, screen);
    }

    fn insert(&mut self, character: char, screen: &mut String) {
        if self.line.len() + character.len_utf8() > LINE_LIMIT {
            self.overflowed = true;
            screen.push('\x07');
            return;
        }
        self.line.insert(self.cursor, character);
        self.end = match self.cursor + character.len_utf8() == self.line.len() {
            true => self.advance(self.end, character),
            false => self.measure(self.line.len()),
        };
        self.print(self.cursor, self.line.len(), screen);
        self.cursor += character.len_utf8();
        self.back(self.line.len(), self.cursor, screen);
    }

    /// Removes `start..end`, one of which is the cursor.
    fn delete(&mut self, start: usize, end: usize, screen: &mut String) {
        if start == end {
            return;
        }
        self.back(self.cursor, start, screen);
        let rows = self.place(self.line.len()).0;
        self.line.replace_range(start..end, "");
        self.cursor = start;
        self.end = self.measure(self.line.len());
        self.print_last(start, rows, screen);
        self.back(self.line.len(), start, screen);
    }

    fn move_to(&mut self, target: usize, screen: &mut String) {
        if target < self.cursor {
            self.back(self.cursor, target, screen);
        } else {
            self.print(self.cursor, target, screen);
        }
        self.cursor = target;
    }

    fn show_history(&mut self, entry: Option<usize>, screen: &mut String) {
        let Some(entry) = entry.filter(|&entry| entry <= self.history.len()) else { return };
        if self.shown == self.history.len() {
            self.draft.clone_from(&self.line);
        }
        self.back(self.cursor, 0, screen);
        let rows = self.place(self.line.len()).0;
        self.shown = entry;
        let line = self.history.get(entry).unwrap_or(&self.draft).clone();
        self.replace(line);
        self.print_last(0, rows, screen);
    }

    fn replace(&mut self, line: String) {
        self.line = line;
        self.cursor = self.line.len();
        self.end = self.measure(self.cursor);
    }

    /// Goes to the last row of a line that has several.
    fn leave(&mut self, screen: &mut String) {
        if self.place(self.cursor).0 < self.place(self.line.len()).0 {
            self.move_to(self.line.len(), screen);
        }
    }

    /// Shows the line between two indices; the terminal's cursor stands at the first one.
    fn print(&self, from: usize, to: usize, screen: &mut String) {
        screen.extend(self.line[from..to].chars().map(glyph));
        // A terminal waits at its edge for the next character; a line end takes it to where that will be.
        if from < to && self.place(to).0 > 0 && self.place(to).1 == 0 {
            screen.push('\n');
        }
    }

    /// Shows the line from an index on, and nothing after it, where there were so many `rows` below the first.
    fn print_last(&self, from: usize, rows: usize, screen: &mut String) {
        self.print(from, self.line.len(), screen);
        screen.push_str(if rows > self.place(self.line.len()).0 { "\x1b[J" } else { "\x1b[K" });
    }

    /// Moves the terminal's cursor back from one index to another.
    fn back(&self, from: usize, to: usize, screen: &mut String) {
        if from == to {
            return;
        }
        let ((row, column), (to_row, to_column)) = (self.place(from), self.place(to));
        if row > to_row {
            *screen += &format!("\x1b[{}A", row - to_row);
        }
        if to_column > column {
            *screen += &format!("\x1b[{}C", to_column - column);
        }
        screen.extend(core::iter::repeat_n('\x08', column.saturating_sub(to_column)));
    }

    /// Row and column where the character at an index stands or would stand, counted from where the prompt begins.
    fn place(&self, index: usize) -> (usize, usize) {
        let (row, column) = if index == self.line.len() { self.end } else { self.measure(index) };
        if column == self.columns { (row + 1, 0) } else { (row, column) }
    }

    /// Row and column behind the characters before an index; the column is the width at the edge.
    fn measure(&self, index: usize) -> (usize, usize) {
        let characters = self.prompt.chars().chain(self.line[..index].chars());
        characters.fold((0, 0), |place, character| self.advance(place, character))
    }

    /// The same, one character further.
    fn advance(&self, (row, column): (usize, usize), character: char) -> (usize, usize) {
        let width = glyph(character).width().unwrap_or(0);
        if width > self.columns - column { (row + 1, width) } else { (row, column + width) }
    }

    fn before_cursor(&self) -> usize {
        self.cursor - self.line[..self.cursor].chars().next_back().map_or(0, char::len_utf8)
    }

    fn after_cursor(&self) -> usize {
        self.cursor + self.line[self.cursor..].chars().next().map_or(0, char::len_utf8)
    }

    /// Start of the word before the cursor.
    fn word_start(&self) -> usize {
        let before = self.line[..self.cursor].trim_end();
        before
            .rfind(char::is_whitespace)
            .map_or(0, |space| space + before[space..].chars().next().map_or(0, char::len_utf8))
    }
}

/// The glyph of a character on the screen: one space for a tab and for a line end that was pasted.
const fn glyph(character: char) -> char {
    match character {
        '\t' | '\n' => ' ',
        other => other,
    }
}

#[cfg(test)]
mod tests;
