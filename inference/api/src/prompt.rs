//! Prompts of completions: a text, token ids, or a list of either; and what every prompt has to be.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use embodios_engine::json::complete;
use embodios_engine::prompt::{self, PromptError};
use embodios_text::tokenizer::ParseSpecial;
use serde_json::Value;

use crate::sampling::vocabulary;
use crate::{ApiError, Served};

/// The prompts that the field `prompt` is, at most so many.
///
/// # Errors
/// When it is none.
pub fn read(served: &Served<'_>, prompt: Option<Value>, most: usize) -> Result<Vec<Vec<u32>>, ApiError> {
    const NAME: &str = "prompt";
    match prompt {
        None => Err(ApiError::field(NAME, "is missing")),
        Some(Value::Array(list)) if list.is_empty() => Err(ApiError::field(NAME, "is empty")),
        Some(Value::Array(list)) if !list[0].is_number() => {
            if list.len() > most {
                return Err(ApiError::field(
                    NAME,
                    format!("has {} prompts, at most {most} are taken", list.len()),
                ));
            }
            let one = |(index, value): (usize, &Value)| one(served, &format!("{NAME}[{index}]"), value);
            list.iter().enumerate().map(one).collect()
        }
        Some(value) => one(served, NAME, &value).map(|prompt| Vec::from([prompt])),
    }
}

fn one(served: &Served<'_>, name: &str, value: &Value) -> Result<Vec<u32>, ApiError> {
    let vocabulary = vocabulary(served);
    match value {
        Value::String(text) => {
            let tokenizer = served.responder.tokenizer;
            // Who sends a whole prompt has rendered it, marks included.
            let mut encoding = tokenizer.prompt(text, ParseSpecial::Yes);
            tokenizer.begin_once(&mut encoding);
            Ok(complete(encoding, name)?)
        }
        Value::Array(list) => {
            let id =
                |value: &Value| u32::try_from(value.as_u64()?).ok().filter(|&id| (id as usize) < vocabulary);
            let ids = list.iter().map(id).collect::<Option<Vec<u32>>>();
            ids.ok_or_else(|| ApiError::field(name, format!("wants token ids below {vocabulary}")))
        }
        _ => Err(ApiError::field(name, "wants a text, a list of token ids, or a list of either")),
    }
}

/// The text of a prompt, without the begin token that it was given.
pub fn text(served: &Served<'_>, tokens: &[u32]) -> String {
    let tokenizer = served.responder.tokenizer;
    let begins = tokens.first().copied().is_some_and(|first| tokenizer.begin() == Some(first));
    tokenizer.shown(tokens.get(usize::from(begins)..).unwrap_or_default())
}

/// Checks that a prompt fits.
///
/// # Errors
/// When it does not, or there is none.
pub fn check(served: &Served<'_>, name: &str, tokens: &[u32]) -> Result<(), ApiError> {
    match prompt::check(tokens, served.responder.model.config.vocabulary, 0, served.context) {
        Ok(()) => Ok(()),
        Err(PromptError::ContextFull { added, context, .. }) => Err(ApiError::too_long(added, context, name)),
        Err(error) => Err(ApiError::field(name, error.to_string())),
    }
}
