//! Equality, order and membership. Walks over values pay step by step: a value may hold another many times over.

use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::error::TemplateError;
use super::fuel::{ELEMENT, STEP};
use super::number;
use super::render::Renderer;
use super::value::{Map, Value};

const COMPARISON: &str = "a comparison";

impl Renderer {
    /// `a == b`
    pub fn equal(&self, a: &Value, b: &Value) -> Result<bool, TemplateError> {
        self.pay(STEP, COMPARISON)?;
        Ok(match (a, b) {
            (Value::Undefined, Value::Undefined) | (Value::None, Value::None) => true,
            (Value::Text(a), Value::Text(b)) => {
                let (a, b) = (a.as_str(), b.as_str());
                a.len() == b.len() && {
                    self.pay(a.len(), COMPARISON)?;
                    a == b
                }
            }
            (Value::List(a), Value::List(b)) => {
                let (a, b) = (a.values(), b.values());
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(b) {
                    if !self.equal(a, b)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Map(a), Value::Map(b)) => {
                if a.entries().len() != b.entries().len() {
                    return Ok(false);
                }
                for (key, value) in a.entries() {
                    match self.find(b, key)? {
                        Some(other) if self.equal(value, other)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            (Value::Namespace(a), Value::Namespace(b)) => Rc::ptr_eq(a, b),
            (Value::Loop(a), Value::Loop(b)) => Rc::ptr_eq(a, b),
            (Value::Macro(a), Value::Macro(b)) => Arc::ptr_eq(a, b),
            (Value::Function(a), Value::Function(b)) => a == b,
            _ => number::order(a, b) == Some(Ordering::Equal),
        })
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// When the key can be none.
    pub fn find<'m>(&self, map: &'m Map, key: &Value) -> Result<Option<&'m Value>, TemplateError> {
        if matches!(key, Value::List(_) | Value::Map(_)) {
            return Err(self.type_error("a mapping's key", key));
        }
        for (own, value) in map.entries() {
            if self.equal(own, key)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The value of the key that is the text `key`.
    pub fn find_text<'m>(&self, map: &'m Map, key: &str) -> Result<Option<&'m Value>, TemplateError> {
        for (own, value) in map.entries() {
            self.pay(STEP, COMPARISON)?;
            if let Value::Text(own) = own
                && own.as_str().len() == key.len()
            {
                self.pay(key.len(), COMPARISON)?;
                if own.as_str() == key {
                    return Ok(Some(value));
                }
            }
        }
        Ok(None)
    }

    /// Order of two numbers or two texts.
    ///
    /// # Errors
    /// When the values have none between them.
    pub fn order(&self, a: &Value, b: &Value) -> Result<Option<Ordering>, TemplateError> {
        if let (Value::Text(a), Value::Text(b)) = (a, b) {
            let (a, b) = (a.as_str(), b.as_str());
            self.pay(STEP + a.len().min(b.len()), COMPARISON)?;
            return Ok(Some(a.cmp(b)));
        }
        self.pay(STEP, COMPARISON)?;
        match (number::order(a, b), is_number(a), is_number(b)) {
            // No number, but comparable: false whatever is asked.
            (order, true, true) => Ok(order),
            (_, true, false) => Err(self.type_error(COMPARISON, b)),
            _ if matches!(a, Value::Text(_)) => Err(self.type_error(COMPARISON, b)),
            _ => Err(self.type_error(COMPARISON, a)),
        }
    }

    /// Values in the order of what stands in front of each; equals stay in theirs.
    pub fn sorted<T>(&self, keyed: Vec<(Value, T)>) -> Result<Vec<(Value, T)>, TemplateError> {
        let mut sorted: Vec<(Value, T)> = Vec::new();
        for entry in keyed {
            self.pay((sorted.len() + 1) * ELEMENT, "sorting")?;
            let (mut low, mut high) = (0, sorted.len());
            while low < high {
                let middle = low.midpoint(high);
                match self.order(&entry.0, &sorted[middle].0)? {
                    Some(Ordering::Less) => high = middle,
                    _ => low = middle + 1,
                }
            }
            sorted.insert(low, entry);
        }
        Ok(sorted)
    }

    /// `element in container`
    pub fn contains(&self, container: &Value, element: &Value) -> Result<bool, TemplateError> {
        const OPERATION: &str = "looking for an element";
        match (container, element) {
            (Value::Text(text), Value::Text(part)) => {
                let (text, part) = (text.as_str(), part.as_str());
                self.pay(STEP + text.len() + part.len(), OPERATION)?;
                Ok(text.contains(part))
            }
            (Value::Text(_), other) => Err(self.type_error("looking in a string", other)),
            (Value::List(list), _) => {
                for value in list.values() {
                    if self.equal(value, element)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (Value::Map(map), _) => Ok(self.find(map, element)?.is_some()),
            (Value::Undefined, _) => Ok(false),
            _ => Err(self.type_error(OPERATION, container)),
        }
    }
}

const fn is_number(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Integer(_) | Value::Float(_))
}
