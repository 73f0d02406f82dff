//! Filters: `value | name(arguments)`.

use alloc::string::String;
use alloc::vec::Vec;

use super::error::{Problem, TemplateError};
use super::evaluate::Given;
use super::methods::{capitalized, items, titled};
use super::render::Renderer;
use super::value::Value;
use crate::chat::text::Text;

impl Renderer {
    /// `value | name(given)`.
    pub fn filter(&self, value: Value, name: &str, given: &Given) -> Result<Value, TemplateError> {
        match name {
            "default" | "d" => return Ok(default(value, given)),
            "tojson" => {
                let mut json = Text::default();
                self.json(&value, &mut json)?;
                return Ok(json.into());
            }
            "join" => return self.joined(&value, given),
            "select" | "reject" | "selectattr" | "rejectattr" => return self.selected(&value, name, given),
            "map" => return self.mapped(&value, given),
            "safe" => return Ok(value),
            "string" => return Ok(self.show(&value)?.into()),
            _ => {}
        }
        let result = match (&value, name) {
            (Value::Text(text), "trim") => Some(text.part(text.as_str().trim()).into()),
            (Value::Text(text), "upper") => Some(text.map(str::to_uppercase).into()),
            (Value::Text(text), "lower") => Some(text.map(str::to_lowercase).into()),
            (Value::Text(text), "capitalize") => Some(text.map(capitalized).into()),
            (Value::Text(text), "title") => Some(text.map(titled).into()),
            (Value::Text(text), "replace") => {
                let replaced = |(from, to)| Value::from(text.replace(from, to));
                given.text(0, "old").zip(given.text(1, "new")).map(replaced)
            }
            (Value::Text(text), "length" | "count") => {
                Some(Value::Integer(text.as_str().chars().count() as i64))
            }
            (Value::Text(text), "int") => Some(Value::Integer(text.as_str().trim().parse().unwrap_or(0))),
            (Value::Integer(_), "int") => Some(value.clone()),
            (Value::List(values), "length" | "count") => Some(Value::Integer(values.len() as i64)),
            (Value::Map(map), "length" | "count") => Some(Value::Integer(map.len() as i64)),
            (Value::Undefined, "length" | "count") => Some(Value::Integer(0)),
            (Value::Undefined, "trim") => Some(Text::default().into()),
            (Value::Map(map), "items") => Some(items(map)),
            (Value::Map(map), "dictsort") => {
                let mut sorted = map.to_vec();
                sorted.sort_by_key(|(key, _)| key.to_lowercase());
                Some(items(&sorted))
            }
            (Value::List(values), "first") => Some(values.first().cloned().unwrap_or(Value::Undefined)),
            (Value::List(values), "last") => Some(values.last().cloned().unwrap_or(Value::Undefined)),
            (Value::List(values), "reverse") => Some(Value::list(values.iter().rev().cloned().collect())),
            (_, "list") => value.elements().map(Value::list),
            _ => None,
        };
        let known =
            matches!(name, "trim" | "upper" | "lower" | "length" | "count" | "first" | "last" | "list");
        result.ok_or_else(|| {
            self.error(match known {
                true => Problem::Type { operation: "a filter", value: value.kind() },
                false => Problem::Unsupported { kind: "filter", name: name.chars().take(40).collect() },
            })
        })
    }

    fn joined(&self, value: &Value, given: &Given) -> Result<Value, TemplateError> {
        let elements = value.elements().ok_or_else(|| self.type_error("joining", value))?;
        let mut joined = Text::default();
        for (index, element) in elements.iter().enumerate() {
            if let Some(separator) = given.text(0, "d").filter(|_| index > 0) {
                self.push(&mut joined, separator)?;
            }
            self.push(&mut joined, &self.show(element)?)?;
        }
        Ok(joined.into())
    }

