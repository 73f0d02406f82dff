//! The side endpoints: models, properties, tokens and back; and calls that end by errors.

mod common;

use std::sync::LazyLock;

use common::{served, served_with, template};
use embodios_api::Endpoint::{Chat, Responses};
use embodios_api::{
    Call, Meta, Token, apply_template, detokenize, embeddings, model, models, props, tokenize,
};
use embodios_engine::batch::{Finish, Outcome, Times};
use embodios_text::chat::{ChatError, ChatTemplate};
use serde_json::{Value, json};

fn value(bytes: Vec<u8>) -> Value {
    serde_json::from_slice(&bytes).unwrap()
}

/// As the templates of Llama 3 do.
static DATED: LazyLock<Result<ChatTemplate, ChatError>> = LazyLock::new(|| {
    template("{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% else %}no date{% endif %}")
});

#[test]
fn prompts_are_dated_where_the_time_is_known() {
    let mut served = served_with(&DATED);
    let body = br#"{"messages": [{"role": "user", "content": "Hi"}]}"#;
    for (now, date) in [(None, "no date"), (Some(951_782_400), "29 Feb 2000")] {
        served.responder.now = now;
        assert_eq!(value(apply_template(&served, body).unwrap())["prompt"], date);
    }
}

#[test]
fn the_model_is_told() {
    let list = value(models(&served()));
    assert_eq!((&list["object"], list["data"].as_array().unwrap().len()), (&json!("list"), 1));
    let entry = &list["data"][0];
    assert_eq!((&entry["id"], &entry["object"]), (&json!("story"), &json!("model")));
    assert_eq!(
        (&entry["created"], &entry["max_model_len"]),
        (&json!(1_700_000_000), &json!(common::CONTEXT))
    );
    assert_eq!(value(model(&served(), "story").unwrap()), *entry);
    assert_eq!(model(&served(), "other").unwrap_err().status, 404);
    let props = value(props(&served()));
    assert_eq!(props["default_generation_settings"]["n_ctx"], common::CONTEXT);
    assert!(props["eos_token"].is_string());
    let none = embeddings(&served(), b"{}").unwrap_err();
    assert_eq!((none.status, none.kind), (501, "not_supported_error"));
}

#[test]
fn tokens_and_back() {
    let ids = |body: Value| value(tokenize(&served(), body.to_string().as_bytes()).unwrap());
    for text in ["Once upon a time", " a", "", "naïve\n\n1 2", "日本", "a\u{0}b"] {
        let tokens = ids(json!({ "content": text }));
        assert!(tokens.get("left_out").is_none() && tokens.get("ignored").is_none(), "{tokens}");
        let back = detokenize(&served(), tokens.to_string().as_bytes()).unwrap();
        assert_eq!(value(back)["content"], text);
    }
    let pieces = ids(json!({ "content": "Once é", "with_pieces": true, "strange": 1 }));
    assert_eq!(pieces["ignored"], json!(["strange"]));
    let mut bytes = Vec::new();
    for piece in pieces["tokens"].as_array().unwrap() {
        match &piece["piece"] {
            Value::String(text) => bytes.extend(text.as_bytes()),
            list => bytes.extend(list.as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8)),
        }
    }
    assert_eq!(String::from_utf8(bytes).unwrap(), "Once é");
    for (body, param) in
        [("{}", "tokens"), ("{\"tokens\": [5000]}", "tokens"), ("{\"model\": \"x\"}", "model")]
    {
        assert_eq!(detokenize(&served(), body.as_bytes()).unwrap_err().param.as_deref(), Some(param));
    }
    assert_eq!(tokenize(&served(), b"{\"content\": 5}").unwrap_err().param.as_deref(), Some("content"));
}

fn outcome(finish: Finish, text: &str) -> Outcome {
    Outcome {
        finish,
        tokens: vec![1; text.len()],
        log_probabilities: Vec::new(),
        likeliest: Vec::new(),
        text: text.into(),
        prompt_tokens: 3,
        shared_tokens: 2,
        logits_hash: 5,
        times: Times::default(),
    }
}

#[test]
fn a_choice_that_fails_ends_the_call() {
    for (endpoint, body) in [
        (Chat, r#"{"messages": [{"role": "user", "content": "a"}], "n": 2, "stream": STREAM}"#),
        (Responses, r#"{"input": "a", "stream": STREAM}"#),
    ] {
        for stream in ["true", "false"] {
            let body = body.replace("STREAM", stream);
            let mut call =
                Call::parse(&served(), endpoint, body.as_bytes(), Meta { id: 1, unix: 2 }).unwrap();
            let mut events = Vec::new();
            let mut out = |event: &str| events.push(event.to_owned());
            call.begin(&mut out);
            let token = Token { token: 5, log_probability: None, likeliest: &[], text: "a" };
            call.token(&served(), 0, token, &mut out);
            call.finished(&served(), 0, outcome(Finish::Cancelled, "a"), &mut out);
            assert!(call.is_over());
            // Nothing comes behind it, whatever the engine still says, and of choices that never were.
            call.token(&served(), 1, token, &mut out);
            call.finished(&served(), 1, outcome(Finish::Limit, "b"), &mut out);
            call.token(&served(), 99, token, &mut out);
            call.finished(&served(), 99, outcome(Finish::Limit, "b"), &mut out);
            assert_eq!(call.answer(&served()).unwrap_err().status, 503);
            match (endpoint, events.last()) {
                (_, None) => assert_eq!(stream, "false"),
                (Responses, Some(last)) => assert!(last.starts_with("event: response.failed\n")),
                (_, Some(last)) => assert!(last.starts_with("data: {\"error\":")),
            }
        }
    }
}

#[test]
fn an_answer_wants_all_choices() {
    let body = br#"{"messages": [{"role": "user", "content": "a"}], "n": 2}"#;
    let mut call = Call::parse(&served(), Chat, body, Meta { id: 1, unix: 2 }).unwrap();
    let mut out = |_: &str| panic!("it does not stream");
    call.begin(&mut out);
    call.finished(&served(), 1, outcome(Finish::Limit, "b"), &mut out);
    assert!(!call.is_over());
    assert_eq!(call.answer(&served()).unwrap_err().status, 500);
    call.finished(&served(), 0, outcome(Finish::End(0), "a"), &mut out);
    let answer = value(call.answer(&served()).unwrap());
    assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 2);
    assert_eq!(answer["usage"]["completion_tokens"], 2);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}
