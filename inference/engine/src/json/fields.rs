//! The fields of one request: taken by name and type, so that every error names the field at fault.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde_json::{Map, Value, json};

use super::unique::Unique;

/// A fault of a request, and its field.
#[derive(Debug)]
pub struct BadLine {
    /// The field; `None` for the line as a whole.
    pub field: Option<String>,
    /// What is wrong with it.
    pub error: String,
}

impl BadLine {
    /// The line as a whole.
    pub fn whole(error: impl fmt::Display) -> Self {
        Self { field: None, error: error.to_string() }
    }

    /// One field.
    pub fn field(field: &str, error: impl fmt::Display) -> Self {
        Self { field: Some(field.to_owned()), error: error.to_string() }
    }

    /// The answer to line `number`.
    pub fn at_line(&self, number: usize) -> Value {
        json!({ "line": number, "field": self.field, "error": self.error })
    }
}

/// `line` without a byte-order mark in front, which says that it is UTF-8: a file may begin with one, and so may each
/// of files that were joined.
pub fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
}

/// A request's fields that have not been taken yet.
pub struct Fields(Map<String, Value>);

impl Fields {
    /// The object that `line` is.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(line: &[u8]) -> Result<Self, BadLine> {
        if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
            return Err(BadLine::whole("not UTF-8 but UTF-16, by its byte-order mark"));
        }
        match serde_json::from_slice::<Unique>(without_mark(line)).map(|Unique(value)| value) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(BadLine::whole("not a JSON object")),
            Err(error) => Err(BadLine::whole(error)),
        }
    }

    /// The fields of an object inside another.
    #[must_use]
    pub const fn of(object: Map<String, Value>) -> Self {
        Self(object)
    }

    /// Those that have not been taken, with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Takes whatever is there; `null` is nothing.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// Takes what `read` makes of it, which is `wanted`.
    ///
    /// # Errors
    /// When it makes nothing of it.
    pub fn take<T>(
        &mut self,
        name: &'static str,
        wanted: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, BadLine> {
        let Some(value) = self.value(name) else { return Ok(None) };
        read(&value).map(Some).ok_or_else(|| BadLine::field(name, format!("wants {wanted}")))
    }

    /// Whether there is such a field that has not been taken.
    pub fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// A string.
    ///
    /// # Errors
    /// When it is something else, here and below.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, BadLine> {
        self.take(name, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// A truth value, `false` when it is missing.
    pub fn flag(&mut self, name: &'static str) -> Result<bool, BadLine> {
        Ok(self.take(name, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    /// A whole number of at least 0.
    pub fn count(&mut self, name: &'static str) -> Result<Option<usize>, BadLine> {
        self.take(name, "a whole number of at least 0", |value| usize::try_from(value.as_u64()?).ok())
    }

    /// A number from `low` to `high`.
    pub fn number(&mut self, name: &'static str, low: f32, high: f32) -> Result<Option<f32>, BadLine> {
        let within = |value: &Value| {
            let number = value.as_f64()? as f32;
            (low..=high).contains(&number).then_some(number)
        };
        self.take(name, &format!("a number from {low} to {high}"), within)
    }

    /// Token ids below `vocabulary`.
    pub fn ids(&mut self, name: &'static str, vocabulary: usize) -> Result<Option<Vec<u32>>, BadLine> {
        let id = |value: &Value| u32::try_from(value.as_u64()?).ok().filter(|&id| (id as usize) < vocabulary);
        let wanted = format!("a list of token ids below {vocabulary}");
        self.take(name, &wanted, |value| value.as_array()?.iter().map(id).collect())
    }

    /// Strings, none of them empty.
    pub fn texts(&mut self, name: &'static str) -> Result<Vec<String>, BadLine> {
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let list = self.take(name, "a list of strings that are not empty", |value| {
            value.as_array()?.iter().map(text).collect()
        });
        Ok(list?.unwrap_or_default())
    }

    /// A list of objects with these string fields and no others.
    pub fn records<const N: usize>(
        &mut self,
        name: &'static str,
        keys: [&str; N],
    ) -> Result<Option<Vec<[String; N]>>, BadLine> {
        let record = |value: &Value| {
            let object = value.as_object().filter(|object| object.len() == N)?;
            let texts = keys.map(|key| object.get(key).and_then(Value::as_str).map(str::to_owned));
            texts.iter().all(Option::is_some).then(|| texts.map(Option::unwrap_or_default))
        };
        let wanted = format!("a list of objects with the strings {}", keys.join(", "));
        self.take(name, &wanted, |value| value.as_array()?.iter().map(record).collect())
    }

    /// Ends the request: fields that have not been taken are unknown.
    ///
    /// # Errors
    /// When there is such a field.
    pub fn finish(self) -> Result<(), BadLine> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(BadLine::field(name, "is not known here")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: &str) -> Fields {
        Fields::parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn errors_name_the_field() {
        let errors = [
            fields(r#"{"text": 1}"#).text("text").unwrap_err(),
            fields(r#"{"ids": [1, 9]}"#).ids("ids", 9).unwrap_err(),
            fields(r#"{"ids": [-1]}"#).ids("ids", 9).unwrap_err(),
            fields(r#"{"top_p": 1.5}"#).number("top_p", 0.0, 1.0).unwrap_err(),
            fields(r#"{"stop": [""]}"#).texts("stop").unwrap_err(),
            fields(r#"{"messages": [{"role": "user"}]}"#)
                .records("messages", ["role", "content"])
                .unwrap_err(),
        ];
        for (error, name) in errors.iter().zip(["text", "ids", "ids", "top_p", "stop", "messages"]) {
            let answer = error.at_line(7);
            assert_eq!((answer["line"].as_u64(), answer["field"].as_str()), (Some(7), Some(name)));
        }
    }

    #[test]
    fn lines_that_are_no_objects_are_refused() {
        for line in [
            br#"{"text": "a", "text": "b"}"#,
            &b"[]"[..],
            b"{",
            b"{} {}",
            b"\"\xff\"",
            br#"{"text": "\ud800"}"#,
        ] {
            assert!(Fields::parse(line).is_err(), "{line:?}");
        }
        let error = fields(r#"{"txet": 1}"#).finish().unwrap_err();
        assert_eq!(error.at_line(1)["field"].as_str(), Some("txet"));
    }

    #[test]
    fn what_is_there_is_taken() {
        let mut all =
            fields(r#"{"ids": [1, 2], "special": true, "n": 3, "m": [{"a": "x", "b": "y"}], "s": null}"#);
        assert_eq!(all.ids("ids", 9).unwrap(), Some(vec![1, 2]));
        assert!(all.flag("special").unwrap() && !all.flag("other").unwrap());
        assert_eq!(all.count("n").unwrap(), Some(3));
        assert_eq!(all.records("m", ["a", "b"]).unwrap(), Some(vec![["x".into(), "y".into()]]));
        assert_eq!(all.text("s").unwrap(), None);
        all.finish().unwrap();
    }
}
