//! Statements into text.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::ast::{For, Located, Macro, Statement, Target};
use super::error::{Problem, TemplateError};
use super::value::{Function, Map, Value};
use crate::chat::text::Text;

/// Statements and expressions that a rendering may evaluate.
const MAX_STEPS: u32 = 2_000_000;
/// Bytes that a text may grow to.
pub const MAX_TEXT: usize = 1 << 24;
/// Statements, expressions and calls of macros inside each other.
const MAX_DEPTH: u32 = 48;
/// Lists and mappings inside each other.
const MAX_VALUE_DEPTH: u32 = 16;

/// Variables of a scope.
type Scope = BTreeMap<String, Value>;

/// Renders `statements` with the variables in `context`.
pub fn render(statements: &[Statement], context: Map) -> Result<Text, TemplateError> {
    let functions = [
        ("range", Function::Range),
        ("namespace", Function::Namespace),
        ("dict", Function::Dict),
        ("raise_exception", Function::RaiseException),
    ];
    let mut globals: Scope = context.into_iter().collect();
    globals.extend(functions.map(|(name, function)| (name.into(), Value::Function(function))));
    let mut renderer = Renderer {
        scopes: Vec::from([globals, Scope::new()]),
        output: Text::default(),
        steps: 0,
        depth: 0,
        line: 1,
    };
    renderer.body(statements)?;
    Ok(renderer.output)
}

/// How a body ended.
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
    steps: u32,
    depth: u32,
    /// Of the statement under way.
    line: u32,
}

impl Renderer {
    /// `problem`, in the current line.
    pub fn error(&self, problem: Problem) -> TemplateError {
        problem.at(self.line)
    }

    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Value {
        let found = self.scopes.iter().rev().find_map(|scope| scope.get(name));
        found.cloned().unwrap_or(Value::Undefined)
    }

    /// Counts a step, one level deeper. Each has its [`Self::leave`], unless the rendering fails.
    pub fn enter(&mut self) -> Result<(), TemplateError> {
        self.steps += 1;
        self.depth += 1;
        if self.steps > MAX_STEPS {
            return Err(self.error(Problem::Bound("rendering takes too many steps")));
        }
        if self.depth > MAX_DEPTH {
            return Err(self.error(Problem::Bound("rendering is nested too deep")));
        }
        Ok(())
    }

    /// Ends what [`Self::enter`] began.
    pub const fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Appends `more`, within the bound.
    pub fn push(&self, text: &mut Text, more: &Text) -> Result<(), TemplateError> {
        if text.as_str().len() + more.as_str().len() > MAX_TEXT {
            return Err(self.error(Problem::Bound("a text grows too long")));
        }
        text.push(more);
        Ok(())
    }

