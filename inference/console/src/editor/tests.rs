//! Every edit, against a terminal in miniature: it must show the contents of the editor.

use super::*;
use alloc::format;
use alloc::vec::Vec;
use proptest::prelude::*;

/// A terminal, one column a character, as far as the editor uses it.
struct Terminal {
    columns: usize,
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// The last column has been written to, and the cursor stays there until the next character.
    waits: bool,
}

impl Terminal {
    fn new(columns: usize) -> Self {
        Self { columns, rows: Vec::from([Vec::new()]), row: 0, column: 0, waits: false }
    }

    fn show(&mut self, screen: &str) {
        let mut rest = screen;
        while let Some(character) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("\x1b[") {
                let end = after.find(|character: char| !character.is_ascii_digit()).unwrap();
                let count = after[..end].parse().unwrap_or(1);
                match &after[end..=end] {
                    "K" => self.rows[self.row].truncate(self.column),
                    "J" => {
                        self.rows[self.row].truncate(self.column);
                        self.rows[self.row + 1..].iter_mut().for_each(Vec::clear);
                    }
                    "A" => self.row = self.row.checked_sub(count).expect("cursor above the line"),
                    "C" => self.column = (self.column + count).min(self.columns - 1),
                    other => panic!("{other} in {screen:?}"),
                }
                self.waits = false;
                rest = &after[end + 1..];
                continue;
            }
            match character {
                '\x08' => {
                    assert!(!self.waits, "{screen:?}");
                    self.column = self.column.checked_sub(1).expect("cursor left of the line");
                }
                '\x07' => {}
                '\n' => self.next_row(),
                _ => {
                    assert!(!character.is_control(), "{screen:?}");
                    if self.waits {
                        self.next_row();
                    }
                    let row = &mut self.rows[self.row];
                    row.resize(row.len().max(self.column + 1), ' ');
                    row[self.column] = character;
                    self.waits = self.column + 1 == self.columns;
                    self.column += usize::from(!self.waits);
                }
            }
            rest = &rest[character.len_utf8()..];
        }
    }

    fn next_row(&mut self) {
        (self.row, self.column, self.waits) = (self.row + 1, 0, false);
        self.rows.resize(self.rows.len().max(self.row + 1), Vec::new());
    }

    /// All that is shown, rows that were filled to the edge joined with the next ones.
    fn text(&self) -> String {
        let filled = |row: &Vec<char>| row.iter().collect::<String>();
        self.rows.iter().map(filled).collect()
    }
}

/// Feeds `input`; the lines that came out, and the line still being edited.
fn edit(input: &str) -> (Vec<String>, String) {
    edit_on(usize::MAX, input)
}

