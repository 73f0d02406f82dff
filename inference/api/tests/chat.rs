//! Chats: their answers and streams, and that both are the same.

mod common;

use common::{answer, chunks, run, run_all, values};
use embodios_api::Endpoint::Chat;
use serde_json::{Value, json};

const ASK: &str = r#""messages": [{"role": "user", "content": "Once upon a time, there was"}]"#;

/// The texts of choice `index` in chunks, joined.
fn text(chunks: &[Value], index: u64) -> String {
    let choices = chunks.iter().flat_map(|chunk| chunk["choices"].as_array().unwrap());
    choices
        .filter(|choice| choice["index"] == index)
        .filter_map(|one| one["delta"]["content"].as_str())
        .collect()
}

#[test]
fn an_answer_has_what_clients_read() {
    let body = format!("{{{ASK}, \"temperature\": 0, \"max_tokens\": 12, \"model\": \"story\"}}");
    let answer = answer(Chat, &body);
    let choice = &answer["choices"][0];
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["id"], "chatcmpl-0000000000000007");
    assert_eq!((&answer["model"], &answer["created"]), (&json!("story"), &json!(1_700_000_123)));
    assert_eq!(answer["system_fingerprint"], "fp_test");
    assert_eq!((&choice["index"], &choice["finish_reason"]), (&json!(0), &json!("length")));
    assert_eq!(choice["message"]["role"], "assistant");
    assert!(!choice["message"]["content"].as_str().unwrap().is_empty());
    assert!(choice["logprobs"].is_null() && choice.get("logits_hash").is_none());
    let usage = &answer["usage"];
    assert_eq!(usage["completion_tokens"], 12);
    let sum = usage["prompt_tokens"].as_u64().unwrap() + 12;
    assert_eq!(usage["total_tokens"], sum);
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 0);
}

#[test]
fn a_stream_says_what_the_whole_answer_says() {
    for more in [
        r#""temperature": 0, "max_tokens": 30"#,
        r#""seed": 5, "max_completion_tokens": 40, "max_tokens": 1"#,
        r#""seed": 6, "temperature": 1.7, "max_tokens": 60, "stop": [" the", "."], "logprobs": true"#,
        r#""seed": 7, "temperature": 2, "top_p": 0.9, "n": 3, "max_tokens": 25"#,
        r#""seed": 8, "max_tokens": 40, "ignore_eos": true, "logprobs": true, "top_logprobs": 2,
            "return_tokens": true"#,
        r#""seed": 9, "presence_penalty": 1, "frequency_penalty": 0.5, "logit_bias": {"260": -100}, "max_tokens": 25"#,
    ] {
        let body = |stream| format!("{{{ASK}, {more}, \"logits_hash\": true, \"stream\": {stream}}}");
        let whole = answer(Chat, &body(false));
        let chunks = chunks(Chat, &body(true));
        for choice in whole["choices"].as_array().unwrap() {
            let index = choice["index"].as_u64().unwrap();
            let own: Vec<&Value> =
                chunks.iter().map(|chunk| &chunk["choices"][0]).filter(|one| one["index"] == index).collect();
            assert_eq!(choice["message"]["content"], text(&chunks, index), "{more}");
            let last = own.last().unwrap();
            for name in ["finish_reason", "logits_hash"] {
                assert!(last[name].is_string() && last[name] == choice[name], "{more} {name}");
            }
            for (name, inner) in [("logprobs", Some("content")), ("tokens", None)] {
                let list =
                    |value: &Value| inner.map_or(value[name].clone(), |inner| value[name][inner].clone());
                let joined: Vec<Value> =
                    own.iter().filter_map(|one| list(one).as_array().cloned()).flatten().collect();
                assert_eq!(list(choice).as_array().cloned().unwrap_or_default(), joined, "{more} {name}");
            }
            assert!(own.iter().rev().skip(1).all(|one| one["finish_reason"].is_null()));
            assert!(own[1..own.len() - 1].iter().all(|one| one["delta"]["content"] != ""), "{more}");
            assert_eq!(own.iter().filter(|one| one["delta"].get("role").is_some()).count(), 1);
        }
    }
}

