//! The filter `tojson`, as `transformers` has it: Python's `json.dumps`, by default without escapes for what is not
//! ASCII.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::arguments::Given;
use super::error::TemplateError;
use super::fuel::{ELEMENT, STEP, TEXT};
use super::number::float_text;
use super::render::Renderer;
use super::value::{Map, Value};
use crate::chat::text::Text;

const NAME: &str = "tojson";

/// Layout of JSON.
struct Style {
    only_ascii: bool,
    /// Whether mappings are in the order of their keys.
    sorted: bool,
    /// Put in front of a line once for each level; without it there is one line.
    indentation: Option<Arc<Text>>,
    comma: Arc<Text>,
    colon: Arc<Text>,
}

impl Renderer {
    /// `value | tojson(given)`.
    pub fn to_json(&self, value: &Value, given: Given) -> Result<Value, TemplateError> {
        // By position they are others for `transformers` than for Jinja itself.
        let Given { positional, named } = given;
        self.bind_none(Given { positional, named: Vec::new() }, NAME)?;
        let names = ["ensure_ascii", "indent", "separators", "sort_keys"];
        let given = Given { positional: Vec::new(), named };
        let [only_ascii, indentation, separators, sorted] = self.bind(given, NAME, names)?;
        let indentation = match indentation {
            None | Some(Value::None) => None,
            Some(Value::Text(text)) => Some(text),
            Some(width) => {
                let width = self.integer_argument(Some(width), NAME, "indent")?.unwrap_or(0);
                let width = usize::try_from(width).unwrap_or(0);
                self.pay(TEXT.saturating_add(width), NAME)?;
                Some(Arc::new(Text::inside(&" ".repeat(width))))
            }
        };
        let comma = if indentation.is_some() { "," } else { ", " };
        let [comma, colon] = match separators {
            None | Some(Value::None) => [Arc::new(Text::inside(comma)), Arc::new(Text::inside(": "))],
            Some(Value::List(list)) => match list.values() {
                [Value::Text(comma), Value::Text(colon)] => [comma, colon].map(Arc::clone),
                _ => return Err(self.bad_argument(NAME, "separators", "is no pair of strings")),
            },
            Some(_) => return Err(self.bad_argument(NAME, "separators", "is no pair of strings")),
        };
        let [only_ascii, sorted] = [only_ascii, sorted].map(|flag| flag.is_some_and(|flag| flag.is_true()));
        let mut json = Text::default();
        self.pay(TEXT, NAME)?;
        self.write(value, &Style { only_ascii, sorted, indentation, comma, colon }, 0, &mut json)?;
        Ok(json.into())
    }

    fn write(
        &self,
        value: &Value,
        style: &Style,
        level: usize,
        json: &mut Text,
    ) -> Result<(), TemplateError> {
        self.pay(STEP, NAME)?;
        match value {
            Value::None => json.push(&Text::inside("null")),
            Value::Bool(truth) => json.push(&Text::inside(if *truth { "true" } else { "false" })),
            Value::Integer(number) => json.push(&Text::inside(&number.to_string())),
            Value::Float(number) => json.push(&Text::inside(&float(*number))),
            Value::Text(text) => {
                // A byte becomes six at most.
                self.pay(TEXT + 6 * text.as_str().len(), NAME)?;
                json.push(&text.map(|text| quoted(text, style.only_ascii)));
            }
            Value::List(list) => {
                json.push(&Text::inside("["));
                for (index, value) in list.values().iter().enumerate() {
                    self.separate(style, index, level + 1, json)?;
                    self.write(value, style, level + 1, json)?;
                }
                self.close(style, list.values().is_empty(), level, "]", json)?;
            }
            Value::Map(map) => {
                json.push(&Text::inside("{"));
                self.write_entries(map, style, level + 1, json)?;
                self.close(style, map.entries().is_empty(), level, "}", json)?;
            }
            other => return Err(self.type_error("JSON", other)),
        }
        Ok(())
    }

    fn write_entries(
        &self,
        map: &Map,
        style: &Style,
        level: usize,
        json: &mut Text,
    ) -> Result<(), TemplateError> {
        self.pay(map.entries().len() * 2 * ELEMENT, NAME)?;
        let mut entries: Vec<_> = map.entries().iter().map(|(key, value)| (key.clone(), value)).collect();
        if style.sorted {
            entries = self.sorted(entries)?;
        }
        for (index, (key, value)) in entries.iter().enumerate() {
            self.separate(style, index, level, json)?;
            let is_text = matches!(key, Value::Text(_));
            let quote = Text::inside(if is_text { "" } else { "\"" });
            json.push(&quote);
            self.write(key, style, level, json)?;
            json.push(&quote);
            self.push(json, &style.colon, NAME)?;
            self.write(value, style, level, json)?;
        }
        Ok(())
    }

    /// Writes the separator in front of element `index`.
    fn separate(
        &self,
        style: &Style,
        index: usize,
        level: usize,
        json: &mut Text,
    ) -> Result<(), TemplateError> {
        if index > 0 {
            self.push(json, &style.comma, NAME)?;
        }
        self.break_line(style, level, json)
    }

    /// The end of a list or mapping.
    fn close(
        &self,
        style: &Style,
        empty: bool,
        level: usize,
        bracket: &str,
        json: &mut Text,
    ) -> Result<(), TemplateError> {
        if !empty {
            self.break_line(style, level, json)?;
        }
        json.push(&Text::inside(bracket));
        Ok(())
    }

    fn break_line(&self, style: &Style, level: usize, json: &mut Text) -> Result<(), TemplateError> {
        let Some(indentation) = &style.indentation else { return Ok(()) };
        json.push(&Text::inside("\n"));
        (0..level).try_for_each(|_| self.push(json, indentation, NAME))
    }
}

fn float(number: f64) -> String {
    match number {
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        _ if number.is_nan() => "NaN".into(),
        _ => float_text(number),
    }
}

/// A JSON string.
fn quoted(text: &str, only_ascii: bool) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            other if other < ' ' || only_ascii && !other.is_ascii() => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    quoted.push_str(&format!("\\u{unit:04x}"));
                }
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
