//! Messages of a chat, and the prompt that they become by the model's own template.
//!
//! The last message decides how the prompt ends. Behind any other role the model's turn begins. An assistant's turn
//! goes on: the prompt ends with its words, and the answer is what follows them. `continue_final_message: false` begins
//! a turn behind it instead. An assistant's turn without words begins as if it were not there.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_engine::json::{BadLine, Fields, Responder, complete};
use embodios_text::chat::{ChatTemplate, Message, Role, Text};
use serde_json::{Map, Value};

use crate::fields::Ignored;
use crate::sampling::Short;
use crate::{ApiError, Served};

/// A message.
#[derive(Debug)]
pub struct Turn {
    pub role: Role,
    pub content: String,
}

/// An error about what is `inside` a field.
pub fn within(inside: &str, BadLine { field, error }: BadLine) -> ApiError {
    match field {
        Some(field) => ApiError::field(&format!("{inside}.{field}"), error),
        None => ApiError::field(inside, error),
    }
}

/// The messages that the field `name` is.
///
/// # Errors
/// When they are none, or ask for what is not done.
pub fn read(name: &str, messages: Value, ignored: &mut Ignored) -> Result<Vec<Turn>, ApiError> {
    let Value::Array(list) = messages else { return Err(ApiError::field(name, "wants a list of messages")) };
    if list.is_empty() {
        return Err(ApiError::field(name, "is empty"));
    }
    let turns: Vec<Turn> = (0..)
        .zip(list)
        .map(|(index, message): (usize, _)| turn(&format!("{name}[{index}]"), name, message, ignored))
        .collect::<Result<_, _>>()?;
    if let [.., before, last] = &*turns
        && before.role == Role::Assistant
        && last.role == Role::Assistant
    {
        return Err(ApiError::field(name, "ends with two turns of the assistant: only one can go on"));
    }
    Ok(turns)
}

fn turn(place: &str, name: &str, message: Value, ignored: &mut Ignored) -> Result<Turn, ApiError> {
    let Value::Object(message) = message else {
        return Err(ApiError::field(place, "wants an object with role and content"));
    };
    let mut fields = Fields::of(message);
    let role = fields.text("role").map_err(|error| within(place, error))?;
    let role = role.ok_or_else(|| ApiError::field(&format!("{place}.role"), "is missing"))?;
    let role = match role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" | "function" => {
            let error = format!("this server calls no tools, so that no message has the role {role:?}");
            return Err(ApiError::field(&format!("{place}.role"), error));
        }
        other => {
            return Err(ApiError::field(
                &format!("{place}.role"),
                format!("there is no role {:?}", Short(other)),
            ));
        }
    };
    for call in ["tool_calls", "function_call"] {
        if fields.value(call).is_some_and(|calls| calls.as_array().is_none_or(|list| !list.is_empty())) {
            return Err(ApiError::field(&format!("{place}.{call}"), "this server calls no tools"));
        }
    }
    let place = format!("{place}.content");
    let content = match fields.value("content") {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => joined(&place, name, parts, ignored)?,
        Some(_) => return Err(ApiError::field(&place, "wants a text or a list of text parts")),
        None if role == Role::Assistant => String::new(),
        None => return Err(ApiError::field(&place, "is missing")),
    };
    for (other, value) in fields.iter() {
        if !matches!(other, "type" | "id" | "status") && !value.is_null() {
            ignored.add(&format!("{name}."), other);
        }
    }
    Ok(Turn { role, content })
}

/// The texts of `parts`, each on a line of its own.
fn joined(place: &str, name: &str, parts: Vec<Value>, ignored: &mut Ignored) -> Result<String, ApiError> {
    let mut joined = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        let place = format!("{place}[{index}]");
        let text = match part {
            Value::String(text) => text,
            Value::Object(part) => text_of(&place, name, part, ignored)?,
            _ => return Err(ApiError::field(&place, "wants an object with type and text")),
        };
        if index > 0 {
            joined.push('\n');
        }
        joined.push_str(&text);
    }
    Ok(joined)
}

fn text_of(
    place: &str,
    name: &str,
    part: Map<String, Value>,
    ignored: &mut Ignored,
) -> Result<String, ApiError> {
    let mut part = Fields::of(part);
    let kind = part.text("type").map_err(|error| within(place, error))?;
    match kind.as_deref() {
        Some("text" | "input_text" | "output_text") => {}
        Some(other) => {
            let error = format!("this server reads text only, no {:?}", Short(other));
            return Err(ApiError::field(&format!("{place}.type"), error));
        }
        None => return Err(ApiError::field(&format!("{place}.type"), "is missing")),
    }
    let text = part.text("text").map_err(|error| within(place, error))?;
    for (other, value) in part.iter() {
        if !matches!(other, "annotations" | "logprobs") && !value.is_null() {
            ignored.add(&format!("{name}.content."), other);
        }
    }
    text.ok_or_else(|| ApiError::field(&format!("{place}.text"), "is missing"))
}

/// What is asked of the prompt's end.
#[derive(Clone, Copy, Debug, Default)]
pub struct End {
    continues: Option<bool>,
    begins: Option<bool>,
}

impl End {
    /// Takes it from `fields`.
    ///
    /// # Errors
    /// When it is no truth value.
    pub fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let mut flag = |name| fields.take(name, "true or false", Value::as_bool);
        Ok(Self { continues: flag("continue_final_message")?, begins: flag("add_generation_prompt")? })
    }
}

/// The text of a conversation, up to where the answer begins.
///
/// # Errors
/// When the model has no template, or that refuses the conversation or does not end with words that are to go on.
pub fn render(served: &Served<'_>, name: &str, turns: &[Turn], end: End) -> Result<Text, ApiError> {
    let no_template = |error: &dyn core::fmt::Display| {
        ApiError::invalid(format!("{error}: ask for a completion of a prompt instead"))
            .named("no_chat_template")
    };
    let Responder { chat, now, .. } = served.responder;
    let template = chat.as_ref().map_err(|error| no_template(error))?;
    let refused = |error| ApiError::field(name, format!("the model's template refuses them: {error}"));
    let mut messages: Vec<Message<'_>> = turns.iter().map(|turn| turn.role.says(&turn.content)).collect();
    let last = turns.last().filter(|last| last.role == Role::Assistant);
    if last.is_none() && end.continues == Some(true) {
        return Err(ApiError::field("continue_final_message", "the last message is not the assistant's"));
    }
    let continued = last.filter(|_| end.continues.unwrap_or(true));
    if end.begins == Some(continued.is_some()) {
        let error = "an assistant's last turn goes on, and behind any other one begins";
        return Err(ApiError::field("add_generation_prompt", error));
    }
    match continued {
        Some(last) if last.content.trim().is_empty() => {
            messages.pop();
            template.render(&messages, true, now).map_err(refused)
        }
        Some(_) => template.render_open(&messages, now).map_err(refused)?.ok_or_else(|| {
            let error = "the model's template does not end with the last turn's words, so that it cannot go on; \
                         continue_final_message: false begins a new one";
            ApiError::field(name, error)
        }),
        None => template.render(&messages, true, now).map_err(refused),
    }
}

/// The tokens of what was rendered.
///
/// # Errors
/// When the model has no token for some of it.
pub fn encode(served: &Served<'_>, name: &str, text: &Text) -> Result<Vec<u32>, ApiError> {
    let encoding = ChatTemplate::encode(served.responder.tokenizer, text);
    Ok(complete(encoding, name)?)
}
