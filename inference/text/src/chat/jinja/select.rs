//! Filters over the elements of a value: `map`, `select` and their kin, `join`.

use alloc::vec::Vec;

use super::arguments::Given;
use super::error::TemplateError;
use super::fuel::TEXT;
use super::render::Renderer;
use super::value::Value;
use crate::chat::text::Text;

impl Renderer {
    /// The elements of `value`; none where it is none.
    fn elements_or_none(&self, value: &Value, operation: &'static str) -> Result<Vec<Value>, TemplateError> {
        match value {
            Value::None => Ok(Vec::new()),
            _ => self.elements(value, operation),
        }
    }

    /// As [`Self::selected`], by the attribute that the first argument names.
    pub fn selected_by(
        &self,
        value: &Value,
        wanted: bool,
        name: &str,
        mut given: Given,
    ) -> Result<Value, TemplateError> {
        if given.positional.is_empty() {
            return Err(self.bad_argument(name, "attribute", "is missing"));
        }
        let attribute = given.positional.remove(0);
        self.selected(value, Some(&attribute), wanted, name, given)
    }

    /// The elements that pass a test, or those that do not.
    pub fn selected(
        &self,
        value: &Value,
        attribute: Option<&Value>,
        wanted: bool,
        name: &str,
        given: Given,
    ) -> Result<Value, TemplateError> {
        const OPERATION: &str = "selecting";
        let Given { mut positional, named } = given;
        self.bind_none(Given { positional: Vec::new(), named }, name)?;
        let test = if positional.is_empty() { None } else { Some(positional.remove(0)) };
        let test = test.map(|test| self.text_argument(Some(test), name, "test")).transpose()?;
        let mut selected = Vec::new();
        for element in self.elements_or_none(value, OPERATION)? {
            let subject = match attribute {
                Some(attribute) => self.follow(&element, attribute)?,
                None => element.clone(),
            };
            let passes = match &test {
                Some(test) => {
                    let positional = self.copied(&positional, OPERATION)?;
                    self.test(&subject, test.as_str(), Given { positional, named: Vec::new() })?
                }
                None => subject.is_true(),
            };
            if passes == wanted {
                selected.push(element);
            }
        }
        self.list(selected, OPERATION)
    }

    /// The elements' attributes, or the elements filtered.
    pub fn mapped(&self, value: &Value, mut given: Given) -> Result<Value, TemplateError> {
        const OPERATION: &str = "map";
        let mut mapped = Vec::new();
        if given.positional.is_empty() {
            let bound = self.bind(
                Given { named: given.named, ..Given::default() },
                OPERATION,
                ["attribute", "default"],
            );
            let [attribute, default] = bound?;
            let attribute = self.required(attribute, OPERATION, "attribute")?;
            for element in self.elements_or_none(value, OPERATION)? {
                mapped.push(match (self.follow(&element, &attribute)?, &default) {
                    (Value::Undefined, Some(default)) => default.clone(),
                    (found, _) => found,
                });
            }
            return self.list(mapped, OPERATION);
        }
        let filter = self.text_argument(Some(given.positional.remove(0)), OPERATION, "filter")?;
        for element in self.elements_or_none(value, OPERATION)? {
            let positional = self.copied(&given.positional, OPERATION)?;
            let named = given.named.clone();
            mapped.push(self.filter(&element, filter.as_str(), Given { positional, named })?);
        }
        self.list(mapped, OPERATION)
    }

    /// The elements, or their attributes, one behind the other with a separator between.
    pub fn joined(&self, value: &Value, given: Given) -> Result<Value, TemplateError> {
        let [separator, attribute] = self.bind(given, "join", ["d", "attribute"])?;
        let separator = separator.map(|separator| self.show(&separator)).transpose()?;
        let mut elements = self.elements(value, "joining")?;
        if let Some(attribute) = attribute {
            for element in &mut elements {
                *element = self.follow(element, &attribute)?;
            }
        }
        self.concatenated(&elements, separator.as_deref())
    }

    /// `elements` one behind the other with `separator` between.
    pub fn concatenated(&self, elements: &[Value], separator: Option<&Text>) -> Result<Value, TemplateError> {
        self.pay(TEXT, "joining")?;
        let mut joined = Text::default();
        for (index, element) in elements.iter().enumerate() {
            if let Some(separator) = separator.filter(|_| index > 0) {
                self.push(&mut joined, separator, "joining")?;
            }
            self.push(&mut joined, &*self.show(element)?, "joining")?;
        }
        Ok(joined.into())
    }
}
