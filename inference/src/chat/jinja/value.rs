//! What expressions evaluate to.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::cmp::Ordering;

use super::ast::Macro;
use crate::chat::text::Text;

/// Elements that a value may have.
pub const MAX_ELEMENTS: usize = 100_000;

/// Keys and values in order.
pub type Map = Vec<(String, Value)>;

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// A name without value.
    Undefined,
    None,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Rc<Text>),
    List(Rc<Vec<Value>>),
    Map(Rc<Map>),
    /// Variables that inner scopes can set.
    Namespace(Rc<RefCell<BTreeMap<String, Value>>>),
    Macro(Rc<Macro>),
    /// A function of the language.
    Function(Function),
}

/// A function of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Range,
    Namespace,
    Dict,
    RaiseException,
}

impl Value {
    /// Text of the template's.
    pub fn text(text: &str) -> Self {
        Self::Text(Rc::new(Text::inside(text)))
    }

    pub fn list(values: Vec<Self>) -> Self {
        Self::List(Rc::new(values))
    }

    pub fn map(map: Map) -> Self {
        Self::Map(Rc::new(map))
    }

    /// Whether a condition takes it for true.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Undefined | Self::None => false,
            Self::Bool(truth) => *truth,
            Self::Integer(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.as_str().is_empty(),
            Self::List(values) => !values.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Namespace(_) | Self::Macro(_) | Self::Function(_) => true,
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
            Self::Macro(_) => "a macro",
            Self::Function(_) => "a function",
        }
    }

    /// What putting it out shows; `None` for what templates do not put out.
    pub fn show(&self) -> Option<Text> {
        Some(match self {
            Self::Undefined => Text::default(),
            Self::None => Text::inside("None"),
            Self::Bool(true) => Text::inside("True"),
            Self::Bool(false) => Text::inside("False"),
            Self::Integer(number) => Text::inside(&number.to_string()),
            Self::Float(number) => Text::inside(&alloc::format!("{number:?}")),
            Self::Text(text) => (**text).clone(),
            _ => return None,
        })
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<Self> {
        match self {
            Self::Map(map) => map.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()),
            Self::Namespace(variables) => variables.borrow().get(key).cloned(),
            _ => None,
        }
    }

    /// What a loop over it takes, or a conversion to a list; `None` for what has no elements.
    pub fn elements(&self) -> Option<Vec<Self>> {
        Some(match self {
            Self::Undefined => Vec::new(),
            Self::List(values) => values.to_vec(),
            Self::Map(map) => map.iter().map(|(key, _)| Self::text(key)).collect(),
            Self::Text(text) if text.as_str().len() <= MAX_ELEMENTS => {
                let part = |(at, c): (usize, char)| Self::Text(Rc::new(text.slice(at..at + c.len_utf8())));
                text.as_str().char_indices().map(part).collect()
            }
            _ => return None,
        })
    }

    /// Whether no more than `depth` lists and mappings are inside each other, and no namespace is in one.
    pub fn is_nested_at_most(&self, depth: u32) -> bool {
        let inner = |value: &Self| match value {
            Self::Namespace(_) => false,
            _ => depth.checked_sub(1).is_some_and(|depth| value.is_nested_at_most(depth)),
        };
        match self {
            Self::List(values) => values.iter().all(inner),
            Self::Map(map) => map.iter().all(|(_, value)| inner(value)),
            _ => true,
        }
    }

    const fn number(&self) -> Option<f64> {
        match self {
            Self::Bool(truth) => Some(*truth as u8 as f64),
            Self::Integer(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// Order, of two numbers or two texts.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Some(a.as_str().cmp(b.as_str())),
            _ => self.number()?.partial_cmp(&other.number()?),
        }
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::Text(Rc::new(text))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Undefined, Self::Undefined) | (Self::None, Self::None) => true,
            (Self::Text(a), Self::Text(b)) => a.as_str() == b.as_str(),
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => {
                a.len() == b.len() && a.iter().all(|(key, value)| other.get(key).as_ref() == Some(value))
            }
            (Self::Namespace(a), Self::Namespace(b)) => Rc::ptr_eq(a, b),
            (Self::Macro(a), Self::Macro(b)) => Rc::ptr_eq(a, b),
            (Self::Function(a), Self::Function(b)) => a == b,
            _ => self.number().is_some() && self.number() == other.number(),
        }
    }
}
