//! Filters: `value | name(arguments)`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::arguments::Given;
use super::error::TemplateError;
use super::fuel::{ELEMENT, STEP, TEXT};
use super::render::Renderer;
use super::value::{Map, Value};
use super::words::{capitalized, lines, parsed_float, parsed_integer, title_words};
use crate::chat::text::Text;

const OPERATION: &str = "a filter";

impl Renderer {
    /// `value | name(given)`.
    pub fn filter(&self, value: &Value, name: &str, given: Given) -> Result<Value, TemplateError> {
        self.enter()?;
        let result = match name {
            "default" | "d" => self.default(value, name, given),
            "tojson" => self.to_json(value, given),
            "join" => self.joined(value, given),
            "select" | "reject" => self.selected(value, None, name == "select", name, given),
            "selectattr" | "rejectattr" => self.selected_by(value, name == "selectattr", name, given),
            "map" => self.mapped(value, given),
            "dictsort" => self.sorted_items(value, given),
            "indent" => self.indented(value, given),
            "replace" => {
                let text = self.show(value)?;
                self.replaced(&text, name, ["old", "new", "count"], given)
            }
            "trim" => {
                let text = self.show(value)?;
                let [set] = self.bind(given, name, ["chars"])?;
                self.trimmed(&text, name, "chars", set)
            }
            "int" => self.to_integer(value, given),
            "float" => self.to_float(value, given),
            _ => {
                self.plain_filter(value, name).and_then(|result| self.bind_none(given, name).map(|()| result))
            }
        };
        self.leave();
        result
    }

    /// A filter without arguments.
    fn plain_filter(&self, value: &Value, name: &str) -> Result<Value, TemplateError> {
        match name {
            "string" => Ok(Value::Text(self.show(value)?)),
            "upper" => self.changed(&*self.show(value)?, str::to_uppercase),
            "lower" => self.changed(&*self.show(value)?, str::to_lowercase),
            "capitalize" => self.changed(&*self.show(value)?, capitalized),
            "title" => self.changed(&*self.show(value)?, title_words),
            "length" | "count" => self.length(value),
            "abs" => match value {
                Value::Float(number) => Ok(Value::Float(number.abs())),
                _ => self.signed(value.integer().is_some_and(|number| number < 0), value),
            },
            "items" => match value {
                Value::Undefined => self.list(Vec::new(), OPERATION),
                Value::Map(map) => self.items(map),
                other => Err(self.type_error("items", other)),
            },
            "first" => Ok(self.elements(value, OPERATION)?.into_iter().next().unwrap_or(Value::Undefined)),
            "last" => Ok(self.elements(value, OPERATION)?.pop().unwrap_or(Value::Undefined)),
            "list" => self.list(self.elements(value, OPERATION)?, OPERATION),
            "reverse" => {
                let mut elements = self.elements(value, OPERATION)?;
                elements.reverse();
                match value {
                    Value::Text(_) => self.concatenated(&elements, None),
                    _ => self.list(elements, OPERATION),
                }
            }
            _ => Err(self.unsupported("filter", name)),
        }
    }

    /// `text` after `change`, which at most triples it.
    pub fn changed(
        &self,
        text: &Text,
        change: fn(&str) -> alloc::string::String,
    ) -> Result<Value, TemplateError> {
        self.pay(TEXT + 4 * text.as_str().len(), "a change of letters")?;
        Ok(text.map(change).into())
    }

    fn length(&self, value: &Value) -> Result<Value, TemplateError> {
        let length = match value {
            Value::Undefined => 0,
            Value::Text(text) => {
                self.pay(text.as_str().len(), "counting")?;
                text.as_str().chars().count()
            }
            Value::List(list) => list.values().len(),
            Value::Map(map) => map.entries().len(),
            other => return Err(self.type_error("counting", other)),
        };
        Ok(Value::Integer(length as i64))
    }

    /// Keys and values as pairs.
    pub fn items(&self, map: &Map) -> Result<Value, TemplateError> {
        self.pay(map.entries().len() * 3 * ELEMENT, "items")?;
        let pair = |(key, value): &(Value, Value)| self.list([key.clone(), value.clone()].into(), "items");
        self.list(map.entries().iter().map(pair).collect::<Result<_, _>>()?, "items")
    }