#[test]
fn the_first_chunk_names_the_role_and_the_last_the_reason() {
    let chunks = chunks(Chat, &format!("{{{ASK}, \"temperature\": 0, \"max_tokens\": 3, \"stream\": true}}"));
    let first = &chunks[0]["choices"][0];
    assert_eq!(first["delta"], json!({ "role": "assistant", "content": "" }));
    assert!(chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk"));
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"] && chunk["choices"][0].is_object()));
    // The role, three tokens, the end; no usage without being asked for.
    assert_eq!(chunks.len(), 5);
    let last = &chunks[4]["choices"][0];
    assert_eq!((&last["delta"], &last["finish_reason"]), (&json!({}), &json!("length")));
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
}

#[test]
fn usage_comes_where_it_is_asked_for() {
    let body = |options: &str| {
        format!(
            "{{{ASK}, \"seed\": 1, \"n\": 2, \"max_tokens\": 3, \"stream\": true, \"stream_options\": {options}}}"
        )
    };
    let plain = chunks(Chat, &body(r#"{"include_usage": true}"#));
    let (last, others) = plain.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["completion_tokens"], 6);
    assert!(others.iter().all(|chunk| chunk["usage"].is_null() && chunk.get("usage").is_some()));
    let all = chunks(Chat, &body(r#"{"include_usage": true, "continuous_usage_stats": true}"#));
    let made: Vec<_> =
        all.iter().map(|chunk| chunk["usage"]["completion_tokens"].as_u64().unwrap()).collect();
    assert!(made.is_sorted() && made[0] == 0 && *made.last().unwrap() == 6);
    assert_eq!(all.last().unwrap()["usage"]["prompt_tokens"], last["usage"]["prompt_tokens"]);
}

#[test]
fn a_seed_gives_the_same_answer_alone_and_among_others() {
    let body = |seed: &str, n: u32| {
        format!("{{{ASK}, {seed} \"max_tokens\": 20, \"n\": {n}, \"logits_hash\": true}}")
    };
    let alone = answer(Chat, &body("\"seed\": 3,", 1));
    let bodies: Vec<String> = (0..6).map(|number| body("\"seed\": 3,", 1 + number % 3)).collect();
    let calls: Vec<_> = bodies.iter().map(|body| (Chat, body.as_str())).collect();
    for workers in [1, 3] {
        for came in run_all(workers, &calls) {
            assert_eq!(came.answer.unwrap()["choices"][0], alone["choices"][0]);
        }
    }
    let three = answer(Chat, &body("\"seed\": 3,", 3));
    assert_ne!(three["choices"][1]["message"], three["choices"][0]["message"]);
    assert_eq!(three["usage"]["prompt_tokens"], alone["usage"]["prompt_tokens"]);
    // Without one, calls differ: their numbers do.
    let fresh = body("", 1);
    let came = run_all(1, &[(Chat, &fresh), (Chat, &fresh)]);
    let text = |index: usize| came[index].answer.as_ref().unwrap()["choices"][0]["message"].clone();
    assert_ne!(text(0), text(1));
}

#[test]
fn streams_at_the_same_time_keep_apart() {
    let bodies: Vec<String> = (0..8)
        .map(|seed| {
            format!("{{{ASK}, \"seed\": {seed}, \"max_tokens\": {}, \"stream\": true}}", 5 + 3 * seed)
        })
        .collect();
    let calls: Vec<_> = bodies.iter().map(|body| (Chat, body.as_str())).collect();
    for (came, body) in run_all(2, &calls).into_iter().zip(&bodies) {
        let together = values(&came.events);
        assert_eq!(text(&together, 0), text(&chunks(Chat, body), 0));
    }
}

#[test]
fn sampling_acts() {
    let content = |more: &str| {
        let body = format!("{{{ASK}, \"max_tokens\": 60, \"return_tokens\": true, {more}}}");
        answer(Chat, &body)["choices"][0].clone()
    };
    let greedy = content("\"temperature\": 0");
    for same in ["\"seed\": 9, \"top_k\": 1", "\"seed\": 9, \"top_p\": 0", "\"seed\": 9, \"min_p\": 1"] {
        assert_eq!(content(same), greedy, "{same}");
    }
    let tokens = |choice: &Value| -> Vec<u64> {
        choice["tokens"].as_array().unwrap().iter().map(|token| token.as_u64().unwrap()).collect()
    };
    let first = tokens(&greedy)[0];
    let banned = content(&format!("\"temperature\": 0, \"logit_bias\": {{\"{first}\": -100}}"));
    assert!(!tokens(&banned).contains(&first));
    let forced = content("\"temperature\": 0, \"logit_bias\": {\"300\": 100}");
    assert_eq!(tokens(&forced), [300; 60]);
    let spread = content("\"temperature\": 0, \"logit_bias\": {\"300\": 100}, \"frequency_penalty\": 2");
    assert!(tokens(&spread)[0] == 300 && tokens(&spread) != [300; 60]);
    let drawn = content("\"seed\": 2");
    for penalty in [
        "presence_penalty\": 2",
        "frequency_penalty\": 2",
        "repeat_penalty\": 1.8",
        "repetition_penalty\": 1.8",
    ] {
        let penalised = content(&format!("\"seed\": 2, \"{penalty}"));
        assert_ne!(tokens(&penalised), tokens(&drawn), "{penalty}");
    }
}

#[test]
fn limits_end_an_answer_by_length() {
    let reason = |more: &str| {
        let answer = answer(Chat, &format!("{{{ASK}, \"temperature\": 0, {more}}}"));
        let made = answer["usage"]["completion_tokens"].as_u64().unwrap();
        (
            answer["choices"][0]["finish_reason"].clone(),
            made,
            answer["usage"]["prompt_tokens"].as_u64().unwrap(),
        )
    };
    assert_eq!(reason("\"max_tokens\": 0").1, 0);
    assert_eq!(reason("\"max_tokens\": 0").0, "length");
    for room in ["\"max_tokens\": 100000", "\"max_tokens\": null", "\"max_tokens\": -1"] {
        let (reason, made, prompt) = reason(&format!("{room}, \"ignore_eos\": true"));
        assert_eq!(
            (reason, made as usize),
            (json!("length"), common::CONTEXT - prompt as usize + 1),
            "{room}"
        );
    }
    let stop = reason("\"max_tokens\": 100, \"stop\": \" \"");
    assert_eq!(stop.0, "stop");
}

#[test]
fn log_probabilities_are_those_of_the_tokens_made() {
    let body =
        format!("{{{ASK}, \"temperature\": 0, \"max_tokens\": 5, \"logprobs\": true, \"top_logprobs\": 3}}");
    let answer = answer(Chat, &body);
    let list = answer["choices"][0]["logprobs"]["content"].as_array().unwrap().clone();
    assert_eq!(list.len(), 5);
    let mut bytes = Vec::new();
    for entry in &list {
        let top = entry["top_logprobs"].as_array().unwrap();
        // Greedy: the likeliest is the one.
        assert_eq!((top.len(), &top[0]["token"]), (3, &entry["token"]));
        assert!(entry["logprob"].as_f64().unwrap() <= 0.0 && entry["logprob"] == top[0]["logprob"]);
        bytes.extend(entry["bytes"].as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8));
    }
    assert_eq!(answer["choices"][0]["message"]["content"], String::from_utf8(bytes).unwrap());
    let body = format!("{{{ASK}, \"max_tokens\": 2, \"logprobs\": true, \"top_logprobs\": 0}}");
    let list = self::answer(Chat, &body)["choices"][0]["logprobs"]["content"].clone();
    assert!(list[1]["logprob"].is_number() && list[1]["top_logprobs"] == json!([]));
}

#[test]
fn contents_come_in_every_form() {
    let same = [
        r#"[{"role": "system", "content": "Be\nkind."}, {"role": "user", "content": "Hi"}]"#,
        r#"[{"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "kind."}]},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]"#,
    ];
    let tokens = same.map(|messages| {
        let body = format!("{{\"messages\": {messages}, \"temperature\": 0, \"max_tokens\": 4}}");
        let answer = answer(Chat, &body);
        (answer["usage"].clone(), answer["choices"].clone())
    });
    assert_eq!(tokens[0], tokens[1]);
    let body = r#"{"messages": [{"role": "system", "content": ""}, {"role": "user", "content": "Hi", "name": "Ann"},
        {"role": "assistant", "content": null, "tool_calls": [], "refusal": null}, {"role": "user", "content": "A"}],
        "max_tokens": 1, "zebra": 1, "stream_options": {"include_usage": true, "strange": 1}}"#;
    assert_eq!(run(Chat, body).ignored, ["zebra", "stream_options.strange", "messages.name"]);
}
