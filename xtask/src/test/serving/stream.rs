//! Checks of streams: items 49 to 55.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::server::{CHAT, COMPLETIONS, Server, chat, story, text_of};
use crate::client::{get, post};

/// A greedy chat of so many tokens, no fewer.
fn talk(tokens: usize, more: Value) -> Value {
    let mut body = chat(json!({ "temperature": 0, "ignore_eos": true, "max_tokens": tokens }));
    more.as_object().into_iter().flatten().for_each(|(name, value)| body[name] = value.clone());
    body
}

pub fn first(server: &Server) -> Result<()> {
    let events = server.events(CHAT, &talk(3, json!({})))?;
    let deltas: Vec<&Value> = events.iter().map(|event| &event["choices"][0]["delta"]).collect();
    ensure!(*deltas[0] == json!({ "role": "assistant", "content": "" }), "{}", deltas[0]);
    ensure!(deltas[1..].iter().all(|delta| delta.get("role").is_none()), "{deltas:?}");
    ensure!(events.iter().all(|event| event["object"] == "chat.completion.chunk"), "{events:?}");
    Ok(())
}

pub fn reasons(server: &Server) -> Result<()> {
    let reasons = |path: &str, body: &Value| -> Result<Vec<Value>> {
        let events = server.events(path, body)?;
        let all = events.iter().map(|event| event["choices"][0]["finish_reason"].clone());
        Ok(all.filter(|reason| !reason.is_null()).collect())
    };
    ensure!(reasons(CHAT, &talk(3, json!({})))? == ["length"], "a budget");
    ensure!(reasons(COMPLETIONS, &story(9, json!({ "stop": " there" })))? == ["stop"], "a stop text");
    let mark = server.get("/props")?.json()?["eos_token"].clone();
    let end = server.tokens(mark.as_str().context("a model without an end")?)?;
    ensure!(end.len() == 1, "{mark}: {end:?}");
    let natural = json!({ "ignore_eos": false, "logit_bias": { end[0].to_string(): 100 } });
    ensure!(reasons(CHAT, &talk(9, natural))? == ["stop"], "a natural end");
    Ok(())
}

pub fn usage(server: &Server) -> Result<()> {
    let with = |options: Value| server.events(CHAT, &talk(3, json!({ "stream_options": options })));
    for plain in [with(json!(null))?, with(json!({ "include_usage": false }))?] {
        let has_choice = |event: &Value| event["choices"][0].is_object() && event.get("usage").is_none();
        ensure!(plain.iter().all(has_choice), "{plain:?}");
    }
    let events = with(json!({ "include_usage": true }))?;
    let (last, others) = events.split_last().context("no events")?;
    ensure!(last["choices"] == json!([]) && last["usage"]["completion_tokens"] == 3, "{last}");
    ensure!(
        others.iter().all(|event| event["usage"].is_null() && event["choices"][0].is_object()),
        "{others:?}"
    );
    let finish = others.last().map(|event| event["choices"][0]["finish_reason"].is_string());
    ensure!(finish == Some(true), "the counts are not behind the end");
    Ok(())
}

pub fn continuous_usage(server: &Server) -> Result<()> {
    let options = json!({ "include_usage": true, "continuous_usage_stats": true });
    let events = server.events(CHAT, &talk(3, json!({ "stream_options": options })))?;
    let made = events.iter().map(|event| event["usage"]["completion_tokens"].as_u64());
    let made: Vec<u64> = made.collect::<Option<_>>().context("an event without a count")?;
    ensure!(made == [0, 1, 2, 3, 3, 3], "{made:?}");
    Ok(())
}

pub fn characters(server: &Server) -> Result<()> {
    // A byte of a character as the only token: no character is ever whole.
    let pieces = server.value("/tokenize", &json!({ "content": "é", "with_pieces": true }))?;
    let pieces = pieces["tokens"].as_array().context("no pieces")?;
    let part =
        pieces.iter().find(|piece| piece["piece"].is_array()).context("é has a token")?["id"].to_string();
    for body in
        [story(5, json!({ "logit_bias": { part: 100 } })), story(12, json!({ "temperature": 2, "seed": 5 }))]
    {
        let whole = server.choice(COMPLETIONS, &body)?["text"].clone();
        // Each event was UTF-8, else it would be no JSON.
        let text = text_of(&server.events(COMPLETIONS, &body)?, 0);
        ensure!(whole == text, "{whole} and {text:?}");
        ensure!(text.contains('\u{fffd}') || body["seed"] == 5, "{text:?}");
    }
    Ok(())
}

pub fn chunk_a_token(server: &Server) -> Result<()> {
    let events = server.events(CHAT, &talk(12, json!({ "return_tokens": true })))?;
    ensure!(events.len() == 14, "{} events for 12 tokens", events.len());
    for event in &events[1..13] {
        let choice = &event["choices"][0];
        let is_text = choice["delta"]["content"].as_str().is_some_and(|text| !text.is_empty());
        ensure!(is_text && choice["tokens"].as_array().map(Vec::len) == Some(1), "{choice}");
    }
    Ok(())
}

pub fn goes_on(server: &Server) -> Result<()> {
    let mut client = server.client()?;
    let mut body = talk(2, json!({}));
    body["stream"] = true.into();
    for _ in 0..2 {
        client.ask(post(CHAT, "", &body.to_string()))?.events()?;
    }
    ensure!(client.ask(get("/health", ""))?.status == 200, "the request behind two streams");
    Ok(())
}
