//! Responses: a chat of one answer in another form. Nothing is kept, so that a request holds its whole conversation.

pub mod stream;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use embodios_engine::batch::{Finish, Outcome};
use embodios_engine::json::Fields;
use embodios_text::chat::Role;
use embodios_text::sample::Sampling;
use serde_json::{Value, json};

use crate::fields::Ignored;
use crate::logprobs::{self, Chosen};
use crate::messages::{self, Turn, within};
use crate::stream::{add_extras, reason};
use crate::usage::Usage;
use crate::{ApiError, Call, Served};

/// What a response says of its request.
#[derive(Debug)]
pub struct Given {
    pub instructions: Option<String>,
    pub limit: Option<usize>,
    pub sampling: Sampling,
}

impl Default for Given {
    fn default() -> Self {
        Self { instructions: None, limit: None, sampling: Sampling::GREEDY }
    }
}

/// The conversation that the fields are: instructions, then the input.
///
/// # Errors
/// When there is none, or it holds what is not done.
pub fn turns(fields: &mut Fields, given: &mut Given, ignored: &mut Ignored) -> Result<Vec<Turn>, ApiError> {
    const NAME: &str = "input";
    check_text(fields, ignored)?;
    given.instructions = fields.text("instructions")?;
    let mut turns = Vec::new();
    turns.extend(given.instructions.clone().map(|content| Turn { role: Role::System, content }));
    match fields.value(NAME) {
        None => return Err(ApiError::field(NAME, "is missing")),
        Some(Value::String(content)) => turns.push(Turn { role: Role::User, content }),
        Some(Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                if let Some(kind) = item.get("type").filter(|kind| !kind.is_null() && *kind != "message") {
                    let error = format!("this server takes messages only, no {}", kind);
                    return Err(ApiError::field(&format!("{NAME}[{index}].type"), error));
                }
            }
            turns.extend(messages::read(NAME, Value::Array(items), ignored)?);
        }
        Some(_) => return Err(ApiError::field(NAME, "wants a text or a list of messages")),
    }
    Ok(turns)
}

/// Checks the field `text`: plain, of no special length.
fn check_text(fields: &mut Fields, ignored: &mut Ignored) -> Result<(), ApiError> {
    const NAME: &str = "text";
    let mut fields = match fields.value(NAME) {
        None => return Ok(()),
        Some(Value::Object(object)) => Fields::of(object),
        Some(_) => return Err(ApiError::field(NAME, "wants an object")),
    };
    if fields.value("format").is_some_and(|format| format.get("type").is_none_or(|kind| kind != "text")) {
        let error = "this server does not constrain the form of its answers; only the type \"text\" is taken";
        return Err(ApiError::field("text.format", error));
    }
    let verbosity = fields.text("verbosity").map_err(|error| within(NAME, error))?;
    if verbosity.is_some_and(|verbosity| verbosity != "medium") {
        let error = "no model here is told how much to write; only \"medium\" is taken";
        return Err(ApiError::field("text.verbosity", error));
    }
    fields.iter().for_each(|(name, _)| ignored.add("text.", name));
    Ok(())
}

/// The object, with the status of its only item and what that says, if there is one.
fn object(call: &Call, status: &str, items: Value) -> Value {
    let Given { instructions, limit, sampling } = &call.given;
    // In single precision as they are used, and written as they came.
    let number = |number: f32| number.to_string().parse::<f64>().unwrap_or_default();
    json!({
        "id": id(call, "resp"),
        "object": "response",
        "created_at": call.meta.unix,
        "status": status,
        "background": false,
        "error": null,
        "incomplete_details": null,
        "instructions": instructions,
        "max_output_tokens": limit,
        "model": call.model,
        "output": items,
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "reasoning": { "effort": null, "summary": null },
        "store": false,
        "system_fingerprint": call.fingerprint,
        "temperature": number(sampling.temperature),
        "text": { "format": { "type": "text" } },
        "tool_choice": "none",
        "tools": [],
        "top_p": number(sampling.top_p),
        "truncation": "disabled",
        "usage": null,
    })
}

/// The name of something that a call has one of.
fn id(call: &Call, kind: &str) -> String {
    format!("{kind}_{:016x}", call.meta.id)
}

/// The part of a message that is its text.
fn part(served: &Served<'_>, text: &str, chosen: &[Chosen]) -> Value {
    let found = logprobs::list(served.responder.tokenizer, chosen);
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": found })
}

/// The message.
fn item(call: &Call, status: &str, content: Value) -> Value {
    json!({
        "type": "message",
        "id": id(call, "msg"),
        "status": status,
        "role": "assistant",
        "content": content,
    })
}

/// The status of a response that ended so.
fn status(finish: &Finish) -> &'static str {
    match reason(finish) {
        "length" => "incomplete",
        _ => "completed",
    }
}

/// The whole response.
fn whole(call: &Call, served: &Served<'_>, outcome: &Outcome) -> Value {
    let status = status(&outcome.finish);
    let part = part(served, &outcome.text, &Chosen::all_of(outcome));
    let mut response = object(call, status, json!([item(call, status, json!([part]))]));
    if status == "incomplete" {
        response["incomplete_details"] = json!({ "reason": "max_output_tokens" });
    }
    response["usage"] = Usage::of(call).of_response();
    add_extras(call, &mut response, Some(&outcome.tokens), Some(outcome.logits_hash));
    response
}

/// The whole answer.
pub fn answer(call: &Call, served: &Served<'_>, outcomes: &[&Outcome]) -> Value {
    outcomes.first().map_or(Value::Null, |outcome| whole(call, served, outcome))
}
