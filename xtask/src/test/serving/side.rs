//! Checks of what is not served (items 56 to 60), and of what stands beside calls (61, 62).

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::server::{CHAT, COMPLETIONS, Server, chat, story};

fn function(parameters: Value) -> Value {
    json!([{ "type": "function", "function": { "name": "f", "parameters": parameters } }])
}

pub fn no_tools(server: &Server) -> Result<()> {
    server.refuses(
        CHAT,
        &[
            ("tools", chat(json!({ "tools": function(json!({})) }))),
            ("tool_choice", chat(json!({ "tool_choice": "required" }))),
            ("functions", chat(json!({ "functions": [{ "name": "f" }] }))),
            ("messages", chat(json!({ "messages": [{ "role": "tool", "content": "5" }] }))),
        ],
    )?;
    server.value(CHAT, &chat(json!({ "tools": [], "tool_choice": "auto", "max_tokens": 1 }))).map(drop)
}

pub fn no_format(server: &Server) -> Result<()> {
    let schema =
        json!({ "type": "json_schema", "json_schema": { "name": "a", "schema": {}, "strict": true } });
    for (path, body) in [(CHAT, chat(json!({ "max_tokens": 1 }))), (COMPLETIONS, story(1, json!({})))] {
        for format in [&json!({ "type": "json_object" }), &schema] {
            let mut body = body.clone();
            body["response_format"] = format.clone();
            server.refuses(path, &[("response_format", body)])?;
        }
        let mut body = body;
        body["response_format"] = json!({ "type": "text" });
        server.value(path, &body)?;
    }
    Ok(())
}

pub fn no_schema(server: &Server) -> Result<()> {
    let bodies = ["json_schema", "grammar", "guided_json", "guided_regex", "structured_outputs"];
    server.refuses(CHAT, &bodies.map(|name| (name, chat(json!({ name: "x" })))))
}

pub fn no_schemas(server: &Server) -> Result<()> {
    let schemas = [
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "type": "object" } } }),
        json!({ "anyOf": [{ "const": 1 }, { "enum": ["a"] }] }),
        json!({ "type": "string", "pattern": "a+", "maxLength": 2000 }),
    ];
    let format =
        |schema: &Value| json!({ "type": "json_schema", "json_schema": { "name": "a", "schema": schema } });
    for schema in &schemas {
        server.refuses(CHAT, &[("response_format", chat(json!({ "response_format": format(schema) })))])?;
        server.refuses(CHAT, &[("tools", chat(json!({ "tools": function(schema.clone()) })))])?;
    }
    Ok(())
}

pub fn no_constraint(server: &Server) -> Result<()> {
    let stream =
        chat(json!({ "stream": true, "max_tokens": 20, "response_format": { "type": "json_object" } }));
    server.refuses(CHAT, &[("response_format", stream)])
}

pub fn texts(server: &Server) -> Result<()> {
    for text in ["Once upon a time", "café 日本 \u{1f600}\n\ttab", ""] {
        let found = server.value("/tokenize", &json!({ "content": text, "with_pieces": true }))?;
        let pieces = found["tokens"].as_array().context("no tokens")?;
        let mut bytes = Vec::new();
        for piece in pieces {
            match &piece["piece"] {
                Value::String(text) => bytes.extend(text.as_bytes()),
                Value::Array(list) => {
                    bytes.extend(list.iter().filter_map(Value::as_u64).map(|byte| byte as u8))
                }
                other => anyhow::bail!("a piece is {other}"),
            }
        }
        let ids: Vec<&Value> = pieces.iter().map(|piece| &piece["id"]).collect();
        let back = server.value("/detokenize", &json!({ "tokens": ids }))?["content"].clone();
        ensure!(back == text, "{text:?} comes back as {back}");
        ensure!(
            String::from_utf8_lossy(&bytes).trim_start() == text.trim_start(),
            "{text:?}: pieces {found}"
        );
    }
    let error = server.error("/v1/embeddings", &json!({ "input": "a", "encoding_format": "base64" }), 501)?;
    ensure!(error["type"] == "not_supported_error", "{error}");
    Ok(())
}

/// Samples by name and labels, of a text in the format of Prometheus, which is checked.
fn samples(text: &str) -> Result<BTreeMap<String, f64>> {
    let (mut kinds, mut samples) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines().filter(|line| !line.starts_with("# HELP ")) {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').with_context(|| line.to_owned())?;
            ensure!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            ensure!(kinds.insert(name, kind).is_none(), "{name} twice");
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').with_context(|| format!("no sample: {line}"))?;
        let (name, labels) = sample.split_once('{').with_context(|| format!("no labels: {line}"))?;
        ensure!(labels.ends_with("\"}"), "{line}");
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let kind = kinds.get(name).or_else(|| kinds.get(of_histogram?));
        ensure!(kind.is_some(), "{name} has no kind");
        let value = value.parse().with_context(|| format!("no number: {line}"))?;
        ensure!(samples.insert(sample.to_owned(), value).is_none(), "{sample} twice");
    }
    Ok(samples)
}

pub fn metrics(server: &Server) -> Result<()> {
    let scrape = || -> Result<BTreeMap<String, f64>> { samples(server.get("/metrics")?.text()?) };
    let before = scrape()?;
    server.value(COMPLETIONS, &story(5, json!({})))?;
    let after = scrape()?;
    let made = |samples: &BTreeMap<String, f64>| -> f64 {
        samples
            .iter()
            .filter(|(name, _)| name.starts_with("vllm:generation_tokens_total"))
            .map(|(_, value)| value)
            .sum()
    };
    ensure!(made(&after) - made(&before) == 5.0, "{} tokens", made(&after) - made(&before));
    ensure!(made(&scrape()?) == made(&after), "a scrape costs tokens");
    for (name, value) in &before {
        let grows = ["_total{", "_bucket{", "_count{"].iter().any(|part| name.contains(part));
        ensure!(!grows || after.get(name).is_some_and(|now| now >= value), "{name} has shrunk");
    }
    let mut last: BTreeMap<&str, f64> = BTreeMap::new();
    let text = server.get("/metrics")?;
    for line in text.text()?.lines().filter(|line| line.contains("_bucket{")) {
        let name = line.split('{').next().unwrap_or_default();
        let count = line.rsplit(' ').next().and_then(|count| count.parse().ok()).context("no count")?;
        let is_cumulative = last.insert(name, count).is_none_or(|before| before <= count);
        ensure!(is_cumulative, "{line}");
    }
    let samples = samples(text.text()?)?;
    for (name, count) in last {
        let is_sum = |part: &str, other: &str| {
            let name = format!("{}{part}", name.trim_end_matches("_bucket"));
            samples
                .iter()
                .any(|(own, value)| own.starts_with(&name) && own.contains(other) && *value == count)
        };
        ensure!(
            is_sum("_bucket{", "le=\"+Inf\"") && is_sum("_count{", ""),
            "{name}: {count} is not its count"
        );
    }
    Ok(())
}
