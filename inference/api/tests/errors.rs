//! Bodies that are no requests, or ask for what is not done: errors that name the place and the field.

mod common;

use std::sync::LazyLock;

use common::{error, run, served, served_with, template};
use embodios_api::Endpoint::{Chat, Completions, Responses};
use embodios_api::{ApiError, Call, Endpoint, Meta, apply_template, detokenize, tokenize};
use embodios_engine::batch::{Failure, Finish, Refusal};
use embodios_engine::prompt::PromptError;
use embodios_gguf::memory::OutOfMemory;
use embodios_text::chat::{ChatError, ChatTemplate};
use proptest::prelude::*;
use serde_json::{Value, json};

const META: Meta = Meta { id: 3, unix: 4 };

#[test]
fn bodies_that_are_no_objects_are_refused_with_the_place() {
    let deep = format!("{{\"messages\": {}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for (body, says) in [
        (&b""[..], "column"),
        (b"hello", "line 1"),
        (b"[]", "object"),
        (b"{\"a\": 1,}", "line 1 column"),
        (b"{\"a\": \"\xff\"}", "column"),
        (b"\xff\xfe{\0}\0", "UTF-16"),
        (b"{\"a\": 1, \"a\": 2}", "\"a\" is there twice"),
        (b"{\"messages\": [{\"role\": \"user\", \"role\": \"user\"}]}", "\"role\" is there twice"),
        (br#"{"prompt": "\ud83d"}"#, "column"),
        (br#"{"seed": 1e999}"#, "column"),
        (deep.as_bytes(), "column"),
    ] {
        for endpoint in [Chat, Completions, Responses] {
            let error = error(endpoint, body);
            assert_eq!((error.status, error.kind, &error.param), (400, "invalid_request_error", &None));
            assert!(error.message.contains(says), "{error}");
        }
        for side in [tokenize, detokenize, apply_template] {
            assert_eq!(side(&served(), body).unwrap_err().status, 400);
        }
    }
    // A text of a zero byte is a text.
    let zero = r#"{"messages": [{"role": "user", "content": "a\u0000b"}], "max_tokens": 1}"#;
    assert!(run(Chat, zero).answer.is_ok());
}

#[test]
fn messages_are_refused_by_their_place() {
    let assistant = r#"{"role": "assistant", "content": "a"}"#;
    let two = format!(r#"[{{"role": "user", "content": "a"}}, {assistant}, {assistant}]"#);
    for (messages, param) in [
        ("null", "messages"),
        ("\"hello\"", "messages"),
        ("[]", "messages"),
        ("[123]", "messages[0]"),
        ("[{}]", "messages[0].role"),
        (r#"[{"role": 123}]"#, "messages[0].role"),
        (r#"[{"role": "king", "content": "a"}]"#, "messages[0].role"),
        (r#"[{"role": "user", "content": 123}]"#, "messages[0].content"),
        (r#"[{"role": "user"}]"#, "messages[0].content"),
        (r#"[{"role": "user", "content": null}]"#, "messages[0].content"),
        (r#"[{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]"#, "messages[1].role"),
        (r#"[{"role": "assistant", "tool_calls": [{"id": "1"}]}]"#, "messages[0].tool_calls"),
        (r#"[{"role": "assistant", "function_call": {"name": "f"}}]"#, "messages[0].function_call"),
        (r#"[{"role": "user", "content": [{"type": "image_url"}]}]"#, "messages[0].content[0].type"),
        (r#"[{"role": "user", "content": [{"text": "a"}]}]"#, "messages[0].content[0].type"),
        (r#"[{"role": "user", "content": [{"type": "text"}]}]"#, "messages[0].content[0].text"),
        (r#"[{"role": "user", "content": [5]}]"#, "messages[0].content[0]"),
        (&two, "messages"),
        // The template's own words.
        (r#"[{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]"#, "messages"),
    ] {
        let error = error(Chat, format!("{{\"messages\": {messages}}}"));
        assert_eq!((error.status, error.param.as_deref()), (400, Some(param)), "{messages}: {error}");
        let name = param.split(['[', '.']).next().unwrap();
        assert!(error.message.contains(name), "{error}");
    }
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    for (name, values) in [
        ("temperature", r#"-0.1 2.01 "1" true [] 1e39"#),
        ("top_p", "-0.1 1.1 {}"),
        ("top_k", "-2 0.5 1e3"),
        ("min_p", "-1 1.5"),
        ("presence_penalty", "-2.1 2.1 null1"),
        ("frequency_penalty", "-3 3"),
        ("repetition_penalty", "0 -1"),
        ("repeat_penalty", "0 101"),
        ("repeat_last_n", "-2 0.5"),
        ("seed", "0.5 \"1\" 99999999999999999999"),
        ("n", "0 17 -1 1.5 \"2\""),
        ("max_tokens", "-2 0.5 \"5\""),
        ("max_completion_tokens", "-2 []"),
        ("stop", "5 \"\" [\"\"] [1] {}"),
        ("stop_token_ids", "[5000] 5 [-1]"),
        ("logit_bias", r#"5 {"a":1} {"5000":1} {"07":1} {"7":101} {"7":"1"} {"-1":1} [1]"#),
        ("ignore_eos", "1 \"true\""),
        ("stream", "1"),
        ("stream_options", "5 []"),
        ("logprobs", "1"),
        ("top_logprobs", "21 -1 1"),
        ("logits_hash", "\"yes\""),
        ("model", "5"),
        ("continue_final_message", "true 5"),
        ("add_generation_prompt", "false 5"),
    ] {
        for value in values.split(' ').filter(|value| *value != "null1") {
            let body = format!(r#"{{"messages": [{{"role": "user", "content": "a"}}], "{name}": {value}}}"#);
            let error = error(Chat, body);
            assert_eq!((error.status, error.param.as_deref()), (400, Some(name)), "{value}: {error}");
            assert!(error.message.contains(name), "{error}");
        }
    }
    let all = r#""temperature": null, "top_p": null, "n": null, "stop": null, "seed": null, "logit_bias": null,
        "stream": null, "stream_options": null, "logprobs": null, "max_tokens": null, "model": null, "tools": null"#;
    let body = format!(r#"{{"messages": [{{"role": "user", "content": "a"}}], {all}}}"#);
    assert!(Call::parse(&served(), Chat, body.as_bytes(), META).is_ok());
    let nested = error(Chat, r#"{"stream_options": {"include_usage": 1}}"#);
    assert_eq!(nested.param.as_deref(), Some("stream_options.include_usage"));
    let stops = error(Chat, json!({ "stop": vec!["a"; 17] }).to_string());
    assert_eq!(stops.param.as_deref(), Some("stop"));
    let bans: serde_json::Map<String, Value> = (0..1024).map(|id| (format!("{id}"), json!(-100))).collect();
    let bans = error(Completions, json!({ "prompt": "a", "logit_bias": bans }).to_string());
    assert!(bans.message.contains("every token"), "{bans}");
}

#[test]
fn names_of_models_are_checked() {
    for name in ["story", "default", ""] {
        let body = json!({ "prompt": "Once", "model": name, "max_tokens": 1 }).to_string();
        assert_eq!(run(Completions, &body).answer.unwrap()["model"], "story");
    }
    let error = error(Completions, r#"{"prompt": "Once", "model": "gpt-4"}"#);
    assert_eq!(
        (error.status, error.code, error.param.as_deref()),
        (404, Some("model_not_found"), Some("model"))
    );
    assert!(error.message.contains("gpt-4") && error.message.contains("story"), "{error}");
}

#[test]
fn a_turn_of_the_assistant_goes_on() {
    let prompt = |more: &str| {
        let turns = r#"{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Once  upon "}"#;
        let body = format!("{{\"messages\": [{turns}]{more}}}");
        let answer: Value = serde_json::from_slice(&apply_template(&served(), body.as_bytes())?).unwrap();
        Ok::<_, ApiError>(answer["prompt"].as_str().unwrap().to_owned())
    };
    for more in ["", ", \"continue_final_message\": true", ", \"add_generation_prompt\": false"] {
        assert_eq!(prompt(more).unwrap(), "user: Hi\nassistant: Once  upon");
    }
    let new = prompt(", \"continue_final_message\": false, \"x\": 1").unwrap();
    assert_eq!(new, "user: Hi\nassistant: Once  upon\nassistant: ");
    assert_eq!(
        prompt(", \"add_generation_prompt\": true").unwrap_err().param.unwrap(),
        "add_generation_prompt"
    );
    let empty = r#"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": ""}]}"#;
    let empty = apply_template(&served(), empty.as_bytes()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&empty).unwrap()["prompt"], "user: Hi\nassistant: ");
}

static SHOUTS: LazyLock<Result<ChatTemplate, ChatError>> =
    LazyLock::new(|| template("{% for message in messages %}{{ message.content | upper }}!{% endfor %}"));
static NONE: LazyLock<Result<ChatTemplate, ChatError>> = LazyLock::new(|| Err(ChatError::NoTemplate));

#[test]
fn templates_may_not_let_it() {
    let body =
        br#"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Once"}]}"#;
    let error = Call::parse(&served_with(&SHOUTS), Chat, body, META).unwrap_err();
    assert!(error.param.as_deref() == Some("messages") && error.message.contains("continue_final_message"));
    let error = Call::parse(&served_with(&NONE), Chat, body, META).unwrap_err();
    assert_eq!((error.status, error.code), (400, Some("no_chat_template")));
}

#[test]
fn ends_that_are_errors_say_so() {
    let of = |finish: Finish| ApiError::of(&finish);
    assert!(
        [Finish::End(0), Finish::Limit, Finish::ContextFull, Finish::StopText]
            .map(of)
            .iter()
            .all(Option::is_none)
    );
    let refused = |refusal| of(Finish::Refused(refusal)).unwrap();
    let long = PromptError::ContextFull { used: 0, added: 9, context: 5 };
    assert_eq!(refused(Refusal::Prompt(long)).code, Some("context_length_exceeded"));
    assert_eq!(refused(Refusal::QueueFull { waiting: 3 }).status, 429);
    assert_eq!(of(Finish::Cancelled).unwrap().status, 503);
    assert_eq!(of(Finish::Failed(Failure::NotFinite { position: 1 })).unwrap().status, 500);
    let memory = OutOfMemory { what: "text", bytes: 5 };
    let error = of(Finish::Failed(Failure::OutOfMemory(memory))).unwrap();
    assert_eq!((error.status, error.kind), (503, "unavailable_error"));
    let body: Value = serde_json::from_slice(&error.body()).unwrap();
    assert_eq!(body["error"]["type"], "unavailable_error");
    assert!(body["error"]["param"].is_null() && body["error"]["code"].is_null());
    assert_eq!(error.event(), format!("data: {body}\n\n"));
}

/// A body with every field that is read, of valid values.
const BODIES: [(Endpoint, &str); 3] = [
    (
        Chat,
        r#"{"model":"story","messages":[{"role":"system","content":"a"},{"role":"user","content":
        [{"type":"text","text":"b"}]}],"temperature":0.5,"top_p":0.9,"top_k":5,"seed":-3,"n":2,"stop":["a","b"],
        "logit_bias":{"5":-100},"stream":true,"stream_options":{"include_usage":true},"logprobs":true,
        "top_logprobs":2,"tools":[],"response_format":{"type":"text"},"max_tokens":5,"presence_penalty":0.1}"#,
    ),
    (
        Completions,
        r#"{"prompt":["Once \u00e9",[1,2]],"logprobs":3,"max_tokens":4,"best_of":1,"suffix":null,"echo":false,
        "repeat_last_n":-1,"ignore_eos":true,"stop_token_ids":[3]}"#,
    ),
    (
        Responses,
        r#"{"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"b"}]}],
        "instructions":"a","text":{"format":{"type":"text"}},"include":["message.output_text.logprobs"],
        "max_output_tokens":5,"reasoning":{"effort":null}}"#,
    ),
];

/// Values to put in the place of others.
const STRANGE: [&str; 14] = [
    "null",
    "true",
    "-1",
    "0",
    "1e308",
    "18446744073709551615",
    "\"\"",
    "\"\\u0000\"",
    "[]",
    "[[]]",
    "{}",
    "[{}]",
    "{\"type\":5}",
    "\"assistant\"",
];

/// `body` with value number `place` (of all that it holds, whatever they are) replaced.
fn replaced(body: &str, place: usize, by: &str) -> String {
    fn visit(value: &mut Value, left: &mut usize, by: &Value) -> bool {
        if *left == 0 {
            *value = by.clone();
            return true;
        }
        *left -= 1;
        match value {
            Value::Array(list) => list.iter_mut().any(|value| visit(value, left, by)),
            Value::Object(object) => object.values_mut().any(|value| visit(value, left, by)),
            _ => false,
        }
    }
    let (mut value, by) = (serde_json::from_str(body).unwrap(), serde_json::from_str(by).unwrap());
    visit(&mut value, &mut (place + 1), &by);
    value.to_string()
}

/// What every error has; a call that is taken can be asked for its requests.
fn check(endpoint: Endpoint, body: &[u8]) {
    match Call::parse(&served(), endpoint, body, META) {
        Ok(mut call) => {
            call.begin(&mut |event| assert!(event.ends_with("\n\n")));
            assert!(!call.take_requests().is_empty());
        }
        Err(error) => {
            assert!(matches!(error.status, 400 | 404), "{error}");
            assert!(!error.message.is_empty() && error.message.len() < 4096);
            assert!(serde_json::from_slice::<Value>(&error.body()).is_ok());
        }
    }
}

proptest! {
    #[test]
    fn damaged_bodies_are_answered(
        index in 0..3usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let (endpoint, body) = BODIES[index];
        let mut bytes = body.as_bytes().to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        check(endpoint, &bytes);
        bytes.truncate(cut.index(bytes.len()));
        check(endpoint, &bytes);
        for side in [tokenize, detokenize, apply_template] {
            let _ = side(&served(), &bytes);
        }
    }

    #[test]
    fn strange_values_are_taken_or_named(index in 0..3usize, place in 0..40usize, strange in 0..STRANGE.len()) {
        let (endpoint, body) = BODIES[index];
        let body = replaced(body, place, STRANGE[strange]);
        check(endpoint, body.as_bytes());
        if let Err(error) = Call::parse(&served(), endpoint, body.as_bytes(), META) {
            prop_assert!(error.param.is_some(), "{body}: {error}");
        }
    }
}

#[test]
fn the_bodies_are_taken_as_they_are() {
    for (endpoint, body) in BODIES {
        Call::parse(&served(), endpoint, body.as_bytes(), META).unwrap();
    }
}
