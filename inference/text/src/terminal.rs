//! Text on the terminal. Words of a model, a file or a request pass through here, so that no part of them commands the
//! terminal or looks like the console's own lines.
//!
//! Shown as escapes are control characters (C0 but line feed and tab, DEL, C1), and the characters that reverse or
//! embed text of another direction: they reach beyond the text they stand in and make a line read as another one. Marks
//! of direction and joiners stay, which words of many languages need. Output for programs (JSON, which has escapes of
//! its own) does not pass through here, nor does the line editor's, whose commands are the console's and whose
//! characters were typed.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt::{self, Write};

/// `text` as the terminal gets it, several lines perhaps.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| is_command(c) && c != '\n') {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    // A string takes all there is.
    let _ = escape(text, '\n', &mut shown);
    Cow::Owned(shown)
}

/// Text inside a line of the console's: as [`shown`] has it, with line feeds as escapes too.
pub struct Line<'t>(pub &'t str);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(self.0, '\t', f)
    }
}

/// Whether the character does something to a terminal but move on by a tab.
pub fn is_command(character: char) -> bool {
    match character {
        '\t' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    }
}

/// Gives `out` the text with an escape for every command but `kept`.
fn escape(text: &str, kept: char, out: &mut dyn Write) -> fmt::Result {
    for character in text.chars() {
        match character {
            command if is_command(command) && command != kept => match command {
                '\n' => out.write_str("\\n")?,
                '\r' => out.write_str("\\r")?,
                '\0'..='\u{ff}' => write!(out, "\\x{:02x}", command as u32)?,
                _ => write!(out, "\\u{{{:x}}}", command as u32)?,
            },
            other => out.write_char(other)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn no_character_commands_the_terminal() {
        let all: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        let mut shown = String::new();
        escape(&all, '\n', &mut shown).unwrap();
        assert!(!shown.chars().any(|c| is_command(c) && c != '\n'));
        assert!(shown.contains("\\x1b") && shown.contains("\\x7f") && shown.contains("\\x9b"));
        assert!(shown.contains("\\u{202e}") && shown.contains("\u{200e}\u{200f}"));
        assert!(!Line(&all).to_string().chars().any(is_command));
    }

    #[test]
    fn a_line_stays_one() {
        let line = "a\tb\r\n> poweroff\u{1b}]52;c;\u{7}é\u{200d}";
        assert_eq!(Line(line).to_string(), "a\tb\\r\\n> poweroff\\x1b]52;c;\\x07é\u{200d}");
    }
}
