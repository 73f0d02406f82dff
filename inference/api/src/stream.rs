//! Streams of chats and completions: which chunks there are, and when.
//!
//! A token has a chunk of its own as soon as there is text that is certain with it. Where none is (a part of a
//! character, what may become a stop text, a control token) the next chunk tells of it. What is held back at the end
//! comes in a chunk before the one that ends the choice, so that the texts of all chunks are the text of the answer
//! that does not stream, byte for byte.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use embodios_engine::batch::{Finish, Outcome};
use serde_json::{Value, json};

use crate::logprobs::Chosen;
use crate::usage::Usage;
use crate::{ApiError, Call, Endpoint, Served, Token, chat, completion, responses};

/// What a chunk tells of.
pub struct Piece<'a> {
    pub text: &'a str,
    /// The reason for the choice's end, with its last chunk.
    pub finish: Option<&'static str>,
    /// The hash of its logits, with the same.
    pub hash: Option<u64>,
}

/// The reason for an end, of those that clients know.
pub const fn reason(finish: &Finish) -> &'static str {
    match finish {
        Finish::Limit | Finish::ContextFull => "length",
        _ => "stop",
    }
}

/// Adds to a choice, or to a response, what was asked for beside the API's own.
pub fn add_extras(call: &Call, choice: &mut Value, tokens: Option<&[u32]>, hash: Option<u64>) {
    if let Some(tokens) = tokens.filter(|_| call.options.tokens) {
        choice["tokens"] = tokens.into();
    }
    if let Some(hash) = hash.filter(|_| call.options.logits_hash) {
        choice["logits_hash"] = format!("{hash:016x}").into();
    }
}

/// The first events.
pub fn begin(call: &mut Call, out: &mut dyn FnMut(&str)) {
    match call.endpoint {
        Endpoint::Chat => (0..call.choices.len()).for_each(|index| send(call, index, chat::first(), out)),
        Endpoint::Completions => {
            for index in 0..call.choices.len() {
                let echo = call.prompt_of(index).map_or("", |prompt| &prompt.echo);
                if !echo.is_empty() {
                    send(call, index, completion::echo(echo), out);
                }
            }
        }
        Endpoint::Responses => responses::stream::begin(call, out),
    }
}

/// The event of a token of choice `index`, if there is text with it.
pub fn token(
    call: &mut Call,
    served: &Served<'_>,
    index: usize,
    token: Token<'_>,
    out: &mut dyn FnMut(&str),
) {
    let wants = (call.options.tokens, call.options.log_probabilities.is_some());
    let Some(choice) = call.choices.get_mut(index) else { return };
    choice.made += 1;
    choice.tokens.extend(Some(token.token).filter(|_| wants.0));
    choice.chosen.extend(Chosen::of(&token).filter(|_| wants.1));
    if !token.text.is_empty() {
        choice.sent += token.text.len();
        tell(call, served, index, &Piece { text: token.text, finish: None, hash: None }, out);
    }
}

/// The last events of choice `index`: of what was held back, of its end, and with the last choice that of the stream.
pub fn finished(
    call: &mut Call,
    served: &Served<'_>,
    index: usize,
    outcome: &Outcome,
    out: &mut dyn FnMut(&str),
) {
    let sent = call.choices.get(index).map_or(0, |choice| choice.sent);
    let rest = outcome.text.get(sent..).unwrap_or_default();
    if !rest.is_empty() {
        tell(call, served, index, &Piece { text: rest, finish: None, hash: None }, out);
    }
    if call.endpoint == Endpoint::Responses {
        responses::stream::finished(call, served, outcome, out);
        return;
    }
    let hash = Some(outcome.logits_hash);
    tell(call, served, index, &Piece { text: "", finish: Some(reason(&outcome.finish)), hash }, out);
    if call.is_over() {
        if call.options.include_usage {
            let mut chunk = chunk(call);
            chunk["choices"] = Vec::<Value>::new().into();
            chunk["usage"] = Usage::of(call).of_completion();
            out(&event(&chunk));
        }
        out("data: [DONE]\n\n");
    }
}

/// The event of an error, the last one.
pub fn failed(call: &mut Call, error: &ApiError, out: &mut dyn FnMut(&str)) {
    match call.endpoint {
        Endpoint::Responses => responses::stream::failed(call, error, out),
        Endpoint::Chat | Endpoint::Completions => out(&error.event()),
    }
}

/// Tells of `piece` and of the tokens that no event has told of yet.
fn tell(call: &mut Call, served: &Served<'_>, index: usize, piece: &Piece<'_>, out: &mut dyn FnMut(&str)) {
    let Some(choice) = call.choices.get_mut(index) else { return };
    let mut value = match call.endpoint {
        Endpoint::Chat => chat::piece(served, choice, piece),
        Endpoint::Completions => completion::piece(served, choice, piece),
        Endpoint::Responses => {
            let chosen = mem::take(&mut choice.chosen);
            choice.tokens.clear();
            responses::stream::delta(call, served, piece.text, &chosen, out);
            return;
        }
    };
    choice.chosen.clear();
    let tokens = mem::take(&mut choice.tokens);
    add_extras(call, &mut value, Some(&tokens), piece.hash);
    send(call, index, value, out);
}

fn chunk(call: &Call) -> Value {
    match call.endpoint {
        Endpoint::Completions => completion::chunk(call),
        Endpoint::Chat | Endpoint::Responses => chat::chunk(call),
    }
}

/// Sends a chunk with one choice.
fn send(call: &Call, index: usize, mut choice: Value, out: &mut dyn FnMut(&str)) {
    choice["index"] = index.into();
    let mut chunk = chunk(call);
    chunk["choices"] = json!([choice]);
    if call.options.include_usage {
        chunk["usage"] = match call.options.continuous_usage {
            true => Usage::of(call).of_completion(),
            false => Value::Null,
        };
    }
    out(&event(&chunk));
}

/// A value as an event.
fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}
