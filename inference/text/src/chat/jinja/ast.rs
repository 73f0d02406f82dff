//! The parts of an understood template.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::value::Value;
use crate::chat::text::Text;

/// A statement.
#[derive(Clone, Debug)]
pub enum Statement {
    /// Text as it stands.
    Text(Text),
    /// `{{ value }}`
    Output(Located),
    /// `if`, `elif`…: conditions with what follows them; then `else`.
    If { branches: Vec<(Located, Vec<Self>)>, otherwise: Vec<Self> },
    /// `for`
    For(Box<For>),
    /// `set target = value`
    Set { target: Target, value: Located },
    /// `set name` … `endset`
    SetBlock { name: String, body: Vec<Self> },
    /// `macro`
    Macro(Arc<Macro>),
    /// `break`
    Break,
    /// `continue`
    Continue,
}

/// An expression of a statement, and its line.
#[derive(Clone, Debug)]
pub struct Located {
    pub line: u32,
    pub expression: Expression,
}

/// A loop.
#[derive(Clone, Debug)]
pub struct For {
    pub targets: Vec<String>,
    pub items: Located,
    pub condition: Option<Located>,
    pub body: Vec<Statement>,
    pub otherwise: Vec<Statement>,
}

/// A macro.
#[derive(Clone, Debug)]
pub struct Macro {
    pub name: String,
    /// Parameters with their defaults.
    pub parameters: Vec<(String, Option<Expression>)>,
    pub body: Vec<Statement>,
}

/// Target of `set`.
#[derive(Clone, Debug)]
pub enum Target {
    /// Variables; several take a value apart.
    Names(Vec<String>),
    /// A variable of a namespace.
    Attribute { namespace: String, name: String },
}

/// A value as the template writes it, which threads may share.
#[derive(Clone, Debug)]
pub enum Literal {
    None,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Arc<Text>),
}

impl Literal {
    pub fn value(&self) -> Value {
        match self {
            Self::None => Value::None,
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Integer(number) => Value::Integer(*number),
            Self::Float(number) => Value::Float(*number),
            Self::Text(text) => Value::Text(Arc::clone(text)),
        }
    }
}

/// An expression. Chains without a bound are flat here, so that the depth of the tree is that of
/// the brackets.
#[derive(Clone, Debug)]
pub enum Expression {
    Literal(Literal),
    Name(String),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Not(Box<Self>),
    /// A value with a sign in front: minus, or else plus.
    Signed {
        negative: bool,
        value: Box<Self>,
    },
    /// A value compared with the next, that with the one after it, and so on.
    Comparison(Box<Self>, Vec<(Operator, Self)>),
    /// A value, and operations on it and further ones, from the left.
    Chain(Box<Self>, Vec<(Operator, Self)>),
    /// `then if condition else then if condition … else otherwise`
    Conditional(Vec<(Self, Self)>, Option<Box<Self>>),
    /// A value and its postfix operations, from the left.
    Postfix(Box<Self>, Vec<Step>),
}

impl Expression {
    /// Drops a filter `safe` at the end of an output: nothing is escaped here. Anywhere else it is no filter
    /// that is known, since the reference then escapes what it is joined with.
    pub fn drop_safe(&mut self) {
        if let Self::Postfix(_, steps) = self
            && matches!(steps.last(), Some(Step::Filter(name, arguments)) if name == "safe" && arguments.are_none())
        {
            steps.pop();
        }
    }
}

/// A postfix operation on a value.
#[derive(Clone, Debug)]
pub enum Step {
    /// `.name`
    Attribute(String),
    /// `[index]`
    Index(Expression),
    /// `[start:stop:step]`
    Slice([Option<Expression>; 3]),
    /// `(arguments)`
    Call(Arguments),
    /// `| name(arguments)`
    Filter(String, Arguments),
    /// `is name(arguments)`, or `is not`
    Test { name: String, arguments: Arguments, negated: bool },
}

/// Arguments of a call: in order, then by name.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    pub positional: Vec<Expression>,
    pub named: Vec<(String, Expression)>,
}

impl Arguments {
    /// Whether there are none.
    pub const fn are_none(&self) -> bool {
        self.positional.is_empty() && self.named.is_empty()
    }
}

/// An operator between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
    Add,
    Subtract,
    Join,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
}
