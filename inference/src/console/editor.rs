//! The line editor: bytes from a terminal in, edited lines out, and what the terminal must show.
//!
//! A pure state machine. Only what changes is sent to the terminal: every byte costs time on a serial
//! line. Lines wider than the terminal are edited correctly but shown wrongly after cursor movement.

use alloc::collections::VecDeque;
use alloc::string::String;

use unicode_width::UnicodeWidthChar;

use super::keys::{Key, KeyReader};

/// Longest line, in bytes; a terminal bell refuses more.
const LINE_LIMIT: usize = 64 * 1024;
/// Lines kept for the arrow keys.
const HISTORY_LIMIT: usize = 100;

/// The line being edited.
pub struct Editor {
    prompt: &'static str,
    line: String,
    /// Byte index into `line`, on a character boundary.
    cursor: usize,
    history: VecDeque<String>,
    /// Entry of `history` on show; its length for the new line.
    shown: usize,
    /// The new line while a history entry is on show.
    draft: String,
    keys: KeyReader,
}

impl Editor {
    /// An editor that shows `prompt` before every line.
    pub fn new(prompt: &'static str) -> Self {
        Self {
            prompt,
            line: String::new(),
            cursor: 0,
            history: VecDeque::new(),
            shown: 0,
            draft: String::new(),
            keys: KeyReader::default(),
        }
    }

    /// Works off `bytes` up to the end of a line, and appends to `screen` what the terminal must show. Result: how many
    /// bytes that was, and the line, or `None` when more input is needed.
    pub fn feed(&mut self, bytes: &[u8], screen: &mut String) -> (usize, Option<String>) {
        for (index, &byte) in bytes.iter().enumerate() {
            for key in self.keys.read(byte).into_iter().flatten() {
                match key {
                    // The last key of its byte.
                    Key::Enter => {
                        screen.push('\n');
                        return (index + 1, Some(self.take_line()));
                    }
                    Key::Character(character) => self.insert(character, screen),
                    Key::Interrupt => {
                        screen.push_str("^C\n");
                        screen.push_str(self.prompt);
                        self.replace(String::new());
                    }
                    Key::ClearScreen => {
                        screen.push_str("\x1b[H\x1b[2J");
                        screen.push_str(self.prompt);
                        screen.push_str(&self.line);
                        back(&self.line[self.cursor..], screen);
                    }
                    Key::Left => self.move_to(self.before_cursor(), screen),
                    Key::Right => self.move_to(self.after_cursor(), screen),
                    Key::Home => self.move_to(0, screen),
                    Key::End => self.move_to(self.line.len(), screen),
                    Key::Backspace => self.delete(self.before_cursor(), self.cursor, screen),
                    Key::Delete => self.delete(self.cursor, self.after_cursor(), screen),
                    Key::DeleteToEnd => self.delete(self.cursor, self.line.len(), screen),
                    Key::DeleteToStart => self.delete(0, self.cursor, screen),
                    Key::DeleteWord => self.delete(self.word_start(), self.cursor, screen),
                    Key::Up => self.show_history(self.shown.checked_sub(1), screen),
                    Key::Down => self.show_history(Some(self.shown + 1), screen),
                }
            }
        }
        (bytes.len(), None)
    }

    fn take_line(&mut self) -> String {
        let line = core::mem::take(&mut self.line);
        self.cursor = 0;
        if !line.trim().is_empty() && self.history.back() != Some(&line) {
            self.history.push_back(line.clone());
            if self.history.len() > HISTORY_LIMIT {
                self.history.pop_front();
            }
        }
        self.shown = self.history.len();
        line
    }

    fn insert(&mut self, character: char, screen: &mut String) {
        if self.line.len() + character.len_utf8() > LINE_LIMIT {
            screen.push('\x07');
            return;
        }
        self.line.insert(self.cursor, character);
        screen.push_str(&self.line[self.cursor..]);
        self.cursor += character.len_utf8();
        back(&self.line[self.cursor..], screen);
    }

    /// Removes `start..end`, one of which is the cursor.
    fn delete(&mut self, start: usize, end: usize, screen: &mut String) {
        if start == end {
            return;
        }
        back(&self.line[start..self.cursor], screen);
        self.line.replace_range(start..end, "");
        self.cursor = start;
        screen.push_str(&self.line[start..]);
        screen.push_str("\x1b[K");
        back(&self.line[start..], screen);
    }

    fn move_to(&mut self, target: usize, screen: &mut String) {
        if target < self.cursor {
            back(&self.line[target..self.cursor], screen);
        } else {
            screen.push_str(&self.line[self.cursor..target]);
        }
        self.cursor = target;
    }

    fn show_history(&mut self, entry: Option<usize>, screen: &mut String) {
        let Some(entry) = entry.filter(|&entry| entry <= self.history.len()) else { return };
        if self.shown == self.history.len() {
            self.draft.clone_from(&self.line);
        }
        back(&self.line[..self.cursor], screen);
        self.shown = entry;
        let line = self.history.get(entry).unwrap_or(&self.draft).clone();
        screen.push_str(&line);
        screen.push_str("\x1b[K");
        self.replace(line);
    }

    fn replace(&mut self, line: String) {
        self.line = line;
        self.cursor = self.line.len();
    }

    fn before_cursor(&self) -> usize {
        self.cursor - self.line[..self.cursor].chars().next_back().map_or(0, char::len_utf8)
    }

    fn after_cursor(&self) -> usize {
        self.cursor + self.line[self.cursor..].chars().next().map_or(0, char::len_utf8)
    }

    /// Where the word before the cursor begins.
    fn word_start(&self) -> usize {
        let before = self.line[..self.cursor].trim_end();
        before
            .rfind(char::is_whitespace)
            .map_or(0, |space| space + before[space..].chars().next().map_or(0, char::len_utf8))
    }
}

/// Moves the terminal's cursor back over `text`.
fn back(text: &str, screen: &mut String) {
    let columns: usize = text.chars().filter_map(UnicodeWidthChar::width).sum();
    screen.extend(core::iter::repeat_n('\x08', columns));
}

#[cfg(test)]
mod tests;
