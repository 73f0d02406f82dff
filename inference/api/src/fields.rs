//! The fields of a call's body, each with its class: read, harmless for a reason, taken with some values only, or not
//! known here.

mod table;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use embodios_engine::json::{BadLine, Fields};
use serde_json::Value;

use crate::{ApiError, Endpoint};

/// Most names of fields that are kept, and most characters of each.
const MOST_IGNORED: (usize, usize) = (32, 64);

/// What becomes of a field.
enum Class {
    /// It is looked at.
    Read,
    /// It changes no token of an answer, or changes nothing here: the reason.
    Harmless(#[allow(dead_code, reason = "for those who read the table")] &'static str),
    /// Anything else asks for what this server does not do: the reason.
    Only(Wanted, &'static str),
}

/// Values of a field that ask for nothing but what is done.
enum Wanted {
    /// None but `null`.
    Absent,
    /// An empty text, list or object.
    Empty,
    /// This one.
    Bool(bool),
    /// These.
    Numbers(&'static [f64]),
    /// These, alone or as a list.
    Texts(&'static [&'static str]),
    /// An object whose member of this name is one of these, where it is there.
    Member(&'static str, &'static [&'static str]),
}

impl Wanted {
    fn holds(&self, value: &Value) -> bool {
        let is_text =
            |texts: &[&str], value: &Value| value.as_str().is_some_and(|text| texts.contains(&text));
        match (self, value) {
            (Self::Absent, _) => false,
            (Self::Empty, Value::String(text)) => text.is_empty(),
            (Self::Empty, Value::Array(list)) => list.is_empty(),
            (Self::Empty, Value::Object(object)) => object.is_empty(),
            (Self::Empty, _) => false,
            (Self::Bool(wanted), value) => value.as_bool() == Some(*wanted),
            (Self::Numbers(numbers), value) => value.as_f64().is_some_and(|number| numbers.contains(&number)),
            (Self::Texts(texts), Value::Array(list)) => list.iter().all(|value| is_text(texts, value)),
            (Self::Texts(texts), value) => is_text(texts, value),
            (Self::Member(name, texts), Value::Object(object)) => {
                object.get(*name).is_none_or(|value| value.is_null() || is_text(texts, value))
            }
            (Self::Member(..), _) => false,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => write!(f, "leave it out"),
            Self::Empty => write!(f, "leave it out or empty"),
            Self::Bool(value) => write!(f, "only {value} is taken"),
            Self::Numbers(numbers) => write!(f, "only {numbers:?} is taken"),
            Self::Texts(texts) => write!(f, "only {texts:?} is taken"),
            Self::Member(name, texts) => {
                write!(f, "only an object whose {name} is one of {texts:?} is taken")
            }
        }
    }
}

/// Names that are nobody's, safe to be written anywhere.
#[derive(Debug, Default)]
pub struct Ignored(pub Vec<String>);

impl Ignored {
    /// Takes note of a name, `inside` that of an object, once.
    pub fn add(&mut self, inside: &str, name: &str) {
        let safe = |character: char| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => character,
            _ => '?',
        };
        let mut whole = String::from(inside);
        whole.extend(name.chars().take(MOST_IGNORED.1).map(safe));
        if self.0.len() < MOST_IGNORED.0 && !self.0.contains(&whole) {
            self.0.push(whole);
        }
    }
}

/// The fields of `body` that are read at `endpoint`.
///
/// # Errors
/// When the body is no object, or a field asks for something that is not done.
pub fn known(endpoint: Endpoint, body: &[u8], ignored: &mut Ignored) -> Result<Fields, ApiError> {
    let mut fields = Fields::parse(body)?;
    let mut others = Vec::new();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        match table::class(endpoint, name) {
            Some(Class::Read) => continue,
            Some(Class::Harmless(_)) => {}
            Some(Class::Only(wanted, _)) if wanted.holds(value) => {}
            Some(Class::Only(wanted, reason)) => {
                return Err(ApiError::field(name, format!("{reason}; {wanted}")));
            }
            None => ignored.add("", name),
        }
        others.push(String::from(name));
    }
    for name in &others {
        fields.value(name);
    }
    Ok(fields)
}

/// The whole number that `value` is, from `low` to `high`.
pub fn whole(value: &Value, low: i64, high: i64) -> Option<i64> {
    value.as_i64().filter(|number| (low..=high).contains(number))
}

impl From<BadLine> for ApiError {
    fn from(BadLine { field, error }: BadLine) -> Self {
        match field {
            Some(field) => Self::field(&field, error),
            None => Self::invalid(format!("the body is no request: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint::{Chat, Completions, Responses};

    fn error(endpoint: Endpoint, body: &str) -> Option<ApiError> {
        known(endpoint, body.as_bytes(), &mut Ignored::default()).err()
    }

    #[test]
    fn every_row_of_the_table_holds() {
        for endpoint in [Chat, Completions, Responses] {
            for (name, class) in table::rows(endpoint) {
                // No such value is among those that only some of are taken.
                let body = format!("{{\"{name}\": {{\"type\": \"strange\", \"effort\": \"strange\"}}}}");
                let mut ignored = Ignored::default();
                let found = known(endpoint, body.as_bytes(), &mut ignored);
                assert!(ignored.0.is_empty(), "{name}");
                match class {
                    Class::Read => assert!(found.unwrap().has(name)),
                    Class::Harmless(reason) => {
                        assert!(!found.unwrap().has(name) && reason.len() > 10, "{name}")
                    }
                    Class::Only(_, reason) => {
                        let error = found.err().unwrap_or_else(|| panic!("{name} is taken"));
                        assert_eq!((error.status, error.param.as_deref()), (400, Some(name)));
                        assert!(error.message.contains(reason) && error.message.contains(name), "{error}");
                        assert_eq!(self::error(endpoint, &format!("{{\"{name}\": null}}")), None);
                    }
                }
            }
        }
    }

    #[test]
    fn no_field_is_there_twice() {
        for endpoint in [Chat, Completions, Responses] {
            let mut names: Vec<_> = table::rows(endpoint).map(|(name, _)| name).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }

    #[test]
    fn what_asks_for_nothing_is_taken() {
        let harmless = r#"{"tools": [], "tool_choice": "auto", "functions": [], "function_call": "none",
            "response_format": {"type": "text"}, "json_schema": null, "grammar": "", "modalities": ["text"],
            "parallel_tool_calls": true, "user": "me", "metadata": {"a": "b"}, "store": true,
            "service_tier": "auto", "safety_identifier": "x", "prompt_cache_key": "y", "reasoning_effort": "none",
            "mirostat": 0, "typical_p": 1.0, "min_tokens": 0, "skip_special_tokens": true}"#;
        assert_eq!(error(Chat, harmless), None);
        assert_eq!(error(Completions, r#"{"suffix": "", "logit_bias": {}, "best_of": 3}"#), None);
        let responses = r#"{"text": {"format": {"type": "text"}}, "reasoning": {}, "tools": [], "include": [],
            "truncation": "disabled", "background": false, "store": true, "previous_response_id": null}"#;
        assert_eq!(error(Responses, responses), None);
    }

    #[test]
    fn what_asks_for_more_is_refused_by_name() {
        for (endpoint, name, value) in [
            (Chat, "tools", r#"[{"type": "function"}]"#),
            (Chat, "tool_choice", r#""required""#),
            (Chat, "tool_choice", r#"{"type": "function"}"#),
            (Chat, "response_format", r#"{"type": "json_object"}"#),
            (Chat, "response_format", r#""text""#),
            (Chat, "json_schema", "{}"),
            (Chat, "modalities", r#"["text", "audio"]"#),
            (Chat, "reasoning_effort", r#""low""#),
            (Chat, "xtc_probability", "0.5"),
            (Completions, "suffix", r#""x""#),
            (Completions, "guided_json", "{}"),
            (Responses, "previous_response_id", r#""resp_1""#),
            (Responses, "truncation", r#""auto""#),
            (Responses, "background", "true"),
        ] {
            let error = error(endpoint, &format!("{{\"{name}\": {value}}}")).expect(name);
            assert_eq!((error.status, error.param.as_deref()), (400, Some(name)), "{error}");
        }
    }

    #[test]
    fn names_that_nobody_knows_are_kept_and_safe() {
        let mut ignored = Ignored::default();
        let body = r#"{"a\r\nB: c": 1, "zebra": [], "null": null, "model": "m"}"#;
        let fields = known(Chat, body.as_bytes(), &mut ignored).unwrap();
        assert!(fields.has("model") && !fields.has("zebra"));
        assert_eq!(ignored.0, ["a??B??c", "zebra"]);
        (0..100).for_each(|number| ignored.add("messages.", &format!("{number}{}", "x".repeat(100))));
        assert!(ignored.0.len() == 32 && ignored.0.iter().all(|name| name.len() <= 64 + 9));
    }
}
