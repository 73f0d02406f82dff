//! Jinja, as far as chat templates use it.
//!
//! Covers what `transformers` renders templates with: `trim_blocks` and `lstrip_blocks`, loop controls,
//! `raise_exception`, `strftime_now`; not imports, not calls with bodies. A template that uses something else is
//! refused with its name, at the latest when rendering comes to it, and so is an argument. Templates are as untrusted
//! as the file they come from: nesting is bounded, and [`fuel`] bounds work and memory.
//!
//! The language: <https://jinja.palletsprojects.com/en/stable/templates/>.

mod arguments;
mod ast;
mod checks;
mod clock;
mod compare;
mod error;
mod evaluate;
mod expression;
mod filters;
mod fuel;
mod functions;
mod index;
mod json;
mod lexer;
mod literals;
mod make;
mod methods;
mod number;
mod parser;
mod render;
mod select;
mod value;
mod words;

use alloc::string::String;
use alloc::vec::Vec;

use super::text::Text;
use ast::Statement;
pub use error::TemplateError;
pub use value::Value;

/// A template, ready to render.
#[derive(Clone, Debug)]
pub struct Template {
    statements: Vec<Statement>,
}

impl Template {
    /// Understands `source`.
    ///
    /// # Errors
    /// [`TemplateError`] names what it does not, and the line.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        Ok(Self { statements: parser::parse(source)? })
    }

    /// Renders with the variables in `context`, at the time `now`, seconds since 1970. Where that is not known
    /// `strftime_now` is not there.
    ///
    /// # Errors
    /// [`TemplateError`]: the template's own refusal, an operation on the wrong kind of value, or a bound.
    pub fn render(&self, context: Vec<(String, Value)>, now: Option<u64>) -> Result<Text, TemplateError> {
        render::render(&self.statements, context, now)
    }
}

#[cfg(test)]
mod tests;
