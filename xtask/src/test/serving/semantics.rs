//! Checks of what a request's fields mean: items 37 to 48.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::thread;

use super::server::{CHAT, COMPLETIONS, Server, chat, story, text_of};
use crate::threads;

/// What seed 7 makes of a text at temperature 1, on every machine.
const SEEDED: &str = ", there was a funny small bunny named Daisy. One";

fn messages(list: Value) -> Value {
    json!({ "messages": list, "temperature": 0, "max_tokens": 3 })
}

/// Checks that all bodies have the same choice and counts.
fn same(server: &Server, bodies: &[Value]) -> Result<()> {
    let of = |body: &Value| -> Result<Value> {
        let answer = server.value(CHAT, body)?;
        Ok(json!([answer["choices"], answer["usage"]["prompt_tokens"]]))
    };
    let first = of(&bodies[0])?;
    for body in &bodies[1..] {
        ensure!(of(body)? == first, "{body}: another answer than {}", bodies[0]);
    }
    Ok(())
}

pub fn contents(server: &Server) -> Result<()> {
    let ask = |content: Value| messages(json!([{ "role": "user", "content": content }]));
    let part = |text: &str| json!({ "type": "text", "text": text });
    same(
        server,
        &[ask(json!("Hi\nyou")), ask(json!([part("Hi\nyou")])), ask(json!([part("Hi"), part("you")]))],
    )?;
    same(server, &[ask(json!("")), ask(json!([])), ask(json!([part("")]))])?;
    let after = |said: Value| {
        messages(json!([{ "role": "user", "content": "A" }, said, { "role": "user", "content": "B" }]))
    };
    let silent = json!({ "role": "assistant", "content": null, "tool_calls": [] });
    same(
        server,
        &[
            after(json!({ "role": "assistant", "content": "" })),
            after(silent),
            after(json!({ "role": "assistant" })),
        ],
    )
}

pub fn roles(server: &Server) -> Result<()> {
    let ask = |role: &str| {
        messages(json!([{ "role": role, "content": "Be kind" }, { "role": "user", "content": "Hi" }]))
    };
    same(server, &[ask("system"), ask("developer")])?;
    let prompt = server.value("/apply-template", &ask("system"))?["prompt"].clone();
    ensure!(prompt == "system: Be kind\nuser: Hi\nassistant: ", "{prompt}");
    let empty = json!([{ "role": "system", "content": "" }, { "role": "user", "content": "Hi" }]);
    server.value(CHAT, &messages(empty))?;
    // Tools are not served, so that there is nothing for this role to say.
    let tool =
        json!([{ "role": "user", "content": "Hi" }, { "role": "tool", "content": "5", "tool_call_id": "a" }]);
    server.refuses(CHAT, &[("messages", messages(tool))])
}

pub fn limits(server: &Server) -> Result<()> {
    let made = |more: Value| -> Result<(Value, u64)> {
        let answer = server.value(CHAT, &chat(more))?;
        let count = |name: &str| answer["usage"][name].as_u64().context("no count");
        ensure!(count("total_tokens")? == count("prompt_tokens")? + count("completion_tokens")?, "{answer}");
        Ok((answer["choices"][0]["finish_reason"].clone(), count("completion_tokens")?))
    };
    let fixed = |more: Value| {
        made(json!({ "ignore_eos": true, "max_tokens": more["m"], "max_completion_tokens": more["c"] }))
    };
    ensure!(fixed(json!({ "c": 3, "m": 9 }))? == (json!("length"), 3), "both");
    ensure!(fixed(json!({ "m": 2 }))? == (json!("length"), 2), "max_tokens");
    let long = "the ".repeat(225);
    let body = json!({ "messages": [{ "role": "user", "content": long }], "ignore_eos": true });
    let answer = server.value(CHAT, &body)?;
    let context = &server.get("/props")?.json()?["default_generation_settings"]["n_ctx"];
    let total = answer["usage"]["total_tokens"].as_u64().context("no count")?;
    // The last token is not taken any more.
    ensure!(
        Some(total - 1) == context.as_u64() && answer["choices"][0]["finish_reason"] == "length",
        "{answer}"
    );
    Ok(())
}

