//! The form of completions: one object, or chunks of the same kind.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_engine::batch::Outcome;
use serde_json::{Value, json};

use crate::call::Choice;
use crate::logprobs::{self, Chosen};
use crate::stream::Piece;
use crate::usage::Usage;
use crate::{Call, Served, stream};

/// What every object of a call has: a chunk without choices.
pub fn chunk(call: &Call) -> Value {
    json!({
        "id": format!("cmpl-{:016x}", call.meta.id),
        "object": "text_completion",
        "created": call.meta.unix,
        "model": call.model,
        "system_fingerprint": call.fingerprint,
    })
}

/// The choice of the first chunk where the prompt is part of the answer.
pub fn echo(prompt: &str) -> Value {
    json!({ "text": prompt, "logprobs": null, "finish_reason": null })
}

/// The choice of a chunk with `piece`.
pub fn piece(served: &Served<'_>, choice: &mut Choice, piece: &Piece<'_>) -> Value {
    let found = columns(served, &choice.chosen, &mut choice.characters);
    json!({ "text": piece.text, "logprobs": found, "finish_reason": piece.finish })
}

fn columns(served: &Served<'_>, chosen: &[Chosen], characters: &mut usize) -> Value {
    match chosen {
        [] => Value::Null,
        chosen => logprobs::columns(served.responder.tokenizer, chosen, characters),
    }
}

/// The whole answer.
pub fn answer(call: &Call, served: &Served<'_>, outcomes: &[&Outcome]) -> Value {
    let choices = outcomes.iter().enumerate().map(|(index, outcome)| {
        let mut text = String::from(call.prompt_of(index).map_or("", |prompt| &prompt.echo));
        text.push_str(&outcome.text);
        let mut choice = json!({
            "index": index,
            "text": text,
            "logprobs": columns(served, &Chosen::all_of(outcome), &mut 0),
            "finish_reason": stream::reason(&outcome.finish),
        });
        stream::add_extras(call, &mut choice, Some(&outcome.tokens), Some(outcome.logits_hash));
        choice
    });
    let choices: Vec<Value> = choices.collect();
    let mut answer = chunk(call);
    answer["choices"] = choices.into();
    answer["usage"] = Usage::of(call).of_completion();
    answer
}
