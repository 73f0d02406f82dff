//! Classes of characters, by Unicode's general category.

use unicode_general_category::{GeneralCategory as G, get_general_category};

/// Class of a character.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `\s`
    Space,
    /// All else.
    Other,
}

/// The class of `character`.
pub fn class(character: char) -> Class {
    if character.is_ascii() {
        return match character {
            'a'..='z' | 'A'..='Z' => Class::Letter,
            '0'..='9' => Class::Number,
            '\t'..='\r' | ' ' => Class::Space,
            _ => Class::Other,
        };
    }
    if character.is_whitespace() {
        return Class::Space;
    }
    match get_general_category(character) {
        G::UppercaseLetter | G::LowercaseLetter | G::TitlecaseLetter | G::ModifierLetter | G::OtherLetter => {
            Class::Letter
        }
        G::DecimalNumber | G::LetterNumber | G::OtherNumber => Class::Number,
        _ => Class::Other,
    }
}

/// Whether a character is of class `wanted`.
pub fn is(wanted: Class) -> impl Fn(char) -> bool {
    move |character| class(character) == wanted
}

/// `\p{P}`
pub fn is_punctuation(character: char) -> bool {
    matches!(
        get_general_category(character),
        G::ConnectorPunctuation
            | G::DashPunctuation
            | G::OpenPunctuation
            | G::ClosePunctuation
            | G::InitialPunctuation
            | G::FinalPunctuation
            | G::OtherPunctuation
    )
}

/// `[\r\n]`
pub const fn is_line_break(character: char) -> bool {
    matches!(character, '\r' | '\n')
}
