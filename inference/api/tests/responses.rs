//! Responses: the object, and the events of its stream in order.

mod common;

use common::{answer, error, run};
use embodios_api::Endpoint::{Chat, Responses};
use serde_json::{Value, json};

const BODY: &str = r#""model": "default", "instructions": "Be kind.", "temperature": 0.5, "seed": 4,
    "max_output_tokens": 20, "logits_hash": true"#;

fn text(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"].as_str().unwrap()
}

#[test]
fn a_response_is_a_chat_in_another_form() {
    let response = answer(Responses, &format!("{{{BODY}, \"input\": \"Hello\"}}"));
    let chat = r#"{"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}],
        "temperature": 0.5, "seed": 4, "max_tokens": 20, "logits_hash": true}"#;
    let chat = answer(Chat, chat);
    assert_eq!(text(&response), chat["choices"][0]["message"]["content"]);
    assert_eq!(response["logits_hash"], chat["choices"][0]["logits_hash"]);
    assert_eq!((&response["object"], &response["status"]), (&json!("response"), &json!("incomplete")));
    assert_eq!(response["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!((&response["temperature"], &response["instructions"]), (&json!(0.5), &json!("Be kind.")));
    let usage = &response["usage"];
    assert_eq!(
        (&usage["input_tokens"], &usage["output_tokens"]),
        (&chat["usage"]["prompt_tokens"], &json!(20))
    );
    let items =
        r#"[{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}]"#;
    assert_eq!(text(&answer(Responses, &format!("{{{BODY}, \"input\": {items}}}"))), text(&response));
}

#[test]
fn events_come_in_order_and_end_with_the_response() {
    for (more, status) in [("\"stop\": \" \"", "completed"), ("\"top_logprobs\": 2", "incomplete")] {
        let whole = answer(Responses, &format!("{{{BODY}, \"input\": \"Hello\", {more}}}"));
        let came = run(Responses, &format!("{{{BODY}, \"input\": \"Hello\", {more}, \"stream\": true}}"));
        let events: Vec<Value> = came
            .events
            .iter()
            .map(|event| {
                let (kind, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
                let value: Value = serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
                assert_eq!(value["type"], kind);
                value
            })
            .collect();
        assert!((0..).zip(&events).all(|(number, event)| event["sequence_number"] == number));
        let mut kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        kinds.dedup();
        let end = format!("response.{status}");
        let mut expected = vec![
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            &end,
        ];
        expected.retain(|kind| !text(&whole).is_empty() || *kind != "response.output_text.delta");
        assert_eq!(kinds, expected);
        let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
        assert_eq!(deltas, text(&whole));
        // Calls differ in their numbers only, which the tests give by place.
        assert_eq!(events.last().unwrap()["response"], whole);
        let part = &whole["output"][0]["content"][0];
        assert_eq!(part["logprobs"].as_array().unwrap().is_empty(), status == "completed");
    }
}

#[test]
fn what_would_have_to_be_kept_or_called_is_refused() {
    for (body, param) in [
        (r#"{}"#, "input"),
        (r#"{"input": 5}"#, "input"),
        (r#"{"input": []}"#, "input"),
        (r#"{"input": "a", "previous_response_id": "resp_1"}"#, "previous_response_id"),
        (r#"{"input": [{"type": "function_call_output", "output": "x"}]}"#, "input[0].type"),
        (
            r#"{"input": [{"role": "user", "content": [{"type": "input_image"}]}]}"#,
            "input[0].content[0].type",
        ),
        (r#"{"input": "a", "text": {"format": {"type": "json_schema"}}}"#, "text.format"),
        (r#"{"input": "a", "text": {"verbosity": "low"}}"#, "text.verbosity"),
        (r#"{"input": "a", "reasoning": {"effort": "high"}}"#, "reasoning"),
        (r#"{"input": "a", "max_output_tokens": "many"}"#, "max_output_tokens"),
        (r#"{"input": "a", "instructions": ["b"]}"#, "instructions"),
    ] {
        let error = error(Responses, body);
        assert_eq!((error.status, error.param.as_deref()), (400, Some(param)), "{body}: {error}");
    }
}
