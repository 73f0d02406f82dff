//! Statements into text.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;

use super::arguments::Given;
use super::ast::{For, Located, Macro, Statement, Target};
use super::error::{Problem, TemplateError};
use super::fuel::{Fuel, STEP, TEXT, VARIABLE};
use super::value::{Function, Loop, Value};
use crate::chat::text::Text;

/// Statements, expressions and calls of macros inside each other.
const MAX_DEPTH: u32 = 48;

/// Variables of a scope.
type Scope = BTreeMap<String, Value>;

/// Renders `statements` with the variables in `context`, at the time `now` where it is known.
pub fn render(
    statements: &[Statement],
    context: Vec<(String, Value)>,
    now: Option<u64>,
) -> Result<Text, TemplateError> {
    let functions = [
        ("range", Function::Range),
        ("namespace", Function::Namespace),
        ("dict", Function::Dict),
        ("raise_exception", Function::RaiseException),
    ];
    let fuel = Fuel::new(context.iter().map(|(_, value)| bytes(value)).sum());
    let mut globals: Scope = context.into_iter().collect();
    let clock = now.map(|unix| ("strftime_now", Function::StrftimeNow(unix)));
    let functions = functions.into_iter().chain(clock);
    globals.extend(functions.map(|(name, function)| (name.into(), Value::Function(function))));
    let mut renderer = Renderer {
        scopes: Vec::from([globals, Scope::new()]),
        output: Text::default(),
        fuel,
        depth: Cell::new(0),
        line: 1,
    };
    renderer.body(statements)?;
    Ok(renderer.output)
}

/// Bytes of the texts in `value`.
fn bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.as_str().len(),
        Value::List(list) => list.values().iter().map(bytes).sum(),
        Value::Map(map) => map.entries().iter().map(|(key, value)| bytes(key) + bytes(value)).sum(),
        _ => 0,
    }
}

/// The end of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Through,
    Break,
    Continue,
}

/// A rendering under way.
pub struct Renderer {
    /// Globals, the template's own variables, then those of loops and macros, innermost last.
    scopes: Vec<Scope>,
    output: Text,
    fuel: Fuel,
    depth: Cell<u32>,
    /// Of the statement under way.
    line: u32,
}

impl Renderer {
    /// `problem`, in the current line.
    pub fn error(&self, problem: Problem) -> TemplateError {
        problem.at(self.line)
    }

    /// `operation` on a value that it does not take.
    pub fn type_error(&self, operation: &'static str, value: &Value) -> TemplateError {
        self.error(Problem::Type { operation, value: value.kind() })
    }

    /// A part of the language that is not known here.
    pub fn unsupported(&self, kind: &'static str, name: &str) -> TemplateError {
        self.error(Problem::Unsupported { kind, name: name.into() })
    }

    /// Pays for `work` of `operation`.
    pub fn pay(&self, work: usize, operation: &'static str) -> Result<(), TemplateError> {
        self.fuel.pay(work, operation).map_err(|problem| self.error(problem))
    }

    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Value {
        let found = self.scopes.iter().rev().find_map(|scope| scope.get(name));
        found.cloned().unwrap_or(Value::Undefined)
    }

    /// Pays for a step, one level deeper. Each has its [`Self::leave`], unless the rendering fails.
    pub fn enter(&self) -> Result<(), TemplateError> {
        self.pay(STEP, "this")?;
        self.depth.set(self.depth.get() + 1);
        if self.depth.get() > MAX_DEPTH {
            return Err(self.error(Problem::Bound("rendering is nested too deep")));
        }
        Ok(())
    }

    /// Ends what [`Self::enter`] began.
    pub fn leave(&self) {
        self.depth.set(self.depth.get() - 1);
    }

    fn located(&mut self, located: &Located) -> Result<Value, TemplateError> {
        self.line = located.line;
        self.evaluate(&located.expression)
    }

    fn body(&mut self, statements: &[Statement]) -> Result<Flow, TemplateError> {
        self.enter()?;
        let mut flow = Flow::Through;
        for statement in statements {
            flow = self.statement(statement)?;
            if flow != Flow::Through {
                break;
            }
        }
        self.leave();
        Ok(flow)
    }

