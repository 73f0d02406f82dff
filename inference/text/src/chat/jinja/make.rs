//! Values made while rendering: each is paid for before it is made, and none holds itself.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::error::{Problem, TemplateError};
use super::fuel::{COLLECTION, ELEMENT, TEXT};
use super::number::float_text;
use super::render::Renderer;
use super::value::{MAX_DEPTH, Value};
use crate::chat::text::Text;

impl Renderer {
    /// Appends `more`, for `operation`.
    pub fn push(&self, text: &mut Text, more: &Text, operation: &'static str) -> Result<(), TemplateError> {
        self.pay(more.size(), operation)?;
        text.push(more);
        Ok(())
    }

    /// The part `part` of `text`, which [`Text::as_str`] gave, for `operation`.
    pub fn part(&self, text: &Text, part: &str, operation: &'static str) -> Result<Value, TemplateError> {
        // More ranges are from outside than bytes only in texts without bytes.
        let ranges = text.outside_ranges().len().min(part.len());
        self.pay(TEXT + part.len() + ranges * size_of::<core::ops::Range<usize>>(), operation)?;
        Ok(text.part(part).into())
    }

    /// A list of `values`, for `operation`.
    pub fn list(&self, values: Vec<Value>, operation: &'static str) -> Result<Value, TemplateError> {
        self.pay(COLLECTION + values.len() * ELEMENT, operation)?;
        self.nested(Value::list(values))
    }

    /// A mapping of `entries`, whose keys are all different, for `operation`.
    pub fn map(&self, entries: Vec<(Value, Value)>, operation: &'static str) -> Result<Value, TemplateError> {
        self.pay(COLLECTION + entries.len() * 2 * ELEMENT, operation)?;
        self.nested(Value::map(entries))
    }

    /// As many values as `values` and the same, for `operation`.
    pub fn copied(&self, values: &[Value], operation: &'static str) -> Result<Vec<Value>, TemplateError> {
        self.pay(values.len() * ELEMENT, operation)?;
        Ok(values.to_vec())
    }

    /// `value`, unless it nests without end, or could be in a circle.
    fn nested(&self, value: Value) -> Result<Value, TemplateError> {
        if value.depth() > MAX_DEPTH {
            return Err(self.error(Problem::Bound("a value is nested too deep")));
        }
        Ok(value)
    }

    /// The elements of `value`, which has some, for a loop or a conversion to a list.
    pub fn elements(&self, value: &Value, operation: &'static str) -> Result<Vec<Value>, TemplateError> {
        Ok(match value {
            Value::Undefined => Vec::new(),
            Value::List(list) => {
                self.pay(COLLECTION + list.values().len() * ELEMENT, operation)?;
                list.values().to_vec()
            }
            Value::Map(map) => {
                self.pay(COLLECTION + map.entries().len() * ELEMENT, operation)?;
                map.entries().iter().map(|(key, _)| key.clone()).collect()
            }
            Value::Text(text) => {
                let string = text.as_str();
                self.pay(string.len(), operation)?;
                let mut characters = Vec::new();
                for (at, character) in string.char_indices() {
                    self.pay(ELEMENT, operation)?;
                    let part = &string[at..at + character.len_utf8()];
                    characters.push(self.part(text, part, operation)?);
                }
                characters
            }
            _ => return Err(self.type_error(operation, value)),
        })
    }

    /// The text that putting out `value` shows.
    pub fn show(&self, value: &Value) -> Result<Arc<Text>, TemplateError> {
        let text = match value {
            Value::Text(text) => return Ok(Arc::clone(text)),
            Value::Undefined => Text::default(),
            Value::None => Text::inside("None"),
            Value::Bool(true) => Text::inside("True"),
            Value::Bool(false) => Text::inside("False"),
            Value::Integer(number) => Text::inside(&number.to_string()),
            Value::Float(number) => Text::inside(&float_text(*number)),
            _ => return Err(self.type_error("putting out", value)),
        };
        self.pay(TEXT + text.size(), "putting out")?;
        Ok(Arc::new(text))
    }
}
