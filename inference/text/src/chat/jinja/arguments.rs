//! Arguments of calls, filters and tests: each goes to the parameter it is for, or is refused by name.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::error::{Problem, TemplateError};
use super::render::Renderer;
use super::value::Value;
use crate::chat::text::Text;

/// Evaluated arguments.
#[derive(Default)]
pub struct Given {
    pub positional: Vec<Value>,
    pub named: Vec<(String, Value)>,
}

impl Renderer {
    /// The arguments of `callee`, in the order of its parameters `names`.
    ///
    /// # Errors
    /// When one is for none of them, or for the same as another.
    pub fn bind<const N: usize>(
        &self,
        given: Given,
        callee: &str,
        names: [&str; N],
    ) -> Result<[Option<Value>; N], TemplateError> {
        let mut bound = [const { None }; N];
        self.bind_to(given, callee, &names, &mut bound)?;
        Ok(bound)
    }

    /// As [`Self::bind`], into `bound`, which has a place for each of `names`.
    pub fn bind_to(
        &self,
        given: Given,
        callee: &str,
        names: &[&str],
        bound: &mut [Option<Value>],
    ) -> Result<(), TemplateError> {
        for (index, value) in given.positional.into_iter().enumerate() {
            match bound.get_mut(index) {
                Some(place) => *place = Some(value),
                None => return Err(self.bad_argument(callee, &(index + 1).to_string(), "is not supported")),
            }
        }
        for (name, value) in given.named {
            match names.iter().position(|parameter| *parameter == name) {
                None => return Err(self.bad_argument(callee, &name, "is not supported")),
                Some(index) if bound[index].is_some() => {
                    return Err(self.bad_argument(callee, &name, "is given twice"));
                }
                Some(index) => bound[index] = Some(value),
            }
        }
        Ok(())
    }

    /// As [`Self::bind`], for a `callee` that takes none.
    pub fn bind_none(&self, given: Given, callee: &str) -> Result<(), TemplateError> {
        self.bind::<0>(given, callee, []).map(|_| ())
    }

    /// An argument that cannot be taken.
    pub fn bad_argument(&self, callee: &str, argument: &str, problem: &'static str) -> TemplateError {
        self.error(Problem::Argument { callee: callee.into(), argument: argument.into(), problem })
    }

    /// The argument `name`, which `callee` cannot do without.
    pub fn required(&self, value: Option<Value>, callee: &str, name: &str) -> Result<Value, TemplateError> {
        value.ok_or_else(|| self.bad_argument(callee, name, "is missing"))
    }

    /// As [`Self::required`], where it has to be a string.
    pub fn text_argument(
        &self,
        value: Option<Value>,
        callee: &str,
        name: &str,
    ) -> Result<Arc<Text>, TemplateError> {
        match self.required(value, callee, name)? {
            Value::Text(text) => Ok(text),
            _ => Err(self.bad_argument(callee, name, "is no string")),
        }
    }

    /// The whole number that the argument `name` of `callee` is, if it is given.
    pub fn integer_argument(
        &self,
        value: Option<Value>,
        callee: &str,
        name: &str,
    ) -> Result<Option<i64>, TemplateError> {
        match value {
            None | Some(Value::None) => Ok(None),
            Some(value) => match value.integer() {
                Some(number) => Ok(Some(number)),
                None => Err(self.bad_argument(callee, name, "is no whole number")),
            },
        }
    }
}
