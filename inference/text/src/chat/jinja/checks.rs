//! Tests: `value is name(arguments)`.

use alloc::rc::Rc;

use super::arguments::Given;
use super::ast::Operator;
use super::error::TemplateError;
use super::number;
use super::render::Renderer;
use super::value::Value;

impl Renderer {
    /// `value is name(given)`.
    pub fn test(&self, value: &Value, name: &str, given: Given) -> Result<bool, TemplateError> {
        let operator = match name {
            "==" | "eq" | "equalto" => Some(Operator::Equal),
            "!=" | "ne" => Some(Operator::NotEqual),
            "<" | "lt" | "lessthan" => Some(Operator::Less),
            "<=" | "le" => Some(Operator::LessEqual),
            ">" | "gt" | "greaterthan" => Some(Operator::Greater),
            ">=" | "ge" => Some(Operator::GreaterEqual),
            "in" => Some(Operator::In),
            _ => None,
        };
        if let Some(operator) = operator {
            let [other] = self.bind(given, name, ["other"])?;
            return self.compare(operator, value, &self.required(other, name, "other")?);
        }
        match name {
            "sameas" => {
                let [other] = self.bind(given, name, ["other"])?;
                self.is_same(value, &self.required(other, name, "other")?)
            }
            "divisibleby" => {
                let [divisor] = self.bind(given, name, ["num"])?;
                self.divides(value, &self.required(divisor, name, "num")?, 0)
            }
            _ => {
                let passes = self.plain_test(value, name)?;
                self.bind_none(given, name)?;
                Ok(passes)
            }
        }
    }

    /// A test without arguments.
    fn plain_test(&self, value: &Value, name: &str) -> Result<bool, TemplateError> {
        Ok(match name {
            "defined" => !matches!(value, Value::Undefined),
            "undefined" => matches!(value, Value::Undefined),
            "none" => matches!(value, Value::None),
            "boolean" => matches!(value, Value::Bool(_)),
            "true" => matches!(value, Value::Bool(true)),
            "false" => matches!(value, Value::Bool(false)),
            "integer" => matches!(value, Value::Integer(_)),
            "float" => matches!(value, Value::Float(_)),
            "number" => matches!(value, Value::Integer(_) | Value::Float(_) | Value::Bool(_)),
            "string" => matches!(value, Value::Text(_)),
            "mapping" => matches!(value, Value::Map(_)),
            "iterable" | "sequence" => {
                matches!(value, Value::Text(_) | Value::List(_) | Value::Map(_) | Value::Undefined)
            }
            "callable" => matches!(value, Value::Macro(_) | Value::Function(_) | Value::Undefined),
            "odd" => self.divides(value, &Value::Integer(2), 1)?,
            "even" => self.divides(value, &Value::Integer(2), 0)?,
            _ => return Err(self.unsupported("test", name)),
        })
    }

    /// Whether dividing `value` by `divisor` leaves `rest`.
    fn divides(&self, value: &Value, divisor: &Value, rest: i64) -> Result<bool, TemplateError> {
        match number::arithmetic(Operator::Remainder, value, divisor) {
            Some(left) => {
                let left = left.map_err(|problem| self.error(problem))?;
                Ok(number::order(&left, &Value::Integer(rest)).is_some_and(|order| order.is_eq()))
            }
            None => Err(self.type_error("a division", value)),
        }
    }

    /// Whether two values are one and the same object in Python.
    fn is_same(&self, value: &Value, other: &Value) -> Result<bool, TemplateError> {
        Ok(match (value, other) {
            (Value::None, Value::None) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::List(a), Value::List(b)) => Rc::ptr_eq(a, b),
            (Value::Map(a), Value::Map(b)) => Rc::ptr_eq(a, b),
            (Value::Namespace(a), Value::Namespace(b)) => Rc::ptr_eq(a, b),
            // Numbers and strings that are equal may be the same object there, or not.
            (Value::Integer(_), Value::Integer(_))
            | (Value::Float(_), Value::Float(_))
            | (Value::Text(_), Value::Text(_)) => {
                if self.equal(value, other)? {
                    return Err(self.unsupported("test of equal values", "sameas"));
                }
                false
            }
            _ => false,
        })
    }
}
