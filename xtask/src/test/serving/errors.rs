//! Checks of errors: items 16 to 26, but those of keys.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::server::{CHAT, COMPLETIONS, Server, chat, story};
use crate::client::{get, post};

/// Checks that the server goes on as if nothing had been.
fn still_answers(server: &Server) -> Result<()> {
    ensure!(server.get("/health")?.status == 200, "it is not healthy");
    let text = server.choice(COMPLETIONS, &story(2, json!({})))?["text"].clone();
    ensure!(text == ", there", "{text}");
    Ok(())
}

pub fn bodies(server: &Server) -> Result<()> {
    for body in [&b"{\"messages\""[..], b"{\"messages\": [\xff\xfe]}", b"", b"[]", b"\"a\"", b"{} {}", b"{,}"]
    {
        let mut request = post(CHAT, "", &"x".repeat(body.len())).into_bytes();
        request.truncate(request.len() - body.len());
        request.extend(body);
        let error = server.ask(request)?.error(400)?;
        ensure!(error["type"] == "invalid_request_error", "{}: {error}", body.escape_ascii());
    }
    let error = server.ask(post(CHAT, "", "{\"model\": \"default\",\n  oops}"))?.error(400)?;
    let message = error["message"].as_str().unwrap_or_default();
    ensure!(message.contains("line 2 column 3"), "no place: {message}");
    Ok(())
}

pub fn messages(server: &Server) -> Result<()> {
    let user = json!({ "role": "user", "content": "Hi" });
    let said = json!({ "role": "assistant", "content": "Hi" });
    let bodies = [
        json!({}),
        json!({ "messages": "Hi" }),
        json!({ "messages": [] }),
        json!({ "messages": [123] }),
        json!({ "messages": [{}] }),
        json!({ "messages": [{ "role": 123, "content": "Hi" }] }),
        json!({ "messages": [{ "role": "nobody", "content": "Hi" }] }),
        json!({ "messages": [{ "role": "user", "content": 123 }] }),
        json!({ "messages": [{ "role": "user" }] }),
        json!({ "messages": [user, said, said] }),
    ];
    server.refuses(CHAT, &bodies.map(|body| ("messages", body)))
}

pub fn strange_json(server: &Server) -> Result<()> {
    let nested = format!("{{\"prompt\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for body in [
        r#"{"prompt": "\ud83d"}"#,
        r#"{"prompt": "\udc00x"}"#,
        nested.as_str(),
        r#"{"prompt": "a", "temperature": 1e999}"#,
        r#"{"prompt": "a", "prompt": "b"}"#,
        r#"{"prompt": "a", "seed": 18446744073709551617}"#,
    ] {
        server
            .ask(post(COMPLETIONS, "", body))?
            .error(400)
            .with_context(|| body[..30.min(body.len())].to_owned())?;
    }
    // A zero is a character like others: a token for its byte, or an error that says there is none.
    let zero = server.ask(post(COMPLETIONS, "", r#"{"prompt": "a\u0000b", "max_tokens": 1}"#))?;
    ensure!(matches!(zero.status, 200 | 400), "{}", zero.status);
    zero.json()?;
    still_answers(server)
}

pub fn unknown_fields(server: &Server) -> Result<()> {
    let answer = server.post(COMPLETIONS, &story(2, json!({ "zebra": { "a": 1 }, "x-y": [] })))?;
    ensure!(answer.status == 200, "{}", answer.status);
    let ignored = answer.header("x-embodios-ignored").unwrap_or_default();
    ensure!(ignored.contains("zebra") && ignored.contains("x-y"), "{ignored}");
    Ok(())
}

pub fn nulls(server: &Server) -> Result<()> {
    let names = "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens metadata \
                 modalities n parallel_tool_calls prediction presence_penalty prompt_cache_key reasoning_effort \
                 response_format safety_identifier service_tier stop store stream stream_options tool_choice tools \
                 top_logprobs top_p user verbosity web_search_options top_k min_p repeat_penalty model";
    let plain = chat(json!({ "max_tokens": 4, "seed": 1, "temperature": 0 }));
    let mut nulls = plain.clone();
    names.split_whitespace().for_each(|name| nulls[name] = Value::Null);
    ensure!(server.choice(CHAT, &nulls)? == server.choice(CHAT, &plain)?, "null is not nothing");
    Ok(())
}

/// Positions of a request.
fn context(server: &Server) -> Result<u64> {
    let props = server.get("/props")?.json()?;
    props["default_generation_settings"]["n_ctx"].as_u64().context("no n_ctx")
}

pub fn long_prompt(server: &Server) -> Result<()> {
    let context = context(server)?;
    for stream in [false, true] {
        let body = json!({ "prompt": vec![260; context as usize + 1], "stream": stream });
        let error = server.error(COMPLETIONS, &body, 400)?;
        let message = error["message"].as_str().unwrap_or_default();
        let has_both = [context, context + 1].iter().all(|number| message.contains(&number.to_string()));
        ensure!(error["code"] == "context_length_exceeded" && has_both, "{error}");
    }
    let words = json!({ "messages": [{ "role": "user", "content": "word ".repeat(context as usize) }] });
    ensure!(server.error(CHAT, &words, 400)?["code"] == "context_length_exceeded", "a chat");
    Ok(())
}

pub fn long_answer(server: &Server) -> Result<()> {
    let context = context(server)?;
    let prompt = vec![260; context as usize - 6];
    let answer = server.value(COMPLETIONS, &story(100_000, json!({ "prompt": prompt })))?;
    let made = &answer["usage"]["completion_tokens"];
    // The last token is not taken any more.
    ensure!(answer["choices"][0]["finish_reason"] == "length" && *made == 7, "{answer}");
    Ok(())
}

pub fn models(server: &Server) -> Result<()> {
    for path in [CHAT, COMPLETIONS, "/tokenize"] {
        let body = chat(json!({ "model": "another", "prompt": "a", "content": "a" }));
        let error = server.error(path, &body, 404)?;
        ensure!((&error["code"], &error["param"]) == (&json!("model_not_found"), &json!("model")), "{error}");
    }
    for name in [server.model.as_str(), "default", ""] {
        let answer = server.value(COMPLETIONS, &story(1, json!({ "model": name })))?;
        ensure!(answer["model"] == server.model.as_str(), "{name:?}: {}", answer["model"]);
    }
    let list = server.get("/v1/models")?.json()?;
    ensure!(list["data"][0]["id"] == server.model.as_str(), "{list}");
    ensure!(server.get(&format!("/v1/models/{}", server.model))?.status == 200, "the model of this name");
    server.get("/v1/models/another")?.error(404)?;
    Ok(())
}

pub fn ids(server: &Server) -> Result<()> {
    let mut seen = Vec::new();
    for request in [
        get("/health", ""),
        get("/health", ""),
        get("/nothing", ""),
        post(CHAT, "", "{}"),
        post(COMPLETIONS, "", &story(1, json!({ "stream": true })).to_string()),
        "no request\r\n\r\n".to_owned(),
    ] {
        let answer = server.ask(&request)?;
        let id = answer.header("x-request-id").with_context(|| format!("no id: {request:?}"))?.to_owned();
        ensure!(!id.is_empty() && !seen.contains(&id), "{request:?}: {id} again");
        seen.push(id);
    }
    for path in ["/health", "/nothing"] {
        let answer = server.ask(get(path, "X-Request-Id: mine-1\r\n"))?;
        ensure!(answer.header("x-request-id") == Some("mine-1"), "{path}: {answer:?}");
    }
    Ok(())
}
