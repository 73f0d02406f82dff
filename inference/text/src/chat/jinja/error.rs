//! Faults of a template.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

/// A template that cannot be used, or refuses what it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The line, from 1.
    pub line: u32,
    /// The fault.
    pub problem: Box<Problem>,
}

/// A fault of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Something else than the language wants there.
    Unexpected {
        /// The word found.
        found: String,
        /// The part of the language wanted there.
        wanted: &'static str,
    },
    /// A block, string or comment without its end.
    Unclosed(&'static str),
    /// A part of the language that is not known here.
    Unsupported {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// An operation on a value it does not take.
    Type {
        /// The operation.
        operation: &'static str,
        /// The kind of value.
        value: &'static str,
    },
    /// An argument that cannot be taken.
    Argument {
        /// The callee.
        callee: String,
        /// Its name, or its place, from 1.
        argument: String,
        /// The reason.
        problem: &'static str,
    },
    /// More than a bound allows.
    Bound(&'static str),
    /// More work than a rendering may do: the operation that was too much.
    Fuel(&'static str),
    /// The template's own complaint.
    Raised(String),
}

impl Problem {
    /// This problem, in `line`.
    pub fn at(self, line: u32) -> TemplateError {
        TemplateError { line, problem: Box::new(self) }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line;
        match &*self.problem {
            Problem::Unexpected { found, wanted } => {
                write!(f, "the chat template, line {line}: found {found:?}, wanted {wanted}")
            }
            Problem::Unclosed(what) => write!(f, "the chat template, line {line}: {what} without end"),
            Problem::Unsupported { kind, name } => {
                write!(f, "the chat template, line {line}, uses the {kind} {name:?}, which is not supported")
            }
            Problem::Type { operation, value } => {
                write!(f, "the chat template, line {line}: {operation} does not work on {value}")
            }
            Problem::Argument { callee, argument, problem } => {
                write!(f, "the chat template, line {line}: the argument {argument:?} of {callee:?} {problem}")
            }
            Problem::Bound(what) => write!(f, "the chat template, line {line}: {what}"),
            Problem::Fuel(operation) => {
                write!(
                    f,
                    "the chat template, line {line}: {operation} takes more work than a rendering may do"
                )
            }
            Problem::Raised(message) => write!(f, "the chat template refuses: {message}"),
        }
    }
}

impl core::error::Error for TemplateError {}