/// The texts of a greedy story's tokens.
fn pieces(server: &Server) -> Result<Vec<String>> {
    let events = server.events(COMPLETIONS, &story(10, json!({})))?;
    let texts = events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).map(str::to_owned);
    Ok(texts.filter(|text| !text.is_empty()).collect())
}

pub fn stops(server: &Server) -> Result<()> {
    let pieces = pieces(server)?;
    let whole: String = pieces.concat();
    let word = pieces[3].trim();
    let before = &whole[..whole.find(word).context("its own token")?];
    for stop in [json!(word), json!([word]), json!(["\u{1}", "zebra", "xyzzy", word])] {
        let body = story(10, json!({ "stop": stop }));
        let choice = server.choice(COMPLETIONS, &body)?;
        ensure!(
            (&choice["text"], &choice["finish_reason"]) == (&json!(before), &json!("stop")),
            "{stop}: {choice}"
        );
        ensure!(text_of(&server.events(COMPLETIONS, &body)?, 0) == before, "{stop}: the stream");
    }
    server.refuses(COMPLETIONS, &[("stop", story(1, json!({ "stop": vec!["a"; 17] })))])
}

pub fn stops_over_tokens(server: &Server) -> Result<()> {
    let pieces = pieces(server)?;
    let whole: String = pieces.concat();
    let join = pieces[..4].concat().len();
    let (last, next) = (&whole[..join], &whole[join..]);
    let tail = last.char_indices().next_back().map_or(0, |(at, _)| at);
    let over = format!("{}{}", &whole[tail..join], next.chars().take(2).collect::<String>());
    let before = &whole[..whole.find(&over).context("it is there")?];
    for stream in [false, true] {
        let text = |stop: &str| -> Result<String> {
            let body = story(10, json!({ "stop": stop }));
            match stream {
                true => Ok(text_of(&server.events(COMPLETIONS, &body)?, 0)),
                false => {
                    Ok(server.choice(COMPLETIONS, &body)?["text"].as_str().context("no text")?.to_owned())
                }
            }
        };
        ensure!(text(&over)? == before, "{over:?}");
        // Text that only begins like a stop text is released, within the answer and at its end.
        ensure!(text(&format!("{over}zebra"))? == whole, "{over:?} and more");
        ensure!(text(&format!("{}zebra", pieces[9]))? == whole, "held back at the end");
    }
    Ok(())
}

pub fn sampling(server: &Server) -> Result<()> {
    let tokens = |more: Value| -> Result<Vec<u64>> {
        let body = json!({ "prompt": "Once upon a time", "max_tokens": 6, "return_tokens": true, "ignore_eos": true });
        let mut body = body;
        more.as_object().context("fields")?.iter().for_each(|(name, value)| body[name] = value.clone());
        let choice = server.choice(COMPLETIONS, &body)?;
        Ok(choice["tokens"].as_array().context("no tokens")?.iter().filter_map(Value::as_u64).collect())
    };
    let greedy = tokens(json!({ "temperature": 0 }))?;
    for more in [json!({ "top_k": 1 }), json!({ "top_p": 0 }), json!({ "min_p": 1 })] {
        ensure!(tokens(more.clone())? == greedy, "{more} is not greedy");
    }
    let first = greedy[0].to_string();
    ensure!(
        !tokens(json!({ "temperature": 0, "logit_bias": { first: -100 } }))?.contains(&greedy[0]),
        "a ban"
    );
    ensure!(tokens(json!({ "temperature": 0, "logit_bias": { "300": 100 } }))? == [300; 6], "a bias");
    let two = json!({ "300": 100, "301": 100 });
    let plain = tokens(json!({ "temperature": 0, "logit_bias": two }))?;
    for penalty in ["frequency_penalty", "presence_penalty", "repeat_penalty"] {
        let spread = tokens(json!({ "temperature": 0, "logit_bias": two, penalty: 2 }))?;
        ensure!(plain == [301; 6] && spread != plain, "{penalty}: {spread:?}, without it {plain:?}");
    }
    let refused = [
        ("temperature", json!(-1)),
        ("temperature", json!(2.1)),
        ("top_p", json!(1.1)),
        ("top_k", json!(-2)),
        ("min_p", json!(-0.1)),
        ("presence_penalty", json!(2.5)),
        ("frequency_penalty", json!("1")),
        ("logit_bias", json!({ "300": 101 })),
        ("logit_bias", json!({ "99999999": 1 })),
        ("seed", json!(1.5)),
        ("n", json!(0)),
        ("max_tokens", json!(-2)),
    ];
    let bodies = refused.map(|(name, value)| (name, story(1, json!({ name: value }))));
    server.refuses(COMPLETIONS, &bodies)
}

