//! Keys from the bytes a terminal sends: UTF-8 characters, control characters, escape sequences.

use alloc::string::String;

use embodios_text::tokenizer::TextStream;

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A printable character.
    Character(char),
    /// End of the line.
    Enter,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Arrow up: the line before.
    Up,
    /// Arrow down: the line after.
    Down,
    /// Start of the line; also Ctrl-A.
    Home,
    /// End of the line; also Ctrl-E.
    End,
    /// Delete the character before the cursor.
    Backspace,
    /// Delete the character under the cursor.
    Delete,
    /// Ctrl-K.
    DeleteToEnd,
    /// Ctrl-U.
    DeleteToStart,
    /// Ctrl-W.
    DeleteWord,
    /// Ctrl-L.
    ClearScreen,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D: delete the character under the cursor; at an empty line, the end of the input.
    DeleteOrEnd,
    /// A tab.
    Tab,
    /// Start of a paste (bracketed paste of xterm).
    PasteStart,
    /// End of a paste.
    PasteEnd,
}

/// Place of the input in an escape sequence (ECMA-48, 5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sequence {
    /// In none.
    #[default]
    Outside,
    /// After ESC.
    Escape,
    /// After ESC O.
    SingleShift,
    /// After ESC [, in the first parameter.
    Parameter(u8),
    /// After the first parameter, which is kept.
    Modifiers(u8),
}

/// Reads keys from a stream of bytes.
#[derive(Default)]
pub struct KeyReader {
    stream: TextStream,
    sequence: Sequence,
}

impl KeyReader {
    /// The keys that `byte` completes: it may show that those before it were no character, and be a key itself.
    pub fn read(&mut self, byte: u8) -> [Option<Key>; 2] {
        let mut text = String::new();
        self.stream.push(&[byte], &mut text);
        let mut characters = text.chars();
        core::array::from_fn(|_| characters.next().and_then(|character| self.key(character)))
    }

    fn key(&mut self, character: char) -> Option<Key> {
        match self.sequence {
            Sequence::Outside => match character {
                '\n' => Some(Key::Enter),
                '\x01' => Some(Key::Home),
                '\x02' => Some(Key::Left),
                '\x03' => Some(Key::Interrupt),
                '\x04' => Some(Key::DeleteOrEnd),
                '\x05' => Some(Key::End),
                '\x06' => Some(Key::Right),
                '\x08' | '\x7f' => Some(Key::Backspace),
                '\t' => Some(Key::Tab),
                '\x0b' => Some(Key::DeleteToEnd),
                '\x0c' => Some(Key::ClearScreen),
                '\x0e' => Some(Key::Down),
                '\x10' => Some(Key::Up),
                '\x15' => Some(Key::DeleteToStart),
                '\x17' => Some(Key::DeleteWord),
                '\x1b' => {
                    self.sequence = Sequence::Escape;
                    None
                }
                _ => (!character.is_control()).then_some(Key::Character(character)),
            },
            Sequence::Escape => {
                self.sequence = match character {
                    '[' => Sequence::Parameter(0),
                    'O' => Sequence::SingleShift,
                    '\x1b' => Sequence::Escape,
                    _ => Sequence::Outside,
                };
                None
            }
            Sequence::SingleShift => {
                self.sequence = Sequence::Outside;
                final_key(character, 0)
            }
            Sequence::Parameter(number) | Sequence::Modifiers(number) => {
                self.sequence = match (character, self.sequence) {
                    ('0'..='9', Sequence::Parameter(_)) => {
                        let digit = character as u8 - b'0';
                        Sequence::Parameter(number.saturating_mul(10).saturating_add(digit))
                    }
                    ('\x20'..='\x3f', _) => Sequence::Modifiers(number),
                    _ => Sequence::Outside,
                };
                (self.sequence == Sequence::Outside).then(|| final_key(character, number)).flatten()
            }
        }
    }
}

/// The key of the sequence that ends with `last` (xterm and VT220 keyboards).
fn final_key(last: char, parameter: u8) -> Option<Key> {
    match (last, parameter) {
        ('A', _) => Some(Key::Up),
        ('B', _) => Some(Key::Down),
        ('C', _) => Some(Key::Right),
        ('D', _) => Some(Key::Left),
        ('H', _) | ('~', 1 | 7) => Some(Key::Home),
        ('F', _) | ('~', 4 | 8) => Some(Key::End),
        ('~', 3) => Some(Key::Delete),
        ('~', 200) => Some(Key::PasteStart),
        ('~', 201) => Some(Key::PasteEnd),
        _ => None,
    }
}
