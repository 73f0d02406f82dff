//! Streams of responses: events that have a type and a number, and the whole response at the end.

use alloc::format;

use embodios_engine::batch::Outcome;
use serde_json::{Value, json};

use super::{id, item, object, part, status, whole};
use crate::logprobs::{self, Chosen};
use crate::{ApiError, Call, Served};

/// Sends an event of this type.
fn send(call: &mut Call, kind: &str, mut value: Value, out: &mut dyn FnMut(&str)) {
    value["type"] = kind.into();
    value["sequence_number"] = call.events.into();
    call.events += 1;
    out(&format!("event: {kind}\ndata: {value}\n\n"));
}

/// What an event about the text has.
fn place(call: &Call) -> Value {
    json!({ "item_id": id(call, "msg"), "output_index": 0, "content_index": 0 })
}

/// The events before any text.
pub fn begin(call: &mut Call, out: &mut dyn FnMut(&str)) {
    let response = json!({ "response": object(call, "in_progress", json!([])) });
    send(call, "response.created", response.clone(), out);
    send(call, "response.in_progress", response, out);
    let added = json!({ "output_index": 0, "item": item(call, "in_progress", json!([])) });
    send(call, "response.output_item.added", added, out);
    let mut added = place(call);
    added["part"] = json!({ "type": "output_text", "text": "", "annotations": [], "logprobs": [] });
    send(call, "response.content_part.added", added, out);
}

/// The event of some text.
pub fn delta(call: &mut Call, served: &Served<'_>, text: &str, chosen: &[Chosen], out: &mut dyn FnMut(&str)) {
    let mut delta = place(call);
    delta["delta"] = text.into();
    delta["logprobs"] = logprobs::list(served.responder.tokenizer, chosen);
    send(call, "response.output_text.delta", delta, out);
}

/// The events behind all text.
pub fn finished(call: &mut Call, served: &Served<'_>, outcome: &Outcome, out: &mut dyn FnMut(&str)) {
    let part = part(served, &outcome.text, &Chosen::all_of(outcome));
    let mut done = place(call);
    (done["text"], done["logprobs"]) = (part["text"].clone(), part["logprobs"].clone());
    send(call, "response.output_text.done", done, out);
    let mut done = place(call);
    done["part"] = part.clone();
    send(call, "response.content_part.done", done, out);
    let status = status(&outcome.finish);
    let done = json!({ "output_index": 0, "item": item(call, status, json!([part])) });
    send(call, "response.output_item.done", done, out);
    let response = json!({ "response": whole(call, served, outcome) });
    send(call, &format!("response.{status}"), response, out);
}

/// The event of an error, the last one.
pub fn failed(call: &mut Call, error: &ApiError, out: &mut dyn FnMut(&str)) {
    let mut response = object(call, "failed", json!([]));
    response["error"] = json!({ "code": error.code.unwrap_or("server_error"), "message": error.message });
    send(call, "response.failed", json!({ "response": response }), out);
}