/// A body that seed 7 decides.
fn seeded(more: Value) -> Value {
    let mut body = story(12, json!({ "temperature": 1, "seed": 7, "logits_hash": true }));
    more.as_object().into_iter().flatten().for_each(|(name, value)| body[name] = value.clone());
    body
}

pub fn seed(server: &Server) -> Result<()> {
    let alone = server.choice(COMPLETIONS, &seeded(json!({})))?;
    ensure!(alone["text"] == SEEDED, "seed 7 makes {}", alone["text"]);
    // Beside others, its prompt computed for another choice, and in a stream.
    let others = seeded(json!({ "n": 4 }));
    ensure!(server.choice(COMPLETIONS, &others)? == alone, "among four choices");
    let bodies = [others, seeded(json!({})), story(12, json!({})), seeded(json!({}))];
    let together = thread::scope(|scope| {
        let asks = bodies.each_ref().map(|body| scope.spawn(|| server.choice(COMPLETIONS, body)));
        asks.map(threads::join)
    });
    for (index, choice) in together.into_iter().enumerate().filter(|(index, _)| *index != 2) {
        let choice = choice?;
        ensure!(choice == alone, "request {index} of four at once: {choice}, not {alone}");
    }
    // Again, with most of its prompt retained.
    let long =
        seeded(json!({ "prompt": "One day a cat and a dog went out to play. ".repeat(5), "logprobs": 2 }));
    let (first, again) = (server.value(COMPLETIONS, &long)?, server.value(COMPLETIONS, &long)?);
    let cached = |answer: &Value| answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64();
    ensure!(cached(&first) == Some(0) && cached(&again) >= Some(32), "{} {}", first["usage"], again["usage"]);
    ensure!(first["choices"] == again["choices"], "with a part of it computed before: {again}");
    let events = server.events(COMPLETIONS, &seeded(json!({})))?;
    let last = &events.last().context("no events")?["choices"][0];
    ensure!(text_of(&events, 0) == SEEDED && last["logits_hash"] == alone["logits_hash"], "a stream: {last}");
    let other = server.choice(COMPLETIONS, &seeded(json!({ "seed": 8 })))?;
    ensure!(other["text"] != alone["text"], "seed 8 makes the same");
    Ok(())
}

pub fn fingerprint(server: &Server) -> Result<()> {
    let first = server.value(COMPLETIONS, &story(1, json!({})))?["system_fingerprint"].clone();
    let text = first.as_str().unwrap_or_default();
    ensure!(text.contains(&server.model) && text.contains("embodios-"), "{first}");
    ensure!(server.value(CHAT, &chat(json!({ "max_tokens": 1 })))?["system_fingerprint"] == first, "a chat");
    let events = server.events(CHAT, &chat(json!({ "max_tokens": 1 })))?;
    ensure!(events.iter().all(|event| event["system_fingerprint"] == first), "a stream");
    Ok(())
}

pub fn choices(server: &Server) -> Result<()> {
    let body = |n: u32| chat(json!({ "n": n, "max_tokens": 4, "seed": 3, "ignore_eos": true }));
    let (one, three) = (server.value(CHAT, &body(1))?, server.value(CHAT, &body(3))?);
    let choices = three["choices"].as_array().context("no choices")?;
    ensure!(choices.len() == 3 && (0..3).all(|index| choices[index]["index"] == index), "{three}");
    ensure!(three["choices"][0] == one["choices"][0], "the first is not that of n: 1");
    let usage = (&three["usage"]["prompt_tokens"], &three["usage"]["completion_tokens"]);
    ensure!(usage == (&one["usage"]["prompt_tokens"], &json!(12)), "{}", three["usage"]);
    let events = server.events(CHAT, &body(3))?;
    for (index, choice) in (0..).zip(choices) {
        ensure!(
            text_of(&events, index) == choice["message"]["content"].as_str().unwrap_or_default(),
            "stream {index}"
        );
    }
    server.refuses(CHAT, &[("n", body(17))])
}

