//! Every edit, against a terminal in miniature: what it shows must be what the editor holds.

use super::*;
use alloc::format;
use alloc::vec::Vec;
use proptest::prelude::*;

/// One line of a terminal, one column a character.
#[derive(Default)]
struct Terminal {
    row: Vec<char>,
    column: usize,
}

impl Terminal {
    fn show(&mut self, screen: &str) {
        let mut rest = screen;
        while let Some(character) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("\x1b[K") {
                self.row.truncate(self.column);
                rest = after;
                continue;
            }
            match character {
                '\x08' => self.column = self.column.checked_sub(1).expect("cursor left of the line"),
                '\x07' => {}
                '\n' => *self = Self::default(),
                _ => {
                    assert!(!character.is_control(), "{screen:?}");
                    self.row.resize(self.row.len().max(self.column + 1), ' ');
                    self.row[self.column] = character;
                    self.column += 1;
                }
            }
            rest = &rest[character.len_utf8()..];
        }
    }

    fn text(&self) -> String {
        self.row.iter().collect()
    }
}

/// Feeds `input`; the lines that came out, and the line still being edited.
fn edit(input: &str) -> (Vec<String>, String) {
    let mut editor = Editor::new("");
    let mut terminal = Terminal::default();
    let mut lines = Vec::new();
    for byte in input.bytes() {
        let mut screen = String::new();
        let (used, line) = editor.feed(&[byte], &mut screen);
        assert_eq!(used, 1);
        lines.extend(line);
        terminal.show(&screen);
        assert_eq!(terminal.text().trim_end(), editor.line.trim_end(), "after {byte:#x} of {input:?}");
        assert_eq!(terminal.column, editor.line[..editor.cursor].chars().count());
    }
    (lines, editor.line)
}

fn line(input: &str) -> String {
    let (lines, open) = edit(&format!("{input}\n"));
    assert_eq!((lines.len(), open.as_str()), (1, ""));
    lines[0].clone()
}

#[test]
fn edits_inside_the_line() {
    assert_eq!(line("hllo\x1b[D\x1b[D\x1b[De"), "hello");
    assert_eq!(line("abc\x01X\x05Y"), "XabcY");
    assert_eq!(line("abc\x1b[H\x1b[3~\x1b[F\x7f"), "b");
    assert_eq!(line("one two  \x17three"), "one three");
    assert_eq!(line("one two\x1b[1;5D\x15x"), "xo");
    assert_eq!(line("abcdef\x1bOD\x1bOD\x0b"), "abcd");
    assert_eq!(line("grün\x1b[D\x08ö"), "grön");
    assert_eq!(line("\x7f\x1b[D\x1b[C\x0b\x15\x17a\x1b[5~\x1b[99999~\x1bz"), "a");
}

#[test]
fn history_keeps_the_unfinished_line() {
    let (lines, open) = edit("first\nsecond\ndraft\x1b[A\x1b[A\x1b[A\x1b[B\x1b[B");
    assert_eq!((lines.len(), open.as_str()), (2, "draft"));
    assert_eq!(edit("first\nsecond\n\x1b[A\x1b[A\n").0[2], "first");
    assert_eq!(edit("same\nsame\n\x1b[A\x1b[A").1, "same");
    assert_eq!(edit("\n  \n\x1b[A").1, "");
}

#[test]
fn interrupt_drops_the_line() {
    let mut editor = Editor::new("> ");
    let mut screen = String::new();
    assert_eq!(editor.feed(b"abc\x03d\n", &mut screen), (6, Some("d".into())));
    assert_eq!(screen, "abc^C\n> d\n");
}

#[test]
fn input_past_the_line_is_left() {
    let mut editor = Editor::new("");
    let mut screen = String::new();
    assert_eq!(editor.feed(b"one\xc3\ntwo\nthr", &mut screen), (5, Some("one\u{fffd}".into())));
    assert_eq!(editor.feed(b"two\nthr", &mut screen), (4, Some("two".into())));
    assert_eq!(editor.feed(b"thr", &mut screen), (3, None));
    assert_eq!(screen, "one\u{fffd}\ntwo\nthr");
}

#[test]
fn wide_characters_take_two_columns() {
    let mut editor = Editor::new("");
    let mut screen = String::new();
    assert_eq!(editor.feed("你e\u{301}\x7f\x7f\x7f".as_bytes(), &mut screen).1, None);
    assert_eq!(screen, "你e\u{301}\x1b[K\x08\x1b[K\x08\x08\x1b[K");
}

#[test]
fn an_endless_line_is_refused_with_a_bell() {
    let mut editor = Editor::new("");
    let mut screen = String::new();
    assert_eq!(editor.feed("x".repeat(LINE_LIMIT + 1).as_bytes(), &mut screen).1, None);
    assert_eq!((editor.line.len(), screen.matches('\x07').count()), (LINE_LIMIT, 1));
}

proptest! {
    #[test]
    fn the_terminal_always_shows_the_line(
        input in proptest::collection::vec(
            prop_oneof![
                "[a-z ü]".prop_map(|text| text),
                prop::sample::select(alloc::vec![
                    "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[H", "\x1b[F", "\x1b[3~", "\x01", "\x05",
                    "\x7f", "\x0b", "\x15", "\x17", "\n", "\x1b[1;2D",
                ]).prop_map(String::from),
            ],
            0..60,
        )
    ) {
        edit(&input.concat());
    }

    #[test]
    fn any_bytes_are_survived(bytes in any::<Vec<u8>>()) {
        let mut editor = Editor::new("> ");
        let mut screen = String::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            rest = &rest[editor.feed(rest, &mut screen).0..];
        }
    }
}
