//! Expressions into values.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::cmp::Ordering;

use super::ast::{Arguments, Expression, Operator, Step};
use super::error::{Problem, TemplateError};
use super::render::Renderer;
use super::value::{Function, MAX_ELEMENTS, Map, Value};
use crate::chat::text::Text;

/// Evaluated arguments.
pub struct Given {
    pub positional: Vec<Value>,
    pub named: Vec<(String, Value)>,
}

impl Given {
    /// The argument at `place`, or called `name`.
    pub fn get(&self, place: usize, name: &str) -> Option<&Value> {
        let named = || self.named.iter().find(|(given, _)| given == name).map(|(_, value)| value);
        self.positional.get(place).or_else(named)
    }

    /// As [`Self::get`], as text.
    pub fn text(&self, place: usize, name: &str) -> Option<&Text> {
        match self.get(place, name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Renderer {
    /// The value of `expression`.
    pub fn evaluate(&mut self, expression: &Expression) -> Result<Value, TemplateError> {
        self.enter()?;
        let value = match expression {
            Expression::Literal(value) => value.clone(),
            Expression::Name(name) => self.variable(name),
            Expression::List(values) => {
                Value::list(values.iter().map(|value| self.evaluate(value)).collect::<Result<_, _>>()?)
            }
            Expression::Map(entries) => self.map(entries)?,
            Expression::Not(value) => Value::Bool(!self.evaluate(value)?.is_true()),
            Expression::Negative(value) => match self.evaluate(value)? {
                Value::Integer(number) => Value::Integer(number.wrapping_neg()),
                Value::Float(number) => Value::Float(-number),
                other => return Err(self.type_error("a minus sign", &other)),
            },
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

    pub fn type_error(&self, operation: &'static str, value: &Value) -> TemplateError {
        self.error(Problem::Type { operation, value: value.kind() })
    }

    fn map(&mut self, entries: &[(Expression, Expression)]) -> Result<Value, TemplateError> {
        let mut map = Map::new();
        for (key, value) in entries {
            let key = match self.evaluate(key)? {
                Value::Text(key) => key.as_str().into(),
                other => return Err(self.type_error("a mapping's key", &other)),
            };
            map.push((key, self.evaluate(value)?));
        }
        Ok(Value::map(map))
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
        let compare =
            |accepts: fn(Ordering) -> bool| left.order(&right).map(|order| Value::Bool(accepts(order)));
        let result = match operator {
            Operator::Equal => Some(Value::Bool(left == right)),
            Operator::NotEqual => Some(Value::Bool(left != right)),
            Operator::Less => compare(Ordering::is_lt),
            Operator::LessEqual => compare(Ordering::is_le),
            Operator::Greater => compare(Ordering::is_gt),
            Operator::GreaterEqual => compare(Ordering::is_ge),
            Operator::In => contains(&right, &left).map(Value::Bool),
            Operator::NotIn => contains(&right, &left).map(|found| Value::Bool(!found)),
            Operator::Join => Some(self.join(self.show(&left)?, &self.show(&right)?)?),
            Operator::Add => match (&left, &right) {
                (Value::Text(a), Value::Text(b)) => Some(self.join((**a).clone(), b)?),
                (Value::List(a), Value::List(b)) if a.len() + b.len() > MAX_ELEMENTS => {
                    return Err(self.error(Problem::Bound("a list grows too long")));
                }
                (Value::List(a), Value::List(b)) => Some(Value::list([a.as_slice(), b.as_slice()].concat())),
                _ => arithmetic(operator, &left, &right),
            },
            _ => arithmetic(operator, &left, &right),
        };
        let operation = match operator {
            Operator::In | Operator::NotIn => "looking for an element",
            Operator::Add => "addition",
            Operator::Less | Operator::LessEqual | Operator::Greater | Operator::GreaterEqual => "comparison",
            _ => "arithmetic",
        };
        let culprit = if matches!(left, Value::Integer(_) | Value::Text(_)) { &right } else { &left };
        result.ok_or_else(|| self.type_error(operation, culprit))
    }

    fn join(&self, mut left: Text, right: &Text) -> Result<Value, TemplateError> {
        self.push(&mut left, right)?;
        Ok(left.into())
    }

    fn postfix(&mut self, first: &Expression, steps: &[Step]) -> Result<Value, TemplateError> {
        let mut value = self.evaluate(first)?;
        if let (Value::Undefined, Expression::Name(name), [Step::Call(_), ..]) = (&value, first, steps) {
            let name = name.chars().take(40).collect();
            return Err(self.error(Problem::Unsupported { kind: "function", name }));
        }
        let mut steps = steps.iter().peekable();
        while let Some(step) = steps.next() {
            value = match step {
                Step::Attribute(name) => match (value.get(name), steps.peek()) {
                    (Some(found), _) => found,
                    (None, Some(Step::Call(arguments))) => {
                        steps.next();
                        let given = self.given(arguments)?;
                        self.method(&value, name, &given)?
                    }
                    (None, _) if matches!(value, Value::Undefined) => {
                        return Err(self.type_error("an attribute", &value));
                    }
                    (None, _) => Value::Undefined,
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
                    self.filter(value, name, &given)?
                }
                Step::Test { name, arguments, negated } => {
                    let given = self.given(arguments)?;
                    Value::Bool(self.test(&value, name, &given)? != *negated)
                }
            };
        }
        Ok(value)
    }

    fn given(&mut self, arguments: &Arguments) -> Result<Given, TemplateError> {
        let mut given = Given { positional: Vec::new(), named: Vec::new() };
        for value in &arguments.positional {
            given.positional.push(self.evaluate(value)?);
        }
        for (name, value) in &arguments.named {
            given.named.push((name.clone(), self.evaluate(value)?));
        }
        Ok(given)
    }

    fn element(&self, value: &Value, index: &Value) -> Result<Value, TemplateError> {
        let found = match (value, index) {
            (Value::Map(_) | Value::Namespace(_), Value::Text(key)) => value.get(key.as_str()),
            (Value::List(values), Value::Integer(index)) => {
                place(*index, values.len()).and_then(|at| values.get(at)).cloned()
            }
            (Value::Text(text), Value::Integer(index)) => {
                let count = text.as_str().chars().count();
                let at = place(*index, count).and_then(|at| text.as_str().char_indices().nth(at));
                at.map(|(at, c)| text.slice(at..at + c.len_utf8()).into())
            }
            (Value::Undefined, _) => return Err(self.type_error("an index", value)),
            _ => None,
        };
        Ok(found.unwrap_or(Value::Undefined))
    }

    fn slice(&mut self, value: &Value, parts: &[Option<Expression>; 3]) -> Result<Value, TemplateError> {
        let mut numbers = [None; 3];
        for (number, part) in numbers.iter_mut().zip(parts) {
            let Some(part) = part else { continue };
            match self.evaluate(part)? {
                Value::Integer(found) => *number = Some(found),
                Value::None => {}
                other => return Err(self.type_error("slicing", &other)),
            }
        }
        let [start, end, step] = numbers;
        let backwards = step == Some(-1) && start.is_none() && end.is_none();
        if !backwards && step.is_some_and(|step| step != 1) {
            return Err(self.error(Problem::Unsupported { kind: "slice with a", name: "step".into() }));
        }
        let part = |count: usize| {
            let bound = |number: Option<i64>, default: usize| match number {
                None => default,
                Some(number) if number < 0 => count.saturating_sub(number.unsigned_abs() as usize),
                Some(number) => count.min(number as usize),
            };
            let (start, end) = (bound(start, 0), bound(end, count));
            start.min(end)..end
        };
        match value {
            Value::List(values) if backwards => Ok(Value::list(values.iter().rev().cloned().collect())),
            Value::List(values) => Ok(Value::list(values[part(values.len())].to_vec())),
            Value::Text(text) if !backwards => {
                let part = part(text.as_str().chars().count());
                let mut places = text.as_str().char_indices().map(|(at, _)| at).chain([text.as_str().len()]);
                let length = part.len();
                let start = places.nth(part.start).unwrap_or(0);
                let end = length.checked_sub(1).and_then(|more| places.nth(more)).unwrap_or(start);
                Ok(text.slice(start..end).into())
            }
            other => Err(self.type_error("slicing", other)),
        }
    }

    fn range(&self, given: &Given) -> Result<Value, TemplateError> {
        let number = |value: &Value| match value {
            Value::Integer(number) => Some(*number),
            _ => None,
        };
        let numbers: Option<Vec<i64>> = given.positional.iter().map(number).collect();
        let values = match numbers.as_deref() {
            Some([end]) => range(0, *end, 1),
            Some([start, end]) => range(*start, *end, 1),
            Some([start, end, step]) => range(*start, *end, *step),
            _ => return Err(self.error(Problem::Bound("range takes one to three whole numbers"))),
        };
        values.map(Value::list).ok_or_else(|| self.error(Problem::Bound("a range is too long")))
    }

    fn call(&mut self, function: &Value, given: Given) -> Result<Value, TemplateError> {
        match function {
            Value::Macro(definition) => {
                let Given { positional, named } = given;
                self.call_macro(&Rc::clone(definition), positional, named)
            }
            Value::Function(Function::Namespace) => {
                given.named.iter().try_for_each(|(_, value)| self.check_part(value))?;
                Ok(Value::Namespace(Rc::new(RefCell::new(given.named.into_iter().collect()))))
            }
            Value::Function(Function::Dict) => Ok(Value::map(given.named)),
            Value::Function(Function::RaiseException) => {
                let message = given.text(0, "message").map_or("", Text::as_str);
                Err(self.error(Problem::Raised(message.chars().take(200).collect())))
            }
            Value::Function(Function::Range) => self.range(&given),
            other => Err(self.type_error("a call", other)),
        }
    }
}

/// `start..end` in steps; `None` when they are too many, or none leads there.
fn range(start: i64, end: i64, step: i64) -> Option<Vec<Value>> {
    let towards = if step < 0 { start.checked_sub(end)? } else { end.checked_sub(start)? };
    let count = towards.max(0).unsigned_abs().div_ceil(step.checked_abs().filter(|&step| step > 0)? as u64);
    let count = i64::try_from(count).ok().filter(|&count| count <= MAX_ELEMENTS as i64)?;
    Some((0..count).map(|index| Value::Integer(start + index * step)).collect())
}

/// The place that `index` means among `count`; a negative one counts from the end.
fn place(index: i64, count: usize) -> Option<usize> {
    let at = if index < 0 { i64::try_from(count).ok()?.checked_add(index)? } else { index };
    usize::try_from(at).ok()
}

/// Whether `element` is in `container`; `None` where nothing can be.
pub fn contains(container: &Value, element: &Value) -> Option<bool> {
    match (container, element) {
        (Value::Text(text), Value::Text(part)) => Some(text.as_str().contains(part.as_str())),
        (Value::List(values), _) => Some(values.contains(element)),
        (Value::Map(_) | Value::Namespace(_), Value::Text(key)) => {
            Some(container.get(key.as_str()).is_some())
        }
        (Value::Undefined, _) => Some(false),
        _ => None,
    }
}

fn arithmetic(operator: Operator, left: &Value, right: &Value) -> Option<Value> {
    let (&Value::Integer(a), &Value::Integer(b)) = (left, right) else { return None };
    Some(match operator {
        Operator::Add => Value::Integer(a.checked_add(b)?),
        Operator::Subtract => Value::Integer(a.checked_sub(b)?),
        Operator::Multiply => Value::Integer(a.checked_mul(b)?),
        Operator::Divide if b != 0 => Value::Float(a as f64 / b as f64),
        Operator::FloorDivide => {
            let quotient = a.checked_div(b)?;
            Value::Integer(quotient - i64::from(a % b != 0 && (a < 0) != (b < 0)))
        }
        Operator::Remainder => {
            let remainder = a.checked_rem(b)?;
            Value::Integer(if remainder != 0 && (remainder < 0) != (b < 0) {
                remainder + b
            } else {
                remainder
            })
        }
        _ => return None,
    })
}