    /// Keys and values as pairs in the order of one of them.
    fn sorted_items(&self, value: &Value, given: Given) -> Result<Value, TemplateError> {
        const NAME: &str = "dictsort";
        let [by_case, by] = self.bind(given, NAME, ["case_sensitive", "by"])?;
        let by_case = by_case.is_some_and(|by_case| by_case.is_true());
        let by_value = match by {
            None => false,
            Some(Value::Text(by)) if by.as_str() == "key" => false,
            Some(Value::Text(by)) if by.as_str() == "value" => true,
            Some(_) => return Err(self.bad_argument(NAME, "by", "is neither \"key\" nor \"value\"")),
        };
        let Value::Map(map) = value else { return Err(self.type_error(NAME, value)) };
        let mut keyed = Vec::new();
        for entry in map.entries() {
            self.pay(3 * ELEMENT, NAME)?;
            keyed.push(match if by_value { &entry.1 } else { &entry.0 } {
                Value::Text(text) if !by_case => (self.changed(text, str::to_lowercase)?, entry),
                other => (other.clone(), entry),
            });
        }
        let pair =
            |(_, (key, value)): (_, &(Value, Value))| self.list([key.clone(), value.clone()].into(), NAME);
        self.list(self.sorted(keyed)?.into_iter().map(pair).collect::<Result<_, _>>()?, NAME)
    }

    /// The default for an undefined value, or with a second argument for any that is not true.
    fn default(&self, value: &Value, name: &str, given: Given) -> Result<Value, TemplateError> {
        let [default, any] = self.bind(given, name, ["default_value", "boolean"])?;
        let any = any.is_some_and(|any| any.is_true());
        if matches!(value, Value::Undefined) || any && !value.is_true() {
            return Ok(default.unwrap_or_else(|| Text::default().into()));
        }
        Ok(value.clone())
    }

    fn to_integer(&self, value: &Value, given: Given) -> Result<Value, TemplateError> {
        let [default] = self.bind(given, "int", ["default"])?;
        let number = match value {
            Value::Text(text) => {
                let text = self.number_text(text, "int")?;
                parsed_integer(text)
            }
            Value::Float(number) if number.abs() < 9.2e18 => Some(libm::trunc(*number) as i64),
            Value::Float(_) | Value::Undefined => return Err(self.type_error("int", value)),
            other => other.integer(),
        };
        Ok(number.map_or_else(|| default.unwrap_or(Value::Integer(0)), Value::Integer))
    }

    fn to_float(&self, value: &Value, given: Given) -> Result<Value, TemplateError> {
        let [default] = self.bind(given, "float", ["default"])?;
        let number = match value {
            Value::Text(text) => parsed_float(self.number_text(text, "float")?),
            Value::Float(number) => Some(*number),
            Value::Undefined => return Err(self.type_error("float", value)),
            other => other.integer().map(|number| number as f64),
        };
        Ok(number.map_or_else(|| default.unwrap_or(Value::Float(0.0)), Value::Float))
    }

    /// `text` for the filter `name`, which reads numbers.
    fn number_text<'t>(&self, text: &'t Text, name: &'static str) -> Result<&'t str, TemplateError> {
        let text = text.as_str();
        self.pay(STEP + 4 * text.len(), name)?;
        // Python reads the digits of every script.
        if text.chars().any(|c| !c.is_ascii() && c.is_numeric()) {
            return Err(self.unsupported("number in", "a script other than Latin"));
        }
        Ok(text)
    }

    /// Line breaks with `width` behind them, and with `first` also the beginning; empty lines only with `blank`.
    fn indented(&self, value: &Value, given: Given) -> Result<Value, TemplateError> {
        const NAME: &str = "indent";
        let Value::Text(text) = value else { return Err(self.type_error(NAME, value)) };
        let [width, first, blank] = self.bind(given, NAME, ["width", "first", "blank"])?;
        let indentation = match width {
            None => Arc::new(Text::inside("    ")),
            Some(Value::Text(width)) => width,
            Some(width) => {
                let width = self.integer_argument(Some(width), NAME, "width")?.unwrap_or(0);
                let width = usize::try_from(width).unwrap_or(0);
                self.pay(TEXT.saturating_add(width), NAME)?;
                Arc::new(Text::inside(&" ".repeat(width)))
            }
        };
        let [first, blank] = [first, blank].map(|flag| flag.is_some_and(|flag| flag.is_true()));
        self.pay(STEP + 2 * text.as_str().len() + TEXT, NAME)?;
        let mut all = Text::default();
        // A line break at the end begins a last line, which is empty.
        let ended = alloc::format!("{}\n", text.as_str());
        let line_break = Text::inside("\n");
        let mut from = 0;
        for (index, line) in lines(&ended, true).into_iter().enumerate() {
            let content = lines(line, false).first().map_or(0, |content| content.len());
            if index > 0 {
                self.push(&mut all, &line_break, NAME)?;
            }
            if if index == 0 { first } else { content > 0 || blank } {
                self.push(&mut all, &indentation, NAME)?;
            }
            self.pay(TEXT + 2 * content, NAME)?;
            all.push(&text.slice(from..from + content));
            from += line.len();
        }
        Ok(all.into())
    }
}
