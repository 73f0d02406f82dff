//! A guest's API as the checks ask it.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Answer, Client, PATIENCE, get, post};

/// Paths of calls.
pub const CHAT: &str = "/v1/chat/completions";
pub const COMPLETIONS: &str = "/v1/completions";

/// Time between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(20);

/// A guest that serves.
pub struct Server {
    /// The host's address that leads to it.
    pub address: SocketAddr,
    /// Status of the first answer that it gave.
    pub first: u16,
    /// The model's name.
    pub model: String,
    /// Lines for its console.
    pub typing: Sender<&'static str>,
}

impl Server {
    /// Types a line, which ends with `\n`, at its console.
    pub fn type_line(&self, line: &'static str) -> Result<()> {
        self.typing.send(line).context("its console reads no more")
    }

    /// A connection.
    pub fn client(&self) -> Result<Client> {
        Client::connect(self.address)
    }

    /// What a request is answered on a connection of its own.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Result<Answer> {
        self.client()?.ask(request)
    }

    /// What a request that reads is answered.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.ask(get(path, ""))
    }

    /// What a body is answered.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.ask(post(path, "", &body.to_string()))
    }

    /// The JSON that a body is answered.
    pub fn value(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.post(path, body)?;
        ensure!(answer.status == 200, "{body}: {}: {:?}", answer.status, answer.text());
        answer.json()
    }

    /// The first choice of what a body is answered.
    pub fn choice(&self, path: &str, body: &Value) -> Result<Value> {
        Ok(self.value(path, body)?["choices"][0].clone())
    }

    /// The events of a body's stream.
    pub fn events(&self, path: &str, body: &Value) -> Result<Vec<Value>> {
        let mut body = body.clone();
        body["stream"] = true.into();
        self.post(path, &body)?.events().with_context(|| body.to_string())
    }

    /// The error by which a body is refused with this status.
    pub fn error(&self, path: &str, body: &Value, status: u16) -> Result<Value> {
        self.post(path, body)?.error(status).with_context(|| body.to_string())
    }

    /// Checks that each body is refused with 400, by the field whose name begins with the text beside it.
    pub fn refuses(&self, path: &str, bodies: &[(&str, Value)]) -> Result<()> {
        for (name, body) in bodies {
            let error = self.error(path, body, 400)?;
            let is_named = error["param"].as_str().is_some_and(|param| param.starts_with(name));
            ensure!(error["type"] == "invalid_request_error" && is_named, "{body}: {error}");
        }
        Ok(())
    }

    /// The tokens of a text.
    pub fn tokens(&self, text: &str) -> Result<Vec<u64>> {
        let found = self.value("/tokenize", &json!({ "content": text }))?;
        let tokens = found["tokens"].as_array().context("no tokens")?;
        tokens.iter().map(|token| token.as_u64().context("a token that is no number")).collect()
    }

    /// The sum of a metric's samples whose names and labels have all of `parts`.
    pub fn metric(&self, parts: &[&str]) -> Result<f64> {
        sum(self.get("/metrics")?.text()?, parts)
    }

    /// Requests in the batch and before it.
    pub fn requests(&self) -> Result<f64> {
        self.metric(&["vllm:num_requests_"])
    }

    /// Waits until something holds.
    pub fn until(&self, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while !holds()? {
            if Instant::now() > end {
                bail!("in {} s it does not happen that {what}", PATIENCE.as_secs());
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Waits until no request is left and no KV block is in use.
    pub fn until_idle(&self) -> Result<()> {
        self.until("all requests are gone", || Ok(self.requests()? == 0.0))?;
        self.until("all KV blocks are free", || Ok(self.metric(&["vllm:kv_cache_usage_perc"])? == 0.0))
    }
}

/// The sum of those samples of `metrics` whose names and labels have all of `parts`.
pub fn sum(metrics: &str, parts: &[&str]) -> Result<f64> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    let lines: Vec<&str> = lines.filter(|line| parts.iter().all(|part| line.contains(part))).collect();
    ensure!(!lines.is_empty(), "no metric {parts:?}");
    let number = |line: &&str| line.rsplit(' ').next()?.parse::<f64>().ok();
    lines.iter().map(|line| number(line).with_context(|| format!("no number: {line}"))).sum()
}

/// A chat of one question, with `more` fields.
pub fn chat(more: Value) -> Value {
    with(json!({ "messages": [{ "role": "user", "content": "Once upon a time" }] }), more)
}

/// A greedy completion of so many tokens, no fewer, with `more` fields.
pub fn story(tokens: usize, more: Value) -> Value {
    let fixed =
        json!({ "prompt": "Once upon a time", "temperature": 0, "ignore_eos": true, "max_tokens": tokens });
    with(fixed, more)
}

/// An object with `more` fields, which go before its own.
fn with(mut object: Value, more: Value) -> Value {
    if let Value::Object(more) = more {
        more.into_iter().for_each(|(name, value)| object[name] = value);
    }
    object
}

/// The text of a stream's choice: of a chat or a completion.
pub fn text_of(events: &[Value], index: u64) -> String {
    let choices = events.iter().filter_map(|event| event["choices"].as_array()).flatten();
    let own = choices.filter(|choice| choice["index"] == index);
    own.filter_map(|choice| choice["text"].as_str().or(choice["delta"]["content"].as_str())).collect()
}
