//! The language's own functions.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::arguments::Given;
use super::error::{Problem, TemplateError};
use super::fuel::{COLLECTION, ELEMENT, VARIABLE};
use super::render::Renderer;
use super::value::{Function, Value};

/// Characters of a template's complaint that are shown.
const COMPLAINT: usize = 200;

impl Renderer {
    /// The result of `function`.
    pub fn call_function(&self, function: Function, given: Given) -> Result<Value, TemplateError> {
        match function {
            Function::Range => self.range(given),
            Function::Namespace => {
                let variables = self.variables("namespace", given)?;
                self.pay(COLLECTION + variables.len() * VARIABLE, "a namespace")?;
                let inside = |(name, value)| Ok((name, self.inside_namespace(value)?));
                let variables = variables.into_iter().map(inside);
                let variables = variables.collect::<Result<BTreeMap<_, _>, TemplateError>>()?;
                Ok(Value::Namespace(Rc::new(RefCell::new(variables))))
            }
            Function::Dict => {
                let variables = self.variables("dict", given)?;
                let entries = variables.into_iter().map(|(name, value)| (Value::text(&name), value));
                self.map_of_pairs(entries.collect())
            }
            Function::StrftimeNow(unix) => self.strftime_now(unix, given),
            Function::RaiseException => {
                let [message] = self.bind(given, "raise_exception", ["message"])?;
                let message = self.required(message, "raise_exception", "message")?;
                let message = self.show(&message)?;
                let complaint = message.as_str().chars().take(COMPLAINT).collect();
                Err(self.error(Problem::Raised(complaint)))
            }
        }
    }

    /// The arguments of `callee`, which takes any by name and none else.
    fn variables(&self, callee: &str, given: Given) -> Result<Vec<(String, Value)>, TemplateError> {
        let Given { positional, named } = given;
        self.bind_none(Given { positional, named: Vec::new() }, callee)?;
        Ok(named)
    }

    fn range(&self, given: Given) -> Result<Value, TemplateError> {
        const CALLEE: &str = "range";
        let [first, second, step] = self.bind(given, CALLEE, ["start", "stop", "step"])?;
        let first = self.integer_argument(first, CALLEE, "start")?;
        let first = first.ok_or_else(|| self.bad_argument(CALLEE, "stop", "is missing"))?;
        let second = self.integer_argument(second, CALLEE, "stop")?;
        let step = self.integer_argument(step, CALLEE, "step")?.unwrap_or(1);
        if step == 0 {
            return Err(self.bad_argument(CALLEE, "step", "is zero"));
        }
        let (start, end) = second.map_or((0, first), |second| (first, second));
        let distance = (i128::from(end) - i128::from(start)) * i128::from(step.signum());
        let count = distance.max(0).unsigned_abs().div_ceil(u128::from(step.unsigned_abs()));
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.pay((count as usize).saturating_mul(ELEMENT), CALLEE)?;
        self.list((0..count).map(|index| Value::Integer(start + index * step)).collect(), CALLEE)
    }
}
