//! JSON of requests with fields and values changed.

use serde_json::{Map, Value, json};

use crate::test::serving::random::Random;

/// Fields that may stand in any call's body, known and unknown.
const FIELDS: [&str; 30] = [
    "n",
    "seed",
    "stop",
    "tools",
    "model",
    "user",
    "echo",
    "suffix",
    "stream",
    "prompt",
    "messages",
    "input",
    "top_p",
    "top_k",
    "min_p",
    "best_of",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "max_tokens",
    "temperature",
    "ignore_eos",
    "logits_hash",
    "repeat_penalty",
    "repeat_last_n",
    "response_format",
    "stream_options",
    "stop_token_ids",
    "presence_penalty",
    "no such field \u{1f600}",
];

/// Changes a value in one to three places.
pub fn value(value: &mut Value, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let depth = random.below(4);
        change_at(value, depth, random);
    }
}

/// Changes something at most `depth` levels below `value`.
fn change_at(value: &mut Value, depth: usize, random: &mut Random) {
    match value {
        Value::Object(fields) if depth > 0 && !fields.is_empty() => {
            let place = random.below(fields.len());
            if let Some(inner) = fields.values_mut().nth(place) {
                change_at(inner, depth - 1, random);
            }
        }
        Value::Array(items) if depth > 0 && !items.is_empty() => {
            let place = random.below(items.len());
            change_at(&mut items[place], depth - 1, random);
        }
        Value::Object(fields) => change_fields(fields, random),
        Value::Array(items) => change_items(items, random),
        other => *other = strange(random),
    }
}

fn change_fields(fields: &mut Map<String, Value>, random: &mut Random) {
    let own: Vec<String> = fields.keys().cloned().collect();
    if own.is_empty() || random.one_in(2) {
        fields.insert((*random.of(&FIELDS)).to_owned(), strange(random));
        return;
    }
    let name = random.of(&own).clone();
    match random.below(3) {
        0 => drop(fields.remove(&name)),
        1 => drop(fields.insert(name, strange(random))),
        _ => {
            let value = fields.remove(&name).unwrap_or_default();
            fields.insert((*random.of(&FIELDS)).to_owned(), value);
        }
    }
}

fn change_items(items: &mut Vec<Value>, random: &mut Random) {
    match random.below(4) {
        0 => items.clear(),
        1 => items.push(strange(random)),
        2 => drop(items.pop()),
        _ => {
            let copies = random.below(100);
            let first = items.first().cloned().unwrap_or_default();
            items.extend(std::iter::repeat_n(first, copies));
        }
    }
}

/// A value that hardly any field expects.
fn strange(random: &mut Random) -> Value {
    match random.below(12) {
        0 => Value::Null,
        1 => random.one_in(2).into(),
        2 => json!(random.of(&[0i64, 1, -1, 2, 17, 255, 256, 100_000, i64::MAX, i64::MIN])),
        3 => json!(random.of(&[u64::MAX, 1 << 53, 1 << 32, 1 << 31])),
        4 => json!(random.of(&[0.5, -0.0, 1e-320, 1e308, -1e308, 2.000_000_1, 1.0])),
        5 => words(random).into(),
        6 => json!([]),
        7 => json!({}),
        8 => (0..random.below(6)).map(|_| json!(random.below(600))).collect(),
        9 => json!([[1, 2], [words(random)]]),
        10 => (0..random.below(60)).fold(json!(1), |inner, _| json!([inner])),
        _ => json!({ "type": words(random), "content": strange_text(random), "role": "user", "text": "a" }),
    }
}

fn words(random: &mut Random) -> String {
    let choices = [
        "",
        "a",
        "user",
        "system",
        "tool",
        "text",
        "\0",
        "\u{7f}\r\n\t\"\\",
        "{{ x }}",
        "caf\u{e9} \u{65e5}",
    ];
    let one = *random.of(&choices);
    if random.one_in(8) { one.repeat(random.below(2000)) } else { one.to_owned() }
}

fn strange_text(random: &mut Random) -> Value {
    match random.below(3) {
        0 => words(random).into(),
        1 => json!([{ "type": "text", "text": words(random) }]),
        _ => json!([{ "type": "image_url", "image_url": { "url": words(random) } }, null]),
    }
}

/// Damages a JSON text: bytes changed, left out, doubled, or the rest cut off.
pub fn text(text: &str, random: &mut Random) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random.below(3) {
        let place = random.below(bytes.len());
        match random.below(6) {
            _ if bytes.is_empty() => bytes.push(random.next() as u8),
            0 => bytes[place] = random.next() as u8,
            1 => bytes[place] = *random.of(b"{}[]:,\"\\0eE-+.u \0\xff"),
            2 => drop(bytes.remove(place)),
            3 => bytes.extend_from_within(place..),
            4 => bytes.truncate(place),
            _ => {
                let token: &[u8] =
                    random.of::<&[u8]>(&[b"1e999", b"\\ud800", b"NaN", b"\"a\":1,\"a\":1,", b"[[[[[["]);
                bytes.splice(place..place, token.iter().copied());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_many_and_repeat() {
        let made = |request| {
            let mut random = Random::new(3, request);
            let mut value = json!({ "prompt": "a", "messages": [{ "role": "user" }], "n": 1 });
            super::value(&mut value, &mut random);
            (value.to_string(), text("{\"a\": [1, 2]}", &mut random))
        };
        let all: std::collections::BTreeSet<_> = (0..500).map(made).collect();
        assert!(all.len() > 450, "{}", all.len());
        assert_eq!(made(7), made(7));
    }
}