    fn statement(&mut self, statement: &Statement) -> Result<Flow, TemplateError> {
        match statement {
            Statement::Text(text) => self.put_out(text)?,
            Statement::Output(value) => {
                let value = self.located(value)?;
                let shown = self.show(&value)?;
                self.put_out(&shown)?;
            }
            Statement::If { branches, otherwise } => {
                for (condition, body) in branches {
                    if self.located(condition)?.is_true() {
                        return self.body(body);
                    }
                }
                return self.body(otherwise);
            }
            Statement::For(repetition) => self.repeat(repetition)?,
            Statement::Set { target, value } => {
                let value = self.located(value)?;
                self.assign(target, value)?;
            }
            Statement::SetBlock { name, body } => {
                let text = self.captured(body)?;
                self.set(name, text)?;
            }
            Statement::Macro(definition) => {
                self.set(&definition.name, Value::Macro(Arc::clone(definition)))?;
            }
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Through)
    }

    fn put_out(&mut self, text: &Text) -> Result<(), TemplateError> {
        self.pay(text.size(), "putting out")?;
        self.output.push(text);
        Ok(())
    }

    /// The output of `body`.
    fn captured(&mut self, body: &[Statement]) -> Result<Value, TemplateError> {
        self.pay(TEXT, "this")?;
        let before = core::mem::take(&mut self.output);
        self.body(body)?;
        Ok(core::mem::replace(&mut self.output, before).into())
    }

    fn set(&mut self, name: &str, value: Value) -> Result<(), TemplateError> {
        self.pay(VARIABLE, "setting a variable")?;
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.into(), value);
        }
        Ok(())
    }

    fn assign(&mut self, target: &Target, value: Value) -> Result<(), TemplateError> {
        match target {
            Target::Names(names) => self.unpack(names, value),
            Target::Attribute { namespace, name } => match self.variable(namespace) {
                Value::Namespace(variables) => {
                    self.pay(VARIABLE, "setting an attribute")?;
                    let value = self.inside_namespace(value)?;
                    variables.borrow_mut().insert(name.clone(), value);
                    Ok(())
                }
                other => Err(self.type_error("setting an attribute", &other)),
            },
        }
    }

    /// `value` as a variable of a namespace, where it could be in a circle.
    pub fn inside_namespace(&self, value: Value) -> Result<Value, TemplateError> {
        match value {
            Value::Namespace(_) | Value::Loop(_) => Err(self.type_error("setting an attribute", &value)),
            other => Ok(other),
        }
    }

    /// Gives `value` to one name, or its elements to several.
    fn unpack(&mut self, names: &[String], value: Value) -> Result<(), TemplateError> {
        if let [name] = names {
            return self.set(name, value);
        }
        let elements = self.elements(&value, "taking apart")?;
        if elements.len() != names.len() {
            return Err(self.type_error("taking apart into another number of variables", &value));
        }
        names.iter().zip(elements).try_for_each(|(name, element)| self.set(name, element))
    }

    fn repeat(&mut self, repetition: &For) -> Result<(), TemplateError> {
        let For { targets, items, condition, body, otherwise } = repetition;
        let line = items.line;
        let value = self.located(items)?;
        let mut elements = self.elements(&value, "a loop")?;
        self.scopes.push(Scope::new());
        if let Some(condition) = condition {
            let mut kept = Vec::new();
            for element in elements {
                self.unpack(targets, element.clone())?;
                if self.located(condition)?.is_true() {
                    kept.push(element);
                }
            }
            elements = kept;
        }
        let Value::List(items) = Value::list(elements) else { return Ok(()) };
        for (index, element) in items.values().iter().enumerate() {
            self.scopes.pop();
            self.scopes.push(Scope::new());
            self.line = line;
            self.unpack(targets, element.clone())?;
            self.set("loop", Value::Loop(Rc::new(Loop { index, items: Rc::clone(&items) })))?;
            if self.body(body)? == Flow::Break {
                break;
            }
        }
        self.scopes.pop();
        if items.values().is_empty() {
            self.body(otherwise)?;
        }
        Ok(())
    }

    /// The text that a macro puts out.
    pub fn call_macro(&mut self, definition: &Macro, given: Given) -> Result<Value, TemplateError> {
        let Macro { name, parameters, body } = definition;
        let caller = self.line;
        self.pay(parameters.len() * (given.named.len() + 1) * STEP, "a macro's arguments")?;
        let names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
        let mut bound = alloc::vec![None; names.len()];
        self.bind_to(given, name, &names, &mut bound)?;
        // A macro sees the template's variables, not those of the loops it is called in.
        let mut hidden = self.scopes.split_off(2);
        self.scopes.push(Scope::new());
        for ((name, default), value) in parameters.iter().zip(bound) {
            let value = match (value, default) {
                (Some(value), _) => value,
                (None, Some(default)) => self.evaluate(default)?,
                (None, None) => Value::Undefined,
            };
            self.set(name, value)?;
        }
        let text = self.captured(body)?;
        self.scopes.truncate(2);
        self.scopes.append(&mut hidden);
        self.line = caller;
        Ok(text)
    }
}
