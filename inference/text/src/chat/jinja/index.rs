//! Parts of values: attributes, elements, slices.

use alloc::vec::Vec;

use super::ast::Expression;
use super::error::{Problem, TemplateError};
use super::fuel::{ELEMENT, STEP, TEXT};
use super::render::Renderer;
use super::value::Value;
use crate::chat::text::Text;

/// Names that strings, lists and mappings have as methods: none is the name of an attribute.
const STRING_METHODS: [&str; 47] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];
const LIST_METHODS: [&str; 11] =
    ["append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"];
const MAP_METHODS: [&str; 11] =
    ["clear", "copy", "fromkeys", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"];

/// Whether `value` has a method of this name.
fn has_method(value: &Value, name: &str) -> bool {
    match value {
        Value::Text(_) => STRING_METHODS.contains(&name),
        Value::List(_) => LIST_METHODS.contains(&name),
        Value::Map(_) => MAP_METHODS.contains(&name),
        _ => false,
    }
}

impl Renderer {
    /// `value.name`; `None` where there is no such attribute, or it is a method.
    pub fn attribute(&self, value: &Value, name: &str) -> Result<Option<Value>, TemplateError> {
        Ok(match value {
            Value::Map(map) if !has_method(value, name) => self.find_text(map, name)?.cloned(),
            Value::Namespace(variables) => variables.borrow().get(name).cloned(),
            Value::Loop(place) => place.get(name),
            Value::Undefined => return Err(self.type_error("an attribute", value)),
            _ => None,
        })
    }

    /// The stand-in for the attribute `name` that `value` has not.
    pub fn missing(&self, value: &Value, name: &str) -> Result<Value, TemplateError> {
        match has_method(value, name) {
            true => Err(self.unsupported("method without a call", name)),
            false => Ok(Value::Undefined),
        }
    }

    /// `value[index]`
    pub fn element(&self, value: &Value, index: &Value) -> Result<Value, TemplateError> {
        let found = match (value, index) {
            (Value::Map(map), key) => self.find(map, key)?.cloned(),
            (Value::Namespace(_) | Value::Loop(_), Value::Text(name)) => {
                self.attribute(value, name.as_str())?
            }
            (Value::List(list), index) if index.integer().is_some() => {
                place(index, list.values().len()).map(|at| list.values()[at].clone())
            }
            (Value::Text(text), index) if index.integer().is_some() => {
                self.pay(STEP + text.as_str().len(), "an index")?;
                let count = text.as_str().chars().count();
                let at = place(index, count).and_then(|at| text.as_str().char_indices().nth(at));
                match at {
                    Some((at, c)) => {
                        Some(self.part(text, &text.as_str()[at..at + c.len_utf8()], "an index")?)
                    }
                    None => None,
                }
            }
            (Value::Undefined, _) => return Err(self.type_error("an index", value)),
            _ => None,
        };
        match (found, index) {
            (Some(found), _) => Ok(found),
            (None, Value::Text(name)) => self.missing(value, name.as_str()),
            (None, _) => Ok(Value::Undefined),
        }
    }

    /// The value at `path` in `value`: names and whole numbers with points between, or a whole number.
    pub fn follow(&self, value: &Value, path: &Value) -> Result<Value, TemplateError> {
        let Value::Text(path) = path else { return self.element(value, path) };
        let mut found = value.clone();
        for part in path.as_str().split('.') {
            self.pay(STEP + part.len(), "an attribute")?;
            found = match part.parse() {
                Ok(number) if part.bytes().all(|byte| byte.is_ascii_digit()) => {
                    self.element(&found, &Value::Integer(number))?
                }
                _ => self.element(&found, &Value::text(part))?,
            };
        }
        Ok(found)
    }

    /// `value[start:stop:step]`
    pub fn slice(&mut self, value: &Value, parts: &[Option<Expression>; 3]) -> Result<Value, TemplateError> {
        let mut numbers = [None; 3];
        for (number, part) in numbers.iter_mut().zip(parts) {
            let Some(part) = part else { continue };
            *number = match self.evaluate(part)? {
                Value::None => None,
                other => Some(other.integer().ok_or_else(|| self.type_error("slicing", &other))?),
            };
        }
        let [start, stop, step] = numbers;
        let step = step.unwrap_or(1);
        if step == 0 {
            return Err(self.error(Problem::Bound("a slice has steps of zero")));
        }
        match value {
            Value::List(list) => {
                let values = list.values();
                self.pay(values.len() * ELEMENT, "slicing")?;
                let places = places(start, stop, step, values.len());
                self.list(places.map(|at| values[at].clone()).collect(), "slicing")
            }
            Value::Text(text) if step == 1 => {
                let string = text.as_str();
                self.pay(string.len(), "slicing")?;
                let (first, after) = bounds(start, stop, 1, string.chars().count());
                let byte = |at: i128| {
                    let at = usize::try_from(at).unwrap_or(0);
                    string.char_indices().nth(at).map_or(string.len(), |(byte, _)| byte)
                };
                let first_byte = byte(first);
                self.part(text, &string[first_byte..byte(after).max(first_byte)], "slicing")
            }
            Value::Text(text) => {
                let characters: Vec<Value> = self.elements(value, "slicing")?;
                self.pay(TEXT + text.size(), "slicing")?;
                let mut all = Text::default();
                for at in places(start, stop, step, characters.len()) {
                    let Value::Text(character) = &characters[at] else { continue };
                    self.push(&mut all, character, "slicing")?;
                }
                Ok(all.into())
            }
            other => Err(self.type_error("slicing", other)),
        }
    }
}

/// The place that `index` means among `count`; a negative one counts from the end.
fn place(index: &Value, count: usize) -> Option<usize> {
    let index = index.integer()?;
    let at = if index < 0 { i64::try_from(count).ok()?.checked_add(index)? } else { index };
    usize::try_from(at).ok().filter(|&at| at < count)
}

/// Beginning and end of a slice of `count` elements.
fn bounds(start: Option<i64>, stop: Option<i64>, step: i64, count: usize) -> (i128, i128) {
    let count = count as i128;
    let (low, high) = if step > 0 { (0, count) } else { (-1, count - 1) };
    let bound = |number: Option<i64>, default: i128| match number.map(i128::from) {
        None => default,
        Some(number) if number < 0 => (count + number).max(low),
        Some(number) => number.min(high),
    };
    if step > 0 { (bound(start, low), bound(stop, high)) } else { (bound(start, high), bound(stop, low)) }
}

/// The places that a slice of `count` elements takes.
fn places(start: Option<i64>, stop: Option<i64>, step: i64, count: usize) -> impl Iterator<Item = usize> {
    let (first, after) = bounds(start, stop, step, count);
    let step = i128::from(step);
    core::iter::successors(Some(first), move |at| Some(at + step))
        .take_while(move |&at| if step > 0 { at < after } else { at > after })
        .map(|at| at as usize)
}
