//! Texts as tokens and back: `/tokenize`, `/detokenize`, `/apply-template`.
//!
//! There is no place in these answers for fields that are not known, but one of its own: `ignored`.

use alloc::string::ToString;
use alloc::vec::Vec;

use embodios_engine::json::Fields;
use embodios_text::tokenizer::{Encoding, ParseSpecial};
use serde_json::{Value, json};

use crate::fields::{self, Ignored};
use crate::messages::{self, End};
use crate::sampling::vocabulary;
use crate::{ApiError, Endpoint, Served, options};

/// The answer `value`, with the names of fields that nobody knows.
fn answer(mut value: Value, ignored: Ignored) -> Vec<u8> {
    if !ignored.0.is_empty() {
        value["ignored"] = ignored.0.into();
    }
    value.to_string().into_bytes()
}

/// The fields of `body`, and afterwards those that were not taken.
fn with_fields(
    served: &Served<'_>,
    body: &[u8],
    read: impl FnOnce(&mut Fields) -> Result<Value, ApiError>,
) -> Result<Vec<u8>, ApiError> {
    let mut fields = Fields::parse(body)?;
    options::check_model(served, &mut fields)?;
    let value = read(&mut fields)?;
    let mut ignored = Ignored::default();
    fields.iter().filter(|(_, value)| !value.is_null()).for_each(|(name, _)| ignored.add("", name));
    Ok(answer(value, ignored))
}

/// The answer of `/tokenize`: `{content, add_special, parse_special, with_pieces}` to `{tokens}`, with `left_out`, the
/// bytes without a token, where there are any.
///
/// # Errors
/// When the body is no such request.
pub fn tokenize(served: &Served<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    with_fields(served, body, |fields| {
        let tokenizer = served.responder.tokenizer;
        let content = fields.text("content")?.ok_or_else(|| ApiError::field("content", "is missing"))?;
        let plain = fields.take("parse_special", "true or false", Value::as_bool)? == Some(false);
        let special = if plain { ParseSpecial::No } else { ParseSpecial::Yes };
        let mut encoding = Encoding::default();
        if fields.flag("add_special")? {
            encoding.ids.extend(tokenizer.begin());
        }
        tokenizer.encode(&content, special, &mut encoding);
        let piece = |&token: &u32| {
            let mut bytes = Vec::new();
            tokenizer.show(token, &mut bytes);
            let piece = match core::str::from_utf8(&bytes) {
                Ok(text) => Value::from(text),
                Err(_) => Value::from(bytes),
            };
            json!({ "id": token, "piece": piece })
        };
        let tokens: Value = match fields.flag("with_pieces")? {
            true => encoding.ids.iter().map(piece).collect(),
            false => encoding.ids.into(),
        };
        let mut value = json!({ "tokens": tokens });
        if encoding.left_out > 0 {
            value["left_out"] = encoding.left_out.into();
        }
        Ok(value)
    })
}

/// The answer of `/detokenize`: `{tokens}` to `{content}`, with the names of control tokens.
///
/// # Errors
/// When the body is no such request.
pub fn detokenize(served: &Served<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    with_fields(served, body, |fields| {
        let tokens = fields.ids("tokens", vocabulary(served))?;
        let tokens = tokens.ok_or_else(|| ApiError::field("tokens", "is missing"))?;
        Ok(json!({ "content": served.responder.tokenizer.shown(&tokens) }))
    })
}

/// The answer of `/apply-template`: the body of a chat to `{prompt}`.
///
/// # Errors
/// When the body is no such request, or the model has no template.
pub fn apply_template(served: &Served<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let mut ignored = Ignored::default();
    let mut fields = fields::known(Endpoint::Chat, body, &mut ignored)?;
    options::check_model(served, &mut fields)?;
    let list = fields.value("messages").ok_or_else(|| ApiError::field("messages", "is missing"))?;
    let turns = messages::read("messages", list, &mut ignored)?;
    let text = messages::render(served, "messages", &turns, End::read(&mut fields)?)?;
    Ok(answer(json!({ "prompt": text.as_str().to_string() }), ignored))
}