    /// What putting out `value` shows.
    pub fn show(&self, value: &Value) -> Result<Text, TemplateError> {
        let kind = value.kind();
        value.show().ok_or_else(|| self.error(Problem::Type { operation: "putting out", value: kind }))
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
            Statement::Text(text) => self.put_out(&Text::inside(text))?,
            Statement::Output(value) => {
                let value = self.located(value)?;
                self.put_out(&self.show(&value)?)?;
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
                let text = self.captured(|renderer| renderer.body(body))?;
                self.set(name, text.into());
            }
            Statement::Macro(definition) => self.set(&definition.name, Value::Macro(Rc::clone(definition))),
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Through)
    }

    fn put_out(&mut self, text: &Text) -> Result<(), TemplateError> {
        let mut output = core::mem::take(&mut self.output);
        self.push(&mut output, text)?;
        self.output = output;
        Ok(())
    }

    /// What `part` puts out.
    fn captured<T>(
        &mut self,
        part: impl FnOnce(&mut Self) -> Result<T, TemplateError>,
    ) -> Result<Text, TemplateError> {
        let before = core::mem::take(&mut self.output);
        part(self)?;
        Ok(core::mem::replace(&mut self.output, before))
    }

    fn set(&mut self, name: &str, value: Value) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.into(), value);
        }
    }

    fn assign(&mut self, target: &Target, value: Value) -> Result<(), TemplateError> {
        match target {
            Target::Names(names) if matches!(value, Value::Namespace(_)) => self.unpack(names, value),
            Target::Names(names) => {
                self.check_part(&value)?;
                self.unpack(names, value)
            }
            Target::Attribute { namespace, name } => match self.variable(namespace) {
                Value::Namespace(variables) => {
                    self.check_part(&value)?;
                    variables.borrow_mut().insert(name.clone(), value);
                    Ok(())
                }
                other => {
                    let operation = "setting an attribute";
                    Err(self.error(Problem::Type { operation, value: other.kind() }))
                }
            },
        }
    }

    /// Refuses `value` as a part of another where values could nest without end, or in a circle.
    pub fn check_part(&self, value: &Value) -> Result<(), TemplateError> {
        if !matches!(value, Value::Namespace(_)) && value.is_nested_at_most(MAX_VALUE_DEPTH) {
            return Ok(());
        }
        Err(self.error(Problem::Bound("a value is nested too deep")))
    }

    /// Gives `value` to one name, or its elements to several.
    fn unpack(&mut self, names: &[String], value: Value) -> Result<(), TemplateError> {
        if let [name] = names {
            self.set(name, value);
            return Ok(());
        }
        match value.elements().filter(|elements| elements.len() == names.len()) {
            Some(elements) => {
                names.iter().zip(elements).for_each(|(name, element)| self.set(name, element));
                Ok(())
            }
            None => Err(self.error(Problem::Type { operation: "taking apart", value: value.kind() })),
        }
    }

    fn repeat(&mut self, repetition: &For) -> Result<(), TemplateError> {
        let For { targets, items, condition, body, otherwise } = repetition;
        let value = self.located(items)?;
        let Some(mut elements) = value.elements() else {
            return Err(self.error(Problem::Type { operation: "a loop", value: value.kind() }));
        };
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
        for index in 0..elements.len() {
            self.scopes.pop();
            self.scopes.push(Scope::new());
            self.line = items.line;
            self.unpack(targets, elements[index].clone())?;
            self.set("loop", loop_variable(index, &elements));
            if self.body(body)? == Flow::Break {
                break;
            }
        }
        self.scopes.pop();
        if elements.is_empty() {
            self.body(otherwise)?;
        }
        Ok(())
    }

    /// The text that a macro puts out.
    pub fn call_macro(
        &mut self,
        definition: &Macro,
        positional: Vec<Value>,
        named: Vec<(String, Value)>,
    ) -> Result<Value, TemplateError> {
        let caller = self.line;
        let mut scope = Scope::new();
        let mut positional = positional.into_iter();
        for (name, default) in &definition.parameters {
            let by_name = named.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
            let value = match (positional.next().or(by_name), default) {
                (Some(value), _) => value,
                (None, Some(default)) => self.evaluate(default)?,
                (None, None) => Value::Undefined,
            };
            scope.insert(name.clone(), value);
        }
        // A macro sees the template's variables, not those of the loops it is called in.
        let mut hidden = self.scopes.split_off(2);
        self.scopes.push(scope);
        let text = self.captured(|renderer| renderer.body(&definition.body))?;
        self.scopes.truncate(2);
        self.scopes.append(&mut hidden);
        self.line = caller;
        Ok(text.into())
    }
}

/// `loop` in the turn of element `index`.
fn loop_variable(index: usize, elements: &[Value]) -> Value {
    let number = |number: usize| Value::Integer(number as i64);
    let at = |index: Option<usize>| {
        index.and_then(|index| elements.get(index)).cloned().unwrap_or(Value::Undefined)
    };
    let count = elements.len();
    let variables = [
        ("index", number(index + 1)),
        ("index0", number(index)),
        ("revindex", number(count - index)),
        ("revindex0", number(count - index - 1)),
        ("first", Value::Bool(index == 0)),
        ("last", Value::Bool(index + 1 == count)),
        ("length", number(count)),
        ("previtem", at(index.checked_sub(1))),
        ("nextitem", at(Some(index + 1))),
    ];
    Value::map(variables.into_iter().map(|(name, value)| (name.into(), value)).collect())
}