pub fn prompts(server: &Server) -> Result<()> {
    let choices = |prompt: Value| -> Result<Value> {
        let body = story(4, json!({ "prompt": prompt }));
        Ok(server.value(COMPLETIONS, &body)?["choices"].clone())
    };
    let ids = |text: &str| -> Result<Value> {
        let found = server.value("/tokenize", &json!({ "content": text, "add_special": true }))?;
        Ok(found["tokens"].clone())
    };
    let (one, other) = (choices(json!("Once upon"))?, choices(json!("The cat"))?);
    ensure!(choices(ids("Once upon")?)? == one, "token ids");
    let both = choices(json!(["Once upon", "The cat"]))?;
    ensure!(both[0] == one[0] && both[1]["text"] == other[0]["text"] && both[1]["index"] == 1, "{both}");
    ensure!(choices(json!([ids("Once upon")?, ids("The cat")?]))? == both, "lists of token ids");
    let echo = server.choice(COMPLETIONS, &story(2, json!({ "echo": true })))?;
    ensure!(echo["text"] == "Once upon a time, there", "{echo}");
    server.refuses(
        COMPLETIONS,
        &[("suffix", story(1, json!({ "suffix": "x" }))), ("prompt", story(1, json!({ "prompt": {} })))],
    )
}

pub fn log_probabilities(server: &Server) -> Result<()> {
    let columns = story(3, json!({ "logprobs": 2 }));
    let whole = server.choice(COMPLETIONS, &columns)?["logprobs"].clone();
    for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        let events = server.events(COMPLETIONS, &columns)?;
        let parts = events.iter().filter_map(|event| event["choices"][0]["logprobs"][name].as_array());
        let parts: Vec<Value> = parts.flatten().cloned().collect();
        ensure!(parts.len() == 3 && whole[name] == json!(parts), "{name}: {whole}, {parts:?}");
    }
    for most in [0, 2, 20] {
        let body = chat(
            json!({ "logprobs": true, "top_logprobs": most, "temperature": 0, "max_tokens": 3, "ignore_eos": true }),
        );
        let whole = server.choice(CHAT, &body)?["logprobs"]["content"].clone();
        let events = server.events(CHAT, &body)?;
        let parts = events.iter().filter_map(|event| event["choices"][0]["logprobs"]["content"].as_array());
        ensure!(whole == json!(parts.flatten().cloned().collect::<Vec<Value>>()), "the stream's with {most}");
        for entry in whole.as_array().context("no entries")? {
            let count = entry["top_logprobs"].as_array().map(Vec::len);
            ensure!(
                entry["logprob"].is_number() && entry["bytes"].is_array() && count == Some(most),
                "{entry}"
            );
        }
    }
    server.refuses(CHAT, &[("top_logprobs", chat(json!({ "logprobs": true, "top_logprobs": 21 })))])
}

pub fn prefill(server: &Server) -> Result<()> {
    let open =
        json!([{ "role": "user", "content": "Tell" }, { "role": "assistant", "content": "Once upon" }]);
    let ask = |more: Value| {
        let mut body = messages(open.clone());
        more.as_object().into_iter().flatten().for_each(|(name, value)| body[name] = value.clone());
        body
    };
    let prompt = server.value("/apply-template", &ask(json!({})))?["prompt"].clone();
    ensure!(prompt == "user: Tell\nassistant: Once upon", "{prompt}");
    let begun =
        server.value("/apply-template", &ask(json!({ "continue_final_message": false })))?["prompt"].clone();
    ensure!(begun == "user: Tell\nassistant: Once upon\nassistant: ", "{begun}");
    let said = server.choice(CHAT, &ask(json!({})))?["message"]["content"].clone();
    let prompt = json!({ "prompt": "user: Tell\nassistant: Once upon", "temperature": 0, "max_tokens": 3 });
    ensure!(server.choice(COMPLETIONS, &prompt)?["text"] == said, "it goes on otherwise: {said}");
    Ok(())
}
