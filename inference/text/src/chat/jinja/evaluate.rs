//! Expressions into values.

use alloc::vec::Vec;

use super::arguments::Given;
use super::ast::{Arguments, Expression, Operator, Step};
use super::error::{Problem, TemplateError};
use super::fuel::{COLLECTION, ELEMENT, TEXT};
use super::number;
use super::render::Renderer;
use super::value::Value;
use crate::chat::text::Text;

impl Renderer {
    /// The value of `expression`.
    pub fn evaluate(&mut self, expression: &Expression) -> Result<Value, TemplateError> {
        self.enter()?;
        let value = match expression {
            Expression::Literal(literal) => literal.value(),
            Expression::Name(name) => self.variable(name),
            Expression::List(values) => {
                let values = values.iter().map(|value| self.evaluate(value)).collect::<Result<_, _>>()?;
                self.list(values, "a list")?
            }
            Expression::Map(entries) => self.mapping(entries)?,
            Expression::Not(value) => Value::Bool(!self.evaluate(value)?.is_true()),
            Expression::Signed { negative, value } => {
                let value = self.evaluate(value)?;
                self.signed(*negative, &value)?
            }
            Expression::Comparison(first, rest) => self.compare_all(first, rest)?,
            Expression::Chain(first, rest) => {
                let mut value = self.evaluate(first)?;
                for (operator, right) in rest {
                    value = self.operate(*operator, value, right)?;
                }
                value
            }
            Expression::Conditional(branches, otherwise) => self.choose(branches, otherwise.as_deref())?,
            Expression::Postfix(value, steps) => self.postfix(value, steps)?,
        };
        self.leave();
        Ok(value)
    }

    /// A number with a sign in front of it: minus, or else plus.
    pub fn signed(&self, negative: bool, value: &Value) -> Result<Value, TemplateError> {
        let too_large = || self.error(Problem::Bound("a number grows too large"));
        match (value.integer(), value) {
            (Some(number), _) if negative => number.checked_neg().map(Value::Integer).ok_or_else(too_large),
            (Some(number), _) => Ok(Value::Integer(number)),
            (None, Value::Float(number)) => Ok(Value::Float(if negative { -number } else { *number })),
            (None, other) => Err(self.type_error("a sign in front", other)),
        }
    }

