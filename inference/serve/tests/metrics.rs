//! `/metrics`: a text that Prometheus can read, of figures that are true.

mod common;

use std::collections::HashMap;

use common::{Rig, completion, get, post};
use embodios_serve::Settings;
use serde_json::Value;

/// Samples of a text, which is checked: each belongs to a metric whose kind was said, and is a number.
fn samples(text: &str) -> HashMap<String, f64> {
    let mut kinds = HashMap::new();
    let mut samples = HashMap::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let name = sample.split('{').next().unwrap();
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let kind = kinds.get(name).or_else(|| kinds.get(of_histogram?)).expect("a metric with a kind");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        assert!(samples.insert(sample.to_owned(), value.parse().unwrap()).is_none(), "{sample} twice");
    }
    samples
}

#[test]
fn figures_are_those_of_what_was_done() {
    let mut rig = Rig::new(Settings::default(), 2);
    let empty = samples(&rig.ask(&get("/metrics", "")).text());
    let clients: Vec<usize> = (0..3).map(|_| rig.connect(&completion(5, true))).collect();
    rig.turn();
    rig.turn();
    let during = rig.connect(&get("/metrics", ""));
    rig.turn();
    rig.turn();
    let during = samples(&rig.answers(during)[0].text());
    rig.run();
    assert!(clients.iter().all(|&client| rig.answers(client)[0].is_whole));
    let answer = rig.ask(&get("/metrics", ""));
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let after = samples(&answer.text());
    let of = |samples: &HashMap<String, f64>, name: &str, labels: &str| {
        let key = format!("{name}{{model_name=\"story\"{labels}}}");
        *samples.get(&key).unwrap_or_else(|| panic!("no {key}"))
    };
    assert_eq!(of(&during, "vllm:num_requests_running", ""), 2.0);
    assert_eq!(of(&during, "vllm:num_requests_waiting", ""), 1.0);
    assert!(of(&during, "vllm:kv_cache_usage_perc", "") > 0.0);
    for (name, labels, value) in [
        ("vllm:num_requests_running", "", 0.0),
        ("vllm:num_requests_waiting", "", 0.0),
        ("vllm:kv_cache_usage_perc", "", 0.0),
        ("vllm:generation_tokens_total", "", 15.0),
        ("llamacpp:tokens_predicted_total", "", 15.0),
        ("vllm:request_success_total", ",finished_reason=\"length\"", 3.0),
        ("vllm:e2e_request_latency_seconds_count", "", 3.0),
        ("vllm:e2e_request_latency_seconds_bucket", ",le=\"+Inf\"", 3.0),
        ("vllm:time_to_first_token_seconds_count", "", 3.0),
        ("vllm:time_per_output_token_seconds_count", "", 3.0),
        ("vllm:inter_token_latency_seconds_count", "", 12.0),
        ("embodios_restarts_total", "", 2.0),
        ("embodios_http_responses_total", ",code=\"200\"", 5.0),
    ] {
        assert_eq!(of(&after, name, labels), value, "{name}");
    }
    assert!(of(&after, "embodios_step_seconds_count", "") >= 5.0);
    assert!(of(&after, "vllm:prompt_tokens_total", "") >= 3.0);
    assert!(
        answer
            .text()
            .contains("vllm:cache_config_info{model_name=\"story\",block_size=\"32\",num_gpu_blocks=\"")
    );
    for (name, &value) in &empty {
        let grows = name.contains("_total{") || name.contains("_bucket{") || name.contains("_count{");
        assert!(!grows || after[name] >= value, "{name}");
    }
}

#[test]
fn a_prompt_that_comes_again_is_found() {
    let mut rig = Rig::new(Settings::default(), 2);
    let fixed = r#""temperature": 0, "ignore_eos": true, "max_tokens": 5"#;
    let prompt = "Once upon a time there was a little girl who had a big red ball. ".repeat(4);
    let mut usage = || {
        let body = format!(r#"{{"prompt": "{prompt}", {fixed}}}"#);
        let answer = rig.ask(&post("/v1/completions", "", &body)).json();
        let of = |value: &Value| value.as_f64().unwrap();
        (
            of(&answer["usage"]["prompt_tokens"]),
            of(&answer["usage"]["prompt_tokens_details"]["cached_tokens"]),
        )
    };
    let (first, again) = (usage(), usage());
    assert_eq!((first.1, again.1), (0.0, ((again.0 - 1.0) / 32.0).floor() * 32.0));
    assert!(again.1 >= 64.0, "{again:?}");
    assert_eq!(rig.metric("vllm:prefix_cache_queries_total"), first.0 + again.0);
    assert_eq!(rig.metric("vllm:prefix_cache_hits_total"), again.1);
    assert!(rig.metric("embodios_kv_blocks_retained") >= 2.0);
    assert!(rig.metric("embodios_engine_bytes") > rig.metric("embodios_kv_blocks_bytes"));
    assert!(rig.metric("embodios_kv_blocks_bytes") > 0.0);
    assert_eq!(
        (rig.metric("vllm:kv_cache_usage_perc"), rig.metric("vllm:num_preemptions_total")),
        (0.0, 0.0)
    );
}

#[test]
fn buckets_grow_up_to_their_count() {
    let mut rig = Rig::new(Settings::default(), 2);
    rig.ask(&completion(5, false));
    let text = rig.ask(&get("/metrics", "")).text();
    let mut last: HashMap<&str, u64> = HashMap::new();
    for line in text.lines().filter(|line| line.contains("_bucket{")) {
        let name = line.split("_bucket{").next().unwrap();
        let count: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(last.insert(name, count).is_none_or(|before| before <= count), "{line}");
    }
    for (name, count) in last {
        assert!(text.contains(&format!("{name}_count{{model_name=\"story\"}} {count}\n")), "{name}");
    }
}