    /// The elements of `value`; none where it is none.
    fn elements_or_none(&self, value: &Value, operation: &'static str) -> Result<Vec<Value>, TemplateError> {
        match value {
            Value::None => Ok(Vec::new()),
            _ => value.elements().ok_or_else(|| self.type_error(operation, value)),
        }
    }

    /// The elements that pass a test, by themselves or by an attribute.
    fn selected(&self, value: &Value, name: &str, given: &Given) -> Result<Value, TemplateError> {
        let elements = self.elements_or_none(value, "selecting")?;
        let by_attribute = name.ends_with("attr");
        let wanted = name.starts_with("select");
        let mut positional = given.positional.iter();
        let attribute = if by_attribute { positional.next() } else { None };
        let test = positional.next();
        let rest = Given { positional: positional.cloned().collect(), named: Vec::new() };
        let mut selected = Vec::new();
        for element in elements {
            let subject = match attribute {
                Some(Value::Text(attribute)) => element.get(attribute.as_str()).unwrap_or(Value::Undefined),
                _ => element.clone(),
            };
            let passes = match test {
                Some(Value::Text(test)) => self.test(&subject, test.as_str(), &rest)?,
                _ => subject.is_true(),
            };
            if passes == wanted {
                selected.push(element);
            }
        }
        Ok(Value::list(selected))
    }

    /// The elements' attributes, or the elements filtered.
    fn mapped(&self, value: &Value, given: &Given) -> Result<Value, TemplateError> {
        let elements = self.elements_or_none(value, "mapping")?;
        let none = Given { positional: Vec::new(), named: Vec::new() };
        let attribute = given.named.iter().find(|(name, _)| name == "attribute").map(|(_, value)| value);
        let mapped = elements.into_iter().map(|element| match (attribute, given.positional.first()) {
            (Some(Value::Text(attribute)), _) => {
                Ok(element.get(attribute.as_str()).unwrap_or(Value::Undefined))
            }
            (_, Some(Value::Text(filter))) if filter.as_str() != "map" => {
                self.filter(element, filter.as_str(), &none)
            }
            _ => Err(self.error(Problem::Unsupported { kind: "filter", name: "map".into() })),
        });
        Ok(Value::list(mapped.collect::<Result<_, _>>()?))
    }

    /// Appends `value` as `json.dumps` writes it, without escapes for what is not ASCII.
    fn json(&self, value: &Value, json: &mut Text) -> Result<(), TemplateError> {
        let inside = |json: &mut Text, text: &str| self.push(json, &Text::inside(text));
        match value {
            Value::None => inside(json, "null"),
            Value::Bool(truth) => inside(json, if *truth { "true" } else { "false" }),
            Value::Integer(_) | Value::Float(_) => self.push(json, &self.show(value)?),
            Value::Text(text) => self.push(json, &text.map(quoted)),
            Value::List(values) => {
                inside(json, "[")?;
                for (index, value) in values.iter().enumerate() {
                    inside(json, if index > 0 { ", " } else { "" })?;
                    self.json(value, json)?;
                }
                inside(json, "]")
            }
            Value::Map(map) => {
                inside(json, "{")?;
                for (index, (key, value)) in map.iter().enumerate() {
                    inside(json, if index > 0 { ", " } else { "" })?;
                    inside(json, &quoted(key))?;
                    inside(json, ": ")?;
                    self.json(value, json)?;
                }
                inside(json, "}")
            }
            other => Err(self.type_error("JSON", other)),
        }
    }
}

/// What stands in for an undefined value, or with a second argument for any that is not true.
fn default(value: Value, given: &Given) -> Value {
    let any = given.get(1, "boolean").is_some_and(Value::is_true);
    if matches!(value, Value::Undefined) || any && !value.is_true() {
        return given.get(0, "default_value").cloned().unwrap_or_else(|| Text::default().into());
    }
    value
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            control if control < ' ' => quoted.push_str(&alloc::format!("\\u{:04x}", control as u32)),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
