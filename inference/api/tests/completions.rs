//! Completions: prompts of every form, echoes, log-probabilities; and that streams say the same.

mod common;

use common::{CONTEXT, answer, chunks, error};
use embodios_api::Endpoint::Completions;
use embodios_api::{detokenize, tokenize};
use serde_json::{Value, json};

fn text(chunks: &[Value], index: u64) -> String {
    let choices = chunks.iter().map(|chunk| &chunk["choices"][0]);
    choices.filter(|choice| choice["index"] == index).map(|choice| choice["text"].as_str().unwrap()).collect()
}

#[test]
fn an_answer_has_what_clients_read() {
    let answer = answer(Completions, r#"{"prompt": "Once upon a time", "temperature": 0}"#);
    assert_eq!((&answer["object"], &answer["model"]), (&json!("text_completion"), &json!("story")));
    assert!(answer["id"].as_str().unwrap().starts_with("cmpl-"));
    let choice = &answer["choices"][0];
    // Sixteen tokens when nothing is said.
    assert_eq!(
        (&answer["usage"]["completion_tokens"], &choice["finish_reason"]),
        (&json!(16), &json!("length"))
    );
    assert!(choice["text"].as_str().unwrap().starts_with(", there was"), "{choice}");
    assert!(choice["logprobs"].is_null());
}

#[test]
fn prompts_have_four_forms() {
    let served = common::served();
    let tokens = |text: &str| -> Value {
        let body = json!({ "content": text, "add_special": true }).to_string();
        serde_json::from_slice::<Value>(&tokenize(&served, body.as_bytes()).unwrap()).unwrap()["tokens"]
            .clone()
    };
    let (one, two) = (tokens("Once upon"), tokens("The cat"));
    let choices = |prompt: Value| {
        let body = json!({ "prompt": prompt, "temperature": 0, "max_tokens": 6 });
        answer(Completions, &body.to_string())["choices"].clone()
    };
    let alone = choices(json!("Once upon"));
    assert_eq!(choices(one.clone()), alone);
    let both = choices(json!(["Once upon", "The cat"]));
    assert_eq!((&both[0], both.as_array().unwrap().len()), (&alone[0], 2));
    assert_eq!((&both[1]["index"], &both[1]["text"]), (&json!(1), &choices(json!("The cat"))[0]["text"]));
    assert_eq!(choices(json!([one, two])), both);
    let several = r#"{"prompt": ["Once upon", "The cat"], "n": 2, "best_of": 2, "seed": 4, "max_tokens": 5}"#;
    let several = answer(Completions, several);
    let seeded = answer(Completions, r#"{"prompt": "The cat", "n": 2, "seed": 4, "max_tokens": 5}"#);
    assert_eq!(several["choices"][3]["text"], seeded["choices"][1]["text"]);
    assert_eq!(several["usage"]["completion_tokens"], 20);
    let prompt_tokens = ["Once upon", "The cat"].map(|text| tokens(text).as_array().unwrap().len());
    assert_eq!(several["usage"]["prompt_tokens"], prompt_tokens[0] + prompt_tokens[1]);
}

#[test]
fn an_echo_is_the_prompt_in_front() {
    let body = |stream: bool, echo: bool, tokens: u32| {
        format!(
            "{{\"prompt\": \"Once upon a time\", \"echo\": {echo}, \"temperature\": 0, \"max_tokens\": {tokens}, \
             \"stream\": {stream}}}"
        )
    };
    let plain =
        answer(Completions, &body(false, false, 8))["choices"][0]["text"].as_str().unwrap().to_owned();
    let echoed = answer(Completions, &body(false, true, 8))["choices"][0]["text"].clone();
    assert_eq!(echoed, format!("Once upon a time{plain}"));
    assert_eq!(text(&chunks(Completions, &body(true, true, 8)), 0), echoed.as_str().unwrap());
    assert_eq!(text(&chunks(Completions, &body(true, false, 8)), 0), plain);
    let nothing = answer(Completions, &body(false, true, 0));
    assert_eq!(nothing["choices"][0]["text"], "Once upon a time");
    assert_eq!(nothing["choices"][0]["finish_reason"], "length");
}

#[test]
fn log_probabilities_come_in_columns() {
    let body = |stream: bool| {
        format!(
            "{{\"prompt\": \"Once upon a time\", \"logprobs\": 2, \"seed\": 3, \"stop\": \".\", \"max_tokens\": 30, \
             \"stream\": {stream}}}"
        )
    };
    let answer = answer(Completions, &body(false));
    let whole = &answer["choices"][0]["logprobs"];
    let length = answer["usage"]["completion_tokens"].as_u64().unwrap() as usize;
    let chunks = chunks(Completions, &body(true));
    for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        let list = whole[name].as_array().unwrap();
        assert_eq!(list.len(), length);
        let parts = chunks.iter().filter_map(|chunk| chunk["choices"][0]["logprobs"][name].as_array());
        assert_eq!(*list, parts.flatten().cloned().collect::<Vec<_>>(), "{name}");
    }
    let tokens: Vec<&str> =
        whole["tokens"].as_array().unwrap().iter().map(|token| token.as_str().unwrap()).collect();
    let mut place = 0;
    for (index, token) in tokens.iter().enumerate() {
        assert_eq!(whole["text_offset"][index], place);
        place += token.chars().count();
        let top = whole["top_logprobs"][index].as_object().unwrap();
        assert!((2..=3).contains(&top.len()) && top[*token] == whole["token_logprobs"][index]);
    }
    assert!(tokens.concat().starts_with(answer["choices"][0]["text"].as_str().unwrap()));
    let none = self::answer(Completions, r#"{"prompt": "Once", "logprobs": 0, "max_tokens": 2}"#);
    assert_eq!(none["choices"][0]["logprobs"]["top_logprobs"][1].as_object().unwrap().len(), 1);
}

#[test]
fn characters_are_never_cut() {
    // Bytes of characters as tokens, forced one after the other, never become whole.
    let served = common::served();
    let body = json!({ "content": "é", "with_pieces": true }).to_string();
    let pieces: Value = serde_json::from_slice(&tokenize(&served, body.as_bytes()).unwrap()).unwrap();
    let first = pieces["tokens"].as_array().unwrap().iter().find(|piece| piece["piece"].is_array());
    let Some(first) = first.map(|piece| piece["id"].to_string()) else {
        panic!("the story model has a token for é: {pieces}");
    };
    let body = |stream: bool| {
        format!(
            "{{\"prompt\": \"Once\", \"logit_bias\": {{\"{first}\": 100}}, \"temperature\": 0, \"max_tokens\": 5, \
             \"logprobs\": 1, \"stream\": {stream}}}"
        )
    };
    let whole = answer(Completions, &body(false));
    let (streamed, text_of) = (chunks(Completions, &body(true)), &whole["choices"][0]["text"]);
    assert!(text_of.as_str().unwrap().contains('\u{fffd}'), "{whole}");
    assert_eq!(text(&streamed, 0), text_of.as_str().unwrap());
    assert!(whole["choices"][0]["logprobs"]["tokens"][0].as_str().unwrap().starts_with("bytes:\\x"));
}

#[test]
fn marks_in_a_prompt_are_tokens() {
    let served = common::served();
    let (name, _) = served.responder.tokenizer.marks().find(|(name, _)| *name == "eos_token").unwrap();
    let mark = served.responder.tokenizer.marks().find(|one| one.0 == name).unwrap().1;
    let body = json!({ "content": format!("{mark}Once"), "parse_special": true }).to_string();
    let whole: Value = serde_json::from_slice(&tokenize(&served, body.as_bytes()).unwrap()).unwrap();
    let plain = json!({ "content": format!("{mark}Once"), "parse_special": false }).to_string();
    let plain: Value = serde_json::from_slice(&tokenize(&served, plain.as_bytes()).unwrap()).unwrap();
    assert!(whole["tokens"].as_array().unwrap().len() < plain["tokens"].as_array().unwrap().len());
    let back = detokenize(&served, json!({ "tokens": whole["tokens"] }).to_string().as_bytes()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&back).unwrap()["content"], format!("{mark}Once"));
    let usage = |prompt: String| {
        let body = json!({ "prompt": prompt, "max_tokens": 1 }).to_string();
        answer(Completions, &body)["usage"]["prompt_tokens"].as_u64().unwrap()
    };
    assert_eq!(usage(format!("Once{mark}Once")), usage("Once".into()) + 2);
}

#[test]
fn prompts_that_do_not_fit_are_refused() {
    let ids = vec![1; CONTEXT + 1];
    let error_of = |prompt: Value| error(Completions, json!({ "prompt": prompt }).to_string());
    let long = error_of(json!(ids));
    assert_eq!((long.status, long.code), (400, Some("context_length_exceeded")));
    // LangChain looks for the first, LiteLLM for the second.
    for words in ["prompt is too long", "this model's maximum context length is 160 tokens", "161"] {
        assert!(long.message.contains(words), "{long}");
    }
    let body = json!({ "prompt": ids[1..], "ignore_eos": true }).to_string();
    assert_eq!(answer(Completions, &body)["usage"]["completion_tokens"], 1);
    for prompt in [
        json!(null),
        json!([]),
        json!([[]]),
        json!([1, "a"]),
        json!(["a", [5000]]),
        json!([-1]),
        json!({}),
        json!(5),
    ] {
        let error = error_of(prompt.clone());
        let param = error.param.unwrap_or_default();
        assert!(error.status == 400 && param.starts_with("prompt"), "{prompt} {param}");
    }
    let many = error_of(json!(vec!["a"; 129]));
    assert!(many.message.contains("129"), "{many}");
    let error = error(Completions, r#"{"prompt": "a", "echo": true, "logprobs": 1}"#);
    assert_eq!(error.param.as_deref(), Some("echo"));
}
