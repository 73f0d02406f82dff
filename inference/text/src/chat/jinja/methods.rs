//! Methods of strings and mappings.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::arguments::Given;
use super::error::TemplateError;
use super::fuel::{ELEMENT, STEP, TEXT};
use super::render::Renderer;
use super::value::{Map, Value};
use super::words::{capitalized, is_space, lines, titled};
use crate::chat::text::Text;

const OPERATION: &str = "a method";

impl Renderer {
    /// `value.name(given)`.
    pub fn method(&self, value: &Value, name: &str, given: Given) -> Result<Value, TemplateError> {
        match value {
            Value::Text(text) => self.text_method(text, name, given),
            Value::Map(map) => self.map_method(map, name, given),
            Value::Undefined => Err(self.type_error(OPERATION, value)),
            _ => Err(self.unsupported("method", name)),
        }
    }

    fn map_method(&self, map: &Map, name: &str, given: Given) -> Result<Value, TemplateError> {
        if name == "get" {
            let [key, default] = self.bind(given, name, ["key", "default"])?;
            let key = self.required(key, name, "key")?;
            let found = self.find(map, &key)?.cloned();
            return Ok(found.or(default).unwrap_or(Value::None));
        }
        self.pay(map.entries().len() * ELEMENT, OPERATION)?;
        let entries = map.entries().iter();
        let result = match name {
            "keys" => self.list(entries.map(|(key, _)| key.clone()).collect(), OPERATION),
            "values" => self.list(entries.map(|(_, value)| value.clone()).collect(), OPERATION),
            "items" => self.items(map),
            _ => Err(self.unsupported("method", name)),
        }?;
        self.bind_none(given, name)?;
        Ok(result)
    }

    fn text_method(&self, text: &Arc<Text>, name: &str, given: Given) -> Result<Value, TemplateError> {
        let string = text.as_str();
        match name {
            "strip" | "lstrip" | "rstrip" => {
                let [set] = self.bind(given, name, ["chars"])?;
                self.trimmed(text, name, "chars", set)
            }
            "startswith" | "endswith" => {
                let [affix] = self.bind(given, name, ["prefix"])?;
                let affix = self.required(affix, name, "prefix")?;
                self.has_affix(string, name, &affix)
            }
            "find" => {
                let [part] = self.bind(given, name, ["sub"])?;
                let part = self.text_argument(part, name, "sub")?;
                self.pay(STEP + 2 * string.len() + part.as_str().len(), "find")?;
                let at = string.find(part.as_str());
                Ok(Value::Integer(at.map_or(-1, |at| string[..at].chars().count() as i64)))
            }
            "replace" => self.replaced(text, name, ["old", "new", "count"], given),
            "removeprefix" | "removesuffix" => {
                let [affix] = self.bind(given, name, ["affix"])?;
                let affix = self.text_argument(affix, name, "affix")?;
                self.pay(STEP + affix.as_str().len(), OPERATION)?;
                let rest = match name {
                    "removeprefix" => string.strip_prefix(affix.as_str()),
                    _ => string.strip_suffix(affix.as_str()),
                };
                self.part(text, rest.unwrap_or(string), OPERATION)
            }
            "split" | "rsplit" => {
                let [separator, most] = self.bind(given, name, ["sep", "maxsplit"])?;
                let most = self.integer_argument(most, name, "maxsplit")?.unwrap_or(-1);
                self.split(text, name, separator, usize::try_from(most).unwrap_or(usize::MAX))
            }
            "splitlines" => {
                let [keep] = self.bind(given, name, ["keepends"])?;
                self.pay(string.len() * (1 + ELEMENT), OPERATION)?;
                let lines = lines(string, keep.is_some_and(|keep| keep.is_true()));
                let lines = lines.into_iter().map(|line| self.part(text, line, OPERATION));
                self.list(lines.collect::<Result<_, _>>()?, OPERATION)
            }
            "join" => {
                let [parts] = self.bind(given, name, ["iterable"])?;
                let parts = self.elements(&self.required(parts, name, "iterable")?, "joining")?;
                match parts.iter().find(|part| !matches!(part, Value::Text(_))) {
                    Some(other) => Err(self.type_error("joining", other)),
                    None => self.concatenated(&parts, Some(text)),
                }
            }
            _ => {
                let result = match name {
                    "upper" => self.changed(text, str::to_uppercase),
                    "lower" => self.changed(text, str::to_lowercase),
                    "capitalize" => self.changed(text, capitalized),
                    "title" => self.changed(text, titled),
                    _ => Err(self.unsupported("method", name)),
                }?;
                self.bind_none(given, name)?;
                Ok(result)
            }
        }
    }

