//! Random requests whose answers must be the same bytes wherever and beside whatever they are computed.

mod places;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;

use super::random::Random;
use super::server::{CHAT, COMPLETIONS, Server, chat, story};
use crate::client::post;
use crate::digest;
use crate::threads;

pub use places::run;

/// Requests at once.
const TOGETHER: u64 = 32;

/// Words of prompts.
const WORDS: [&str; 16] = [
    "Once",
    "upon",
    "a",
    "time",
    "the",
    "little",
    "girl",
    "boy",
    "dog",
    "was",
    "happy.",
    "She",
    "played",
    "ball",
    "and",
    "caf\u{e9}",
];

/// A request.
pub struct Asked {
    path: &'static str,
    body: Value,
}

/// An answer: for each choice its text, why it ended, and the hash of its logits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said(Vec<[String; 3]>);

/// The first `count` requests of a seed.
pub fn requests(seed: u64, count: usize) -> Vec<Asked> {
    (0..count as u64).map(|number| request(&mut Random::new(seed, number))).collect()
}

fn request(random: &mut Random) -> Asked {
    // Some have several KV blocks, which are retained.
    let most = if random.one_in(4) { 120 } else { 30 };
    let words: Vec<&str> = (0..1 + random.below(most)).map(|_| *random.of(&WORDS)).collect();
    let prompt = words.join(" ");
    let mut body = match random.below(3) {
        0 => chat(json!({ "messages": [{ "role": "user", "content": prompt }] })),
        _ => story(1, json!({ "prompt": prompt })),
    };
    let path = if body["messages"].is_array() { CHAT } else { COMPLETIONS };
    body["max_tokens"] = (1 + random.below(12)).into();
    body["temperature"] = (*random.of(&[0.0, 0.0, 0.7, 1.0, 1.9])).into();
    body["seed"] = random.below(1 << 30).into();
    body["ignore_eos"] = random.one_in(2).into();
    body["logits_hash"] = true.into();
    let samplers =
        [("top_k", json!(40)), ("top_p", json!(0.9)), ("min_p", json!(0.05)), ("repeat_penalty", json!(1.1))];
    for (name, value) in samplers {
        if random.one_in(3) {
            body[name] = value;
        }
    }
    if random.one_in(5) {
        body["n"] = (2 + random.below(3)).into();
    }
    if random.one_in(6) {
        body["stop"] = json!([" the", "."]);
    }
    body["stream"] = random.one_in(2).into();
    Asked { path, body }
}

impl Asked {
    /// What it is answered.
    ///
    /// # Errors
    /// When it is refused, or the answer has not what an answer has.
    pub fn ask(&self, server: &Server) -> Result<Said> {
        let answer = server.ask(post(self.path, "", &self.body.to_string()))?;
        ensure!(answer.status == 200, "{}: {}: {:?}", self.body, answer.status, answer.text());
        let parts = if self.body["stream"] == true { answer.events()? } else { vec![answer.json()?] };
        let count = self.body["n"].as_u64().unwrap_or(1) as usize;
        let mut choices = vec![<[String; 3]>::default(); count];
        for choice in parts.iter().filter_map(|part| part["choices"].as_array()).flatten() {
            let index = choice["index"].as_u64().context("a choice without an index")? as usize;
            let Some([text, reason, hash]) = choices.get_mut(index) else {
                bail!("choice {index} of {count}")
            };
            let more = [&choice["text"], &choice["delta"]["content"], &choice["message"]["content"]];
            more.into_iter().filter_map(Value::as_str).for_each(|more| text.push_str(more));
            if let Some(said) = choice["finish_reason"].as_str() {
                said.clone_into(reason);
                choice["logits_hash"].as_str().context("no hash")?.clone_into(hash);
            }
        }
        ensure!(
            choices.iter().all(|[_, reason, _]| !reason.is_empty()),
            "{}: a choice has no end",
            self.body
        );
        Ok(Said(choices))
    }
}

/// Asks one after the other.
///
/// # Errors
/// As [`Asked::ask`].
pub fn alone(server: &Server, requests: &[Asked]) -> Result<Vec<Said>> {
    requests.iter().map(|request| request.ask(server)).collect()
}

/// Asks each while others are answered, up to [`TOGETHER`] at once.
///
/// # Errors
/// As [`Asked::ask`].
pub fn together(server: &Server, requests: &[Asked]) -> Result<Vec<Said>> {
    let all = Mutex::new(vec![None; requests.len()]);
    threads::each(TOGETHER, 0..requests.len() as u64, |number| {
        let said = requests[number as usize].ask(server)?;
        all.lock().unwrap_or_else(PoisonError::into_inner)[number as usize] = Some(said);
        Ok(())
    })?;
    let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.into_iter().collect::<Option<_>>().context("a request was left out")
}

/// Digest of all answers, to compare machines by.
pub fn digest(said: &[Said]) -> Result<String> {
    let text = format!("{said:?}");
    digest::of_copy(&mut text.as_bytes(), &mut io::sink()).context("a text in memory")
}

/// Those of `now` that differ from `first`, as words.
pub fn differing(requests: &[Asked], first: &[Said], now: &[Said]) -> Vec<String> {
    let pairs = first.iter().zip(now).zip(requests);
    let differ = pairs.filter(|((first, now), _)| first != now);
    differ.map(|((first, now), request)| format!("{}: {now:?}, not {first:?}", request.body)).collect()
}

/// Asks a few alone and among each other. Result: the digest of their answers.
///
/// # Errors
/// When one has two answers.
pub fn few(server: &Server, count: usize) -> Result<String> {
    let requests = requests(1, count);
    let first = alone(server, &requests)?;
    let again = together(server, &requests)?;
    let differing = differing(&requests, &first, &again);
    ensure!(differing.is_empty(), "among others: {}", differing.join("; "));
    digest(&first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_repeat_and_are_of_every_kind() {
        let bodies =
            |seed| requests(seed, 100).iter().map(|asked| asked.body.to_string()).collect::<Vec<_>>();
        assert_eq!(bodies(1), bodies(1));
        assert_ne!(bodies(1), bodies(2));
        let has = |part: &str| bodies(1).iter().filter(|body| body.contains(part)).count();
        for part in ["\"stream\":true", "\"stream\":false", "messages", "prompt", "\"n\":", "min_p", "stop"] {
            assert!(has(part) > 4, "{part}");
        }
    }

    #[test]
    fn an_answer_that_differs_is_named_with_its_request() {
        let asked = requests(1, 2);
        let said = |text: &str| Said(vec![[text.to_owned(), "stop".to_owned(), "1".to_owned()]]);
        let differ = differing(&asked, &[said("a"), said("b")], &[said("a"), said("c")]);
        assert!(differ.len() == 1 && differ[0].contains(&asked[1].body.to_string()), "{differ:?}");
        assert!(digest(&[said("a")]).expect("a digest") != digest(&[said("b")]).expect("a digest"));
    }
}