/// The same on a terminal of so many columns.
fn edit_on(columns: usize, input: &str) -> (Vec<String>, String) {
    let mut editor = Editor::new("", &["generate", "help", "hash"], Some(columns));
    let mut terminal = Terminal::new(columns);
    let mut lines = Vec::new();
    for byte in input.bytes() {
        let mut screen = String::new();
        let (used, entered) = editor.feed(&[byte], &mut screen);
        assert_eq!(used, 1);
        terminal.show(&screen);
        if let Some(entered) = entered {
            let Entered::Line(line) = entered else { panic!("{entered:?}") };
            lines.push(line);
            terminal = Terminal::new(columns);
        }
        let shown: String = editor.line.chars().map(glyph).collect();
        assert_eq!(terminal.text().trim_end(), shown.trim_end(), "after {byte:#x} of {input:?}");
        let before = editor.line[..editor.cursor].chars().count();
        assert_eq!((terminal.row, terminal.column), (before / columns, before % columns), "{input:?}");
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
fn wrapped_rows_leave_nothing_behind() {
    let long = "x".repeat(25);
    assert_eq!(edit_on(10, &format!("{long}{}", "\x7f".repeat(20))).1, "xxxxx");
    assert_eq!(edit_on(10, &format!("{long}\x15ab")).1, "ab");
    assert_eq!(edit_on(10, &format!("{long}\n{long}{long}\n\x1b[A\x1b[A\x1b[B\x1b[B")).1, "");
    assert_eq!(edit_on(10, "0123456789\x1b[D\x1b[DX").1, "01234567X89");
    assert_eq!(edit_on(10, "0123456789\x01X\x0by\x05z").1, "Xyz");
    let mut editor = Editor::new("> ", &[], Some(10));
    let mut screen = String::new();
    editor.feed(format!("{long}\x01").as_bytes(), &mut screen);
    screen.clear();
    // Nothing is written over the rows below.
    editor.feed(b"\n", &mut screen);
    assert_eq!(screen, format!("{}\n", &long));
}

#[test]
fn a_tab_completes_a_command_or_is_text() {
    assert_eq!(edit("g\t").1, "generate ");
    for text in ["h\t", "ids a\tb", "\t", "x\ty", "generate\t"] {
        assert_eq!(edit(text).1, text);
    }
    assert_eq!(edit("g\x1b[D\t").1, "\tg");
}

#[test]
fn what_is_pasted_is_one_text() {
    assert_eq!(edit("ids \x1b[200~a\n\tb\n\n\x1b[201~ c\n").0, ["ids a\n\tb c"]);
    assert_eq!(edit("ids \x1b[200~g\t\x15\x1b[A\x1b[201~").1, "ids g\t");
    // One that never ends is ended.
    assert_eq!(edit("x\x1b[201~y").1, "xy");
    let mut editor = Editor::new("", &[], None);
    assert_eq!(editor.feed(b"\x1b[200~a\n\x03", &mut String::new()).1, Some(Entered::Interrupt));
    assert_eq!(editor.feed(b"b\n", &mut String::new()).1, Some(Entered::Line("b".into())));
}

#[test]
fn the_input_ends_at_an_empty_line_only() {
    let entered = |input: &[u8]| Editor::new("", &[], None).feed(input, &mut String::new());
    assert_eq!(entered(b"\x04x"), (1, Some(Entered::End)));
    assert_eq!(entered(b"a\x04\x7f\x04"), (4, Some(Entered::End)));
    assert_eq!(entered(b"ab\x01\x04\n"), (5, Some(Entered::Line("b".into()))));
}

#[test]
fn interrupt_drops_the_line() {
    let mut editor = Editor::new("> ", &[], None);
    let mut screen = String::new();
    assert_eq!(editor.feed(b"abc\x03d\n", &mut screen), (4, Some(Entered::Interrupt)));
    assert_eq!(screen, "abc^C\n");
    assert_eq!(editor.feed(b"d\n", &mut screen), (2, Some(Entered::Line("d".into()))));
}

#[test]
fn input_past_the_line_is_left() {
    let mut editor = Editor::new("", &[], None);
    let mut screen = String::new();
    assert_eq!(
        editor.feed(b"one\xc3\ntwo\nthr", &mut screen),
        (5, Some(Entered::Line("one\u{fffd}".into())))
    );
    assert_eq!(editor.feed(b"two\nthr", &mut screen), (4, Some(Entered::Line("two".into()))));
    assert_eq!(editor.feed(b"thr", &mut screen), (3, None));
    assert_eq!(screen, "one\u{fffd}\ntwo\nthr");
}

#[test]
fn wide_characters_take_two_columns() {
    let mut editor = Editor::new("", &[], None);
    let mut screen = String::new();
    assert_eq!(editor.feed("你e\u{301}\x7f\x7f\x7f".as_bytes(), &mut screen).1, None);
    assert_eq!(screen, "你e\u{301}\x1b[K\x08\x1b[K\x08\x08\x1b[K");
}

#[test]
fn an_endless_line_is_refused_with_a_bell() {
    let mut editor = Editor::new("", &[], None);
    let mut screen = String::new();
    assert_eq!(editor.feed("x".repeat(LINE_LIMIT + 1).as_bytes(), &mut screen).1, None);
    assert_eq!((editor.line.len(), screen.matches('\x07').count()), (LINE_LIMIT, 1));
    assert_eq!(editor.feed(b"\n", &mut screen).1, Some(Entered::TooLong));
    assert_eq!(editor.feed(b"mem\n", &mut screen).1, Some(Entered::Line("mem".into())));
}

#[test]
fn input_that_ends_within_a_paste_ends_the_paste() {
    let mut editor = Editor::new("", &[], None);
    let mut screen = String::new();
    assert_eq!(editor.feed(b"\x1b[200~mem\n", &mut screen).1, None);
    assert_eq!(editor.feed(b"\x04", &mut screen).1, Some(Entered::Line("mem".into())));
    assert_eq!(editor.feed(b"\x04", &mut screen).1, Some(Entered::End));
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
        ),
        columns in 8usize..20,
    ) {
        edit(&input.concat());
        edit_on(columns, &input.concat());
    }

    #[test]
    fn any_bytes_are_survived(bytes in any::<Vec<u8>>()) {
        let mut editor = Editor::new("> ", &[], None);
        let mut screen = String::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            rest = &rest[editor.feed(rest, &mut screen).0..];
        }
    }
}