    /// `text` without the characters of `set`, by default white space, at the ends that `name` means.
    pub fn trimmed(
        &self,
        text: &Text,
        name: &str,
        argument: &str,
        set: Option<Value>,
    ) -> Result<Value, TemplateError> {
        let set = match set {
            None | Some(Value::None) => None,
            set => Some(self.text_argument(set, name, argument)?),
        };
        let string = text.as_str();
        let tries = set.as_ref().map_or(1, |set| set.as_str().len() + 1);
        self.pay(STEP + string.len().saturating_mul(tries), OPERATION)?;
        let goes = |c: char| set.as_ref().map_or_else(|| is_space(c), |set| set.as_str().contains(c));
        let rest = match name {
            "lstrip" => string.trim_start_matches(goes),
            "rstrip" => string.trim_end_matches(goes),
            _ => string.trim_matches(goes),
        };
        self.part(text, rest, OPERATION)
    }

    /// `text` with one string replaced by another, so many times at most.
    pub fn replaced(
        &self,
        text: &Text,
        name: &str,
        names: [&str; 3],
        given: Given,
    ) -> Result<Value, TemplateError> {
        let [from, to, most] = self.bind(given, name, names)?;
        let (from, to) = (self.text_argument(from, name, "old")?, self.text_argument(to, name, "new")?);
        let most = self.integer_argument(most, name, "count")?.unwrap_or(-1);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        self.pay(STEP + 2 * (text.as_str().len() + from.as_str().len()), "replace")?;
        let count = text.as_str().matches(from.as_str()).take(most).count();
        // Between two of them there is at most one range more than there was.
        let size = to.size() + size_of::<core::ops::Range<usize>>() + TEXT;
        self.pay(size.saturating_mul(count).saturating_add(TEXT + text.size()), "replace")?;
        Ok(text.replace(from.as_str(), &to, most).into())
    }

    fn has_affix(&self, string: &str, name: &str, affix: &Value) -> Result<Value, TemplateError> {
        let has = |affix: &Value| match affix {
            Value::Text(affix) => {
                self.pay(STEP + affix.as_str().len(), OPERATION)?;
                let affix = affix.as_str();
                Ok(if name == "startswith" { string.starts_with(affix) } else { string.ends_with(affix) })
            }
            _ => Err(self.bad_argument(name, "prefix", "is no string")),
        };
        let Value::List(affixes) = affix else { return has(affix).map(Value::Bool) };
        for affix in affixes.values() {
            if has(affix)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }

    /// The parts of `text` between separators, by default white space; `most` separators count, from the left or,
    /// by `rsplit`, from the right.
    fn split(
        &self,
        text: &Text,
        name: &str,
        separator: Option<Value>,
        most: usize,
    ) -> Result<Value, TemplateError> {
        const OPERATION: &str = "split";
        let from_right = name == "rsplit";
        let mut rest = text.as_str();
        self.pay(STEP + 2 * rest.len(), OPERATION)?;
        let mut parts = Vec::new();
        let mut keep = |part: &str| {
            self.pay(ELEMENT, OPERATION)?;
            parts.push(self.part(text, part, OPERATION)?);
            Ok(())
        };
        match separator {
            None | Some(Value::None) => {
                for _ in 0..most {
                    rest = next_word(rest, from_right);
                    let cut = match from_right {
                        false => rest.split_once(is_space),
                        true => rest.rsplit_once(is_space).map(|(rest, part)| (part, rest)),
                    };
                    let Some((part, behind)) = cut else { break };
                    keep(part)?;
                    rest = behind;
                }
                // The rest that is not cut keeps the white space at its far end.
                rest = next_word(rest, from_right);
                if !rest.is_empty() {
                    keep(rest)?;
                }
            }
            separator => {
                let separator = self.text_argument(separator, name, "sep")?;
                let separator = separator.as_str();
                if separator.is_empty() {
                    return Err(self.bad_argument(name, "sep", "is empty"));
                }
                for _ in 0..most {
                    let cut = match from_right {
                        false => rest.split_once(separator),
                        true => rest.rsplit_once(separator).map(|(rest, part)| (part, rest)),
                    };
                    let Some((part, behind)) = cut else { break };
                    self.pay(separator.len(), OPERATION)?;
                    keep(part)?;
                    rest = behind;
                }
                keep(rest)?;
            }
        }
        if from_right {
            parts.reverse();
        }
        self.list(parts, OPERATION)
    }
}

/// `rest` without white space in front of its first word, or behind its last.
fn next_word(rest: &str, last: bool) -> &str {
    if last { rest.trim_end_matches(is_space) } else { rest.trim_start_matches(is_space) }
}