    fn mapping(&mut self, entries: &[(Expression, Expression)]) -> Result<Value, TemplateError> {
        let mut pairs = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            pairs.push((self.evaluate(key)?, self.evaluate(value)?));
        }
        self.map_of_pairs(pairs)
    }

    /// A mapping of `pairs`; of those with the same key, the last counts.
    pub fn map_of_pairs(&self, pairs: Vec<(Value, Value)>) -> Result<Value, TemplateError> {
        let mut entries: Vec<(Value, Value)> = Vec::new();
        for (key, value) in pairs {
            if !matches!(key, Value::Text(_) | Value::None | Value::Float(_)) && key.integer().is_none() {
                return Err(self.type_error("a mapping's key", &key));
            }
            let mut same = None;
            for (index, (own, _)) in entries.iter().enumerate() {
                if self.equal(own, &key)? {
                    same = Some(index);
                    break;
                }
            }
            match same {
                Some(index) => entries[index].1 = value,
                None => entries.push((key, value)),
            }
        }
        self.map(entries, "a mapping")
    }

    fn choose(
        &mut self,
        branches: &[(Expression, Expression)],
        otherwise: Option<&Expression>,
    ) -> Result<Value, TemplateError> {
        for (value, condition) in branches {
            if self.evaluate(condition)?.is_true() {
                return self.evaluate(value);
            }
        }
        otherwise.map_or(Ok(Value::Undefined), |otherwise| self.evaluate(otherwise))
    }

    /// `true` if each value compares with the next as it shall; after one that does not, no further one is evaluated.
    fn compare_all(
        &mut self,
        first: &Expression,
        rest: &[(Operator, Expression)],
    ) -> Result<Value, TemplateError> {
        let mut left = self.evaluate(first)?;
        for (operator, right) in rest {
            let right = self.evaluate(right)?;
            if !self.compare(*operator, &left, &right)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    /// `left operator right`, of the operators that compare.
    pub fn compare(&self, operator: Operator, left: &Value, right: &Value) -> Result<bool, TemplateError> {
        Ok(match operator {
            Operator::Equal => self.equal(left, right)?,
            Operator::NotEqual => !self.equal(left, right)?,
            Operator::In => self.contains(right, left)?,
            Operator::NotIn => !self.contains(right, left)?,
            Operator::Less => self.order(left, right)?.is_some_and(|order| order.is_lt()),
            Operator::LessEqual => self.order(left, right)?.is_some_and(|order| order.is_le()),
            Operator::Greater => self.order(left, right)?.is_some_and(|order| order.is_gt()),
            _ => self.order(left, right)?.is_some_and(|order| order.is_ge()),
        })
    }

    fn operate(
        &mut self,
        operator: Operator,
        left: Value,
        right: &Expression,
    ) -> Result<Value, TemplateError> {
        match operator {
            Operator::Or if left.is_true() => return Ok(left),
            Operator::And if !left.is_true() => return Ok(left),
            Operator::Or | Operator::And => return self.evaluate(right),
            _ => {}
        }
        let right = self.evaluate(right)?;
        match (operator, &left, &right) {
            (Operator::Join, ..) => self.join(&*self.show(&left)?, &*self.show(&right)?),
            (Operator::Add, Value::Text(a), Value::Text(b)) => self.join(a, b),
            (Operator::Add, Value::List(a), Value::List(b)) => {
                let (a, b) = (a.values(), b.values());
                self.pay((a.len() + b.len()) * ELEMENT, "addition")?;
                self.list([a, b].concat(), "addition")
            }
            (Operator::Multiply, repeated @ (Value::Text(_) | Value::List(_)), count)
            | (Operator::Multiply, count, repeated @ (Value::Text(_) | Value::List(_))) => {
                let count = count.integer().ok_or_else(|| self.type_error("repetition", count))?;
                self.repeated(repeated, usize::try_from(count).unwrap_or(0))
            }
            _ => match number::arithmetic(operator, &left, &right) {
                Some(result) => result.map_err(|problem| self.error(problem)),
                None => {
                    let operation = if operator == Operator::Add { "addition" } else { "arithmetic" };
                    let is_number = matches!(left, Value::Integer(_) | Value::Float(_));
                    let culprit = if is_number || matches!(left, Value::Text(_)) { &right } else { &left };
                    Err(self.type_error(operation, culprit))
                }
            },
        }
    }

    fn join(&self, left: &Text, right: &Text) -> Result<Value, TemplateError> {
        self.pay(TEXT + left.size() + right.size(), "joining strings")?;
        let mut joined = left.clone();
        joined.push(right);
        Ok(joined.into())
    }

    /// `value`, a text or a list, `count` times.
    fn repeated(&self, value: &Value, count: usize) -> Result<Value, TemplateError> {
        const OPERATION: &str = "repetition";
        match value {
            Value::Text(text) => {
                self.pay(text.size().max(1).saturating_mul(count).saturating_add(TEXT), OPERATION)?;
                let mut all = Text::default();
                (0..count).for_each(|_| all.push(text));
                Ok(all.into())
            }
            Value::List(list) => {
                let elements = list.values().len().max(1).saturating_mul(count);
                self.pay(elements.saturating_mul(ELEMENT).saturating_add(COLLECTION), OPERATION)?;
                let all = core::iter::repeat_n(list.values(), count).flatten().cloned();
                self.list(all.collect(), OPERATION)
            }
            other => Err(self.type_error(OPERATION, other)),
        }
    }

    fn postfix(&mut self, first: &Expression, steps: &[Step]) -> Result<Value, TemplateError> {
        let mut value = self.evaluate(first)?;
        if let (Value::Undefined, Expression::Name(name), [Step::Call(_), ..]) = (&value, first, steps) {
            return Err(self.unsupported("function", name));
        }
        let mut steps = steps.iter().peekable();
        while let Some(step) = steps.next() {
            value = match step {
                Step::Attribute(name) => match (self.attribute(&value, name)?, steps.peek()) {
                    (Some(found), _) => found,
                    (None, Some(Step::Call(arguments))) => {
                        steps.next();
                        let given = self.given(arguments)?;
                        self.method(&value, name, given)?
                    }
                    (None, _) => self.missing(&value, name)?,
                },
                Step::Index(index) => {
                    let index = self.evaluate(index)?;
                    self.element(&value, &index)?
                }
                Step::Slice(parts) => self.slice(&value, parts)?,
                Step::Call(arguments) => {
                    let given = self.given(arguments)?;
                    self.call(&value, given)?
                }
                Step::Filter(name, arguments) => {
                    let given = self.given(arguments)?;
                    self.filter(&value, name, given)?
                }
                Step::Test { name, arguments, negated } => {
                    let given = self.given(arguments)?;
                    Value::Bool(self.test(&value, name, given)? != *negated)
                }
            };
        }
        Ok(value)
    }

    fn given(&mut self, arguments: &Arguments) -> Result<Given, TemplateError> {
        let mut given = Given::default();
        for value in &arguments.positional {
            given.positional.push(self.evaluate(value)?);
        }
        for (name, value) in &arguments.named {
            given.named.push((name.clone(), self.evaluate(value)?));
        }
        Ok(given)
    }

    fn call(&mut self, function: &Value, given: Given) -> Result<Value, TemplateError> {
        match function {
            Value::Macro(definition) => self.call_macro(definition, given),
            Value::Function(function) => self.call_function(*function, given),
            other => Err(self.type_error("a call", other)),
        }
    }
}
