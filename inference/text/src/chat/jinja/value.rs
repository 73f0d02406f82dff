//! Values of expressions. A list or mapping knows how deep it is from when it is made.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::ast::Macro;
use crate::chat::text::Text;

/// Lists and mappings inside each other.
pub const MAX_DEPTH: u32 = 16;

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// A name without value.
    Undefined,
    None,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Arc<Text>),
    List(Rc<List>),
    Map(Rc<Map>),
    /// Variables that inner scopes can set.
    Namespace(Rc<RefCell<BTreeMap<String, Value>>>),
    /// `loop`: where a loop is.
    Loop(Rc<Loop>),
    Macro(Arc<Macro>),
    /// A function of the language.
    Function(Function),
}

/// Values in order.
#[derive(Debug)]
pub struct List {
    values: Vec<Value>,
    depth: u32,
}

impl List {
    /// The values.
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}

/// Keys, each once, and their values, in order.
#[derive(Debug)]
pub struct Map {
    entries: Vec<(Value, Value)>,
    depth: u32,
}

impl Map {
    /// Keys and values.
    pub fn entries(&self) -> &[(Value, Value)] {
        &self.entries
    }
}

/// A place in the elements of a loop.
#[derive(Debug)]
pub struct Loop {
    pub index: usize,
    pub items: Rc<List>,
}

impl Loop {
    /// The variable `name` of `loop`.
    pub fn get(&self, name: &str) -> Option<Value> {
        let number = |number: usize| Some(Value::Integer(number as i64));
        let item = |index: Option<usize>| index.and_then(|index| self.items.values().get(index)).cloned();
        let (index, count) = (self.index, self.items.values().len());
        match name {
            "index" => number(index + 1),
            "index0" => number(index),
            "revindex" => number(count - index),
            "revindex0" => number(count - index - 1),
            "first" => Some(Value::Bool(index == 0)),
            "last" => Some(Value::Bool(index + 1 == count)),
            "length" => number(count),
            "previtem" => item(index.checked_sub(1)),
            "nextitem" => item(Some(index + 1)),
            // Of loops that call themselves, which there are none of.
            "depth" => number(1),
            "depth0" => number(0),
            _ => None,
        }
    }
}

/// A function of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Range,
    Namespace,
    Dict,
    RaiseException,
    /// At this time, seconds since 1970.
    StrftimeNow(u64),
}

impl Value {
    /// Text of the template's.
    pub fn text(text: &str) -> Self {
        Self::from(Text::inside(text))
    }

    pub fn list(values: Vec<Self>) -> Self {
        let depth = values.iter().map(Self::depth).max().unwrap_or(0).saturating_add(1);
        Self::List(Rc::new(List { values, depth }))
    }

    /// Of keys that are all different.
    pub fn map(entries: Vec<(Self, Self)>) -> Self {
        let depth = entries.iter().map(|(_, value)| value.depth()).max().unwrap_or(0).saturating_add(1);
        Self::Map(Rc::new(Map { entries, depth }))
    }

    /// Lists and mappings inside each other; without end for what must not be inside any, lest it be inside itself.
    pub fn depth(&self) -> u32 {
        match self {
            Self::List(list) => list.depth,
            Self::Map(map) => map.depth,
            Self::Namespace(_) | Self::Loop(_) => u32::MAX,
            _ => 0,
        }
    }

    /// Whether a condition takes it for true.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Undefined | Self::None => false,
            Self::Bool(truth) => *truth,
            Self::Integer(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.as_str().is_empty(),
            Self::List(list) => !list.values.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Namespace(_) | Self::Loop(_) | Self::Macro(_) | Self::Function(_) => true,
        }
    }

    /// The whole number that it counts as.
    pub const fn integer(&self) -> Option<i64> {
        match self {
            Self::Bool(truth) => Some(*truth as i64),
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// Its kind, for errors.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Undefined => "an undefined value",
            Self::None => "none",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
            Self::Namespace(_) => "a namespace",
            Self::Loop(_) => "a loop's variable",
            Self::Macro(_) => "a macro",
            Self::Function(_) => "a function",
        }
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::Text(Arc::new(text))
    }
}
