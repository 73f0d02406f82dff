//! Methods of strings and mappings, and tests (`is …`).

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::error::{Problem, TemplateError};
use super::evaluate::{Given, contains};
use super::render::Renderer;
use super::value::Value;
use crate::chat::text::Text;

impl Renderer {
    /// `value.name(given)`.
    pub fn method(&self, value: &Value, name: &str, given: &Given) -> Result<Value, TemplateError> {
        let result = match value {
            Value::Text(text) => text_method(text, name, given),
            Value::Map(map) => match name {
                "get" => {
                    let default = given.get(1, "default").cloned().unwrap_or(Value::None);
                    given.text(0, "key").map(|key| value.get(key.as_str()).unwrap_or(default))
                }
                "keys" => Some(Value::list(map.iter().map(|(key, _)| Value::text(key)).collect())),
                "values" => Some(Value::list(map.iter().map(|(_, value)| value.clone()).collect())),
                "items" => Some(items(map)),
                _ => None,
            },
            Value::Undefined => return Err(self.type_error("a method", value)),
            _ => None,
        };
        let unsupported = || Problem::Unsupported { kind: "method", name: name.chars().take(40).collect() };
        result.ok_or_else(|| self.error(unsupported()))
    }

    /// `value is name(given)`.
    pub fn test(&self, value: &Value, name: &str, given: &Given) -> Result<bool, TemplateError> {
        let order = || given.get(0, "other").and_then(|other| value.order(other));
        let result = match name {
            "defined" => !matches!(value, Value::Undefined),
            "undefined" => matches!(value, Value::Undefined),
            "none" => matches!(value, Value::None),
            "boolean" => matches!(value, Value::Bool(_)),
            "true" => matches!(value, Value::Bool(true)),
            "false" => matches!(value, Value::Bool(false)),
            "integer" => matches!(value, Value::Integer(_)),
            "float" => matches!(value, Value::Float(_)),
            "number" => matches!(value, Value::Integer(_) | Value::Float(_) | Value::Bool(_)),
            "string" => matches!(value, Value::Text(_)),
            "mapping" => matches!(value, Value::Map(_)),
            "iterable" | "sequence" => {
                matches!(value, Value::Text(_) | Value::List(_) | Value::Map(_) | Value::Undefined)
            }
            "callable" => matches!(value, Value::Macro(_) | Value::Function(_)),
            "odd" => matches!(value, Value::Integer(number) if number % 2 != 0),
            "even" => matches!(value, Value::Integer(number) if number % 2 == 0),
            "divisibleby" => match (value, given.get(0, "num")) {
                (Value::Integer(number), Some(Value::Integer(divisor))) => {
                    number.checked_rem(*divisor) == Some(0)
                }
                _ => false,
            },
            "eq" | "equalto" | "sameas" => given.get(0, "other") == Some(value),
            "ne" => given.get(0, "other") != Some(value),
            "lt" | "lessthan" => order() == Some(Ordering::Less),
            "gt" | "greaterthan" => order() == Some(Ordering::Greater),
            "in" => given.get(0, "seq").and_then(|container| contains(container, value)) == Some(true),
            _ => {
                let name = name.chars().take(40).collect();
                return Err(self.error(Problem::Unsupported { kind: "test", name }));
            }
        };
        Ok(result)
    }
}

/// Keys and values as pairs.
pub fn items(map: &[(String, Value)]) -> Value {
    let pair = |(key, value): &(String, Value)| Value::list(Vec::from([Value::text(key), value.clone()]));
    Value::list(map.iter().map(pair).collect())
}

/// A method of strings; `None` when there is none of that name, or it does not take what it is given.
fn text_method(text: &Text, name: &str, given: &Given) -> Option<Value> {
    let string = text.as_str();
    // What is stripped: white space unless characters are given.
    let stripped = |c: char| given.text(0, "chars").map_or(c.is_whitespace(), |set| set.as_str().contains(c));
    let affix = |matches: fn(&str, &str) -> bool| match given.get(0, "prefix")? {
        Value::Text(affix) => Some(matches(string, affix.as_str())),
        Value::List(affixes) => Some(affixes.iter().any(|affix| match affix {
            Value::Text(affix) => matches(string, affix.as_str()),
            _ => false,
        })),
        _ => None,
    };
    Some(match name {
        "strip" => text.part(string.trim_matches(stripped)).into(),
        "lstrip" => text.part(string.trim_start_matches(stripped)).into(),
        "rstrip" => text.part(string.trim_end_matches(stripped)).into(),
        "upper" => text.map(str::to_uppercase).into(),
        "lower" => text.map(str::to_lowercase).into(),
        "capitalize" => text.map(capitalized).into(),
        "title" => text.map(titled).into(),
        "startswith" => Value::Bool(affix(|text, start| text.starts_with(start))?),
        "endswith" => Value::Bool(affix(|text, end| text.ends_with(end))?),
        "find" => match string.find(given.text(0, "sub")?.as_str()) {
            Some(at) => Value::Integer(string[..at].chars().count() as i64),
            None => Value::Integer(-1),
        },
        "replace" => text.replace(given.text(0, "old")?, given.text(1, "new")?).into(),
        "removeprefix" => {
            let prefix = given.text(0, "prefix")?.as_str();
            text.part(string.strip_prefix(prefix).unwrap_or(string)).into()
        }
        "removesuffix" => {
            let suffix = given.text(0, "suffix")?.as_str();
            text.part(string.strip_suffix(suffix).unwrap_or(string)).into()
        }
        "split" => split(text, given)?,
        _ => return None,
    })
}

fn split(text: &Text, given: &Given) -> Option<Value> {
    let string = text.as_str();
    let part = |part: &str| Value::from(text.part(part));
    let parts = match (given.get(0, "sep"), given.get(1, "maxsplit")) {
        (None | Some(Value::None), None) => string.split_whitespace().map(part).collect(),
        (Some(Value::Text(separator)), limit) if !separator.as_str().is_empty() => match limit {
            None => string.split(separator.as_str()).map(part).collect(),
            Some(Value::Integer(limit)) => {
                let pieces = usize::try_from(*limit).ok()?.checked_add(1)?;
                string.splitn(pieces, separator.as_str()).map(part).collect()
            }
            Some(_) => return None,
        },
        _ => return None,
    };
    Some(Value::list(parts))
}

/// The first letter large, all others small.
pub fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars.as_str().to_lowercase().chars()).collect()
}

/// Every word capitalised.
pub fn titled(text: &str) -> String {
    let mut inside = false;
    let mut titled = String::with_capacity(text.len());
    for character in text.chars() {
        if inside {
            titled.extend(character.to_lowercase());
        } else {
            titled.extend(character.to_uppercase());
        }
        inside = character.is_alphabetic();
    }
    titled
}
