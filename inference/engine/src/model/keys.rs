//! Handling of a file's metadata keys: each is read, is harmless for a written reason, or is refused by name unless its
//! value says what the engine does anyway.
//!
//! Owns the table of all keys known to the field (`table.rs`; those of the tokenizer are in the tokenizer's own) and
//! the check of a file against it. Reads no key itself.

mod table;

use alloc::string::{String, ToString};
use alloc::{format, vec::Vec};

use embodios_gguf::{Gguf, Value};
use embodios_text::tokenizer::keys as tokenizer;

use super::{Config, ModelError};

/// Handling of a key.
#[derive(Clone, Copy, Debug)]
pub enum Class {
    /// Read: by the GGUF parser, the model, the tokenizer or the chat template, which refuse what they cannot use.
    Read,
    /// Without any effect on what is computed, for this reason.
    Harmless(&'static str),
    /// Refused, unless its value is the one wanted.
    Only(Wanted),
}

/// Values that say what the engine does anyway.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// None, for this reason.
    Absent(&'static str),
    /// A boolean.
    Bool(bool),
    /// One of these texts.
    Text(&'static [&'static str]),
    /// One of these numbers, in every element of an array.
    Numbers(&'static [f64]),
    /// The number that goes with the model's other hyper-parameters, or 0 for one that is not set.
    Own(fn(&Config) -> f64),
    /// A file that is all of its model.
    Whole,
}

/// The class of `key` in a file of `architecture`; `None` for an unknown key below the architecture's name or the
/// tokenizer's.
#[must_use]
pub fn class(architecture: &str, key: &str) -> Option<Class> {
    let find = |rows: &[(&str, Class)], key: &str| {
        rows.iter().find(|(name, _)| *name == key).map(|&(_, class)| class)
    };
    if let Some(below) = key.strip_prefix(architecture).and_then(|rest| rest.strip_prefix('.')) {
        return find(table::ARCHITECTURE, below);
    }
    if let Some(name) = key.strip_prefix(tokenizer::PREFIX) {
        return tokenizer::class(name).map(|class| match class {
            tokenizer::Class::Read => Class::Read,
            tokenizer::Class::Harmless(reason) => Class::Harmless(reason),
            tokenizer::Class::Off => Class::Only(Wanted::Bool(false)),
        });
    }
    let by_beginning = || table::BEGINNINGS.iter().find(|(beginning, _)| key.starts_with(beginning));
    find(table::FILE, key).or_else(|| by_beginning().map(|&(_, class)| class))
}

/// Refuses a file for the keys that are not below an architecture's name, such as those of a part of a split model.
pub(super) fn check_file(gguf: &Gguf<'_>) -> Result<(), ModelError> {
    for (key, value) in gguf.entries() {
        if let Some((_, Class::Only(wanted))) = table::FILE.iter().find(|(name, _)| *name == key) {
            check(key, value, *wanted, None)?;
        }
    }
    Ok(())
}

/// Refuses a file for any key that would change what is computed; `config` is what the engine makes of those it reads.
pub(super) fn check_all(gguf: &Gguf<'_>, config: &Config) -> Result<(), ModelError> {
    for (key, value) in gguf.entries() {
        match class(config.architecture.name, key) {
            Some(Class::Read | Class::Harmless(_)) => {}
            Some(Class::Only(wanted)) => check(key, value, wanted, Some(config))?,
            None => return Err(ModelError::UnknownKey { key: key.chars().take(SHOWN).collect() }),
        }
    }
    Ok(())
}

/// Longest part of an unknown key that an error repeats, in characters.
const SHOWN: usize = 80;

/// Relative tolerance for a number in single precision against the one computed here.
const TOLERANCE: f64 = 1e-6;

fn check(key: &str, value: Value<'_>, wanted: Wanted, config: Option<&Config>) -> Result<(), ModelError> {
    let own = |own: fn(&Config) -> f64| config.map_or(0.0, own);
    let fits = match wanted {
        Wanted::Absent(_) => false,
        Wanted::Bool(wanted) => matches!(value, Value::Bool(found) if found == wanted),
        Wanted::Text(texts) => {
            matches!(value, Value::String(found) if texts.iter().any(|text| text.as_bytes() == found))
        }
        Wanted::Numbers(numbers) => all(value, |found| numbers.contains(&found)),
        Wanted::Own(wanted) => {
            let wanted = own(wanted);
            all(value, |found| found == 0.0 || (found - wanted).abs() <= wanted.abs() * TOLERANCE)
        }
        Wanted::Whole => all(value, |found| found == 0.0 || found == 1.0),
    };
    if fits {
        return Ok(());
    }
    let wanted = match wanted {
        Wanted::Absent(reason) => format!("no such key: {reason}"),
        Wanted::Bool(wanted) => wanted.to_string(),
        Wanted::Text(texts) => listed(texts.iter().map(|text| format!("{text:?}"))),
        Wanted::Numbers(numbers) => listed(numbers.iter().map(f64::to_string)),
        Wanted::Own(wanted) => format!("{}, which goes with the model's other keys", own(wanted)),
        Wanted::Whole => "1: this file is a part of a split model; merge the parts into one file".into(),
    };
    Err(ModelError::Value { key: key.into(), value: value.to_string(), wanted })
}

/// Whether the value is a number that fits, or an array of nothing else.
fn all(value: Value<'_>, mut fits: impl FnMut(f64) -> bool) -> bool {
    value.elements().all(|element| match element {
        Value::Integer(_, number) => fits(number as f64),
        Value::Float(_, number) => fits(number),
        Value::Bool(_) | Value::String(_) | Value::Array(..) => false,
    })
}

fn listed(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(" or ")
}
