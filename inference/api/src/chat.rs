//! The form of chats: one object, or chunks.

use alloc::format;
use alloc::vec::Vec;

use embodios_engine::batch::Outcome;
use serde_json::{Value, json};

use crate::call::Choice;
use crate::logprobs::{self, Chosen};
use crate::stream::Piece;
use crate::usage::Usage;
use crate::{Call, Served, stream};

/// What every object of a call has.
fn object(call: &Call, kind: &str) -> Value {
    json!({
        "id": format!("chatcmpl-{:016x}", call.meta.id),
        "object": kind,
        "created": call.meta.unix,
        "model": call.model,
        "system_fingerprint": call.fingerprint,
    })
}

/// A chunk without choices.
pub fn chunk(call: &Call) -> Value {
    object(call, "chat.completion.chunk")
}

/// The choice of the first chunk, which names the role.
pub fn first() -> Value {
    json!({ "delta": { "role": "assistant", "content": "" }, "logprobs": null, "finish_reason": null })
}

/// The choice of a chunk with `piece`.
pub fn piece(served: &Served<'_>, choice: &Choice, piece: &Piece<'_>) -> Value {
    let delta = if piece.text.is_empty() { json!({}) } else { json!({ "content": piece.text }) };
    let found = list(served, &choice.chosen);
    json!({ "delta": delta, "logprobs": found, "finish_reason": piece.finish })
}

fn list(served: &Served<'_>, chosen: &[Chosen]) -> Value {
    match chosen {
        [] => Value::Null,
        chosen => json!({ "content": logprobs::list(served.responder.tokenizer, chosen), "refusal": null }),
    }
}

/// The whole answer.
pub fn answer(call: &Call, served: &Served<'_>, outcomes: &[&Outcome]) -> Value {
    let choices = outcomes.iter().enumerate().map(|(index, outcome)| {
        let mut choice = json!({
            "index": index,
            "message": { "role": "assistant", "content": outcome.text, "refusal": null },
            "logprobs": list(served, &Chosen::all_of(outcome)),
            "finish_reason": stream::reason(&outcome.finish),
        });
        stream::add_extras(call, &mut choice, Some(&outcome.tokens), Some(outcome.logits_hash));
        choice
    });
    let choices: Vec<Value> = choices.collect();
    let mut answer = object(call, "chat.completion");
    answer["choices"] = choices.into();
    answer["usage"] = Usage::of(call).of_completion();
    answer
}
