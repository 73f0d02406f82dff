//! Log-probabilities of tokens, in the form of chats and in that of completions. They are those of the model, before
//! temperature, bias, penalties and cuts.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_engine::batch::Outcome;
use embodios_text::tokenizer::Tokenizer;
use serde_json::{Map, Value, json};

use crate::Token;

/// A token made, with its log-probability and the likeliest ones beside it.
#[derive(Clone, Debug)]
pub struct Chosen {
    token: u32,
    log_probability: f32,
    likeliest: Vec<(u32, f32)>,
}

impl Chosen {
    /// That of a token just made, where log-probabilities are asked for.
    pub fn of(token: &Token<'_>) -> Option<Self> {
        let likeliest = token.likeliest.into();
        Some(Self { token: token.token, log_probability: token.log_probability?, likeliest })
    }

    /// Those of all tokens.
    pub fn all_of(outcome: &Outcome) -> Vec<Self> {
        let tokens = outcome.tokens.iter().zip(&outcome.log_probabilities).enumerate();
        let all = tokens.map(|(index, (&token, &log_probability))| Self {
            token,
            log_probability,
            likeliest: outcome.likeliest_beside(index).into(),
        });
        all.collect()
    }
}

fn bytes(tokenizer: &Tokenizer<'_>, token: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    tokenizer.show(token, &mut bytes);
    bytes
}

/// A token as a text: one that is no UTF-8, a part of a character, by its bytes.
fn name(bytes: &[u8]) -> String {
    match core::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => {
            let mut name = String::from("bytes:");
            bytes.iter().for_each(|byte| name.push_str(&format!("\\x{byte:02x}")));
            name
        }
    }
}

/// The list that chats and responses have.
pub fn list(tokenizer: &Tokenizer<'_>, chosen: &[Chosen]) -> Value {
    let one = |token: u32, log_probability: f32| {
        let bytes = bytes(tokenizer, token);
        json!({ "token": name(&bytes), "logprob": log_probability, "bytes": bytes })
    };
    let entry = |chosen: &Chosen| {
        let mut entry = one(chosen.token, chosen.log_probability);
        let likeliest = chosen.likeliest.iter().map(|&(token, value)| one(token, value));
        entry["top_logprobs"] = likeliest.collect();
        entry
    };
    chosen.iter().map(entry).collect()
}

/// The object that completions have. `characters` is the place of the first token in the text, and becomes that behind
/// the last: a character belongs to the token that its first byte is in.
pub fn columns(tokenizer: &Tokenizer<'_>, chosen: &[Chosen], characters: &mut usize) -> Value {
    let (mut tokens, mut values, mut tops, mut places) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for one in chosen {
        let own = bytes(tokenizer, one.token);
        let mut top = Map::new();
        for &(token, value) in &one.likeliest {
            // Of two with the same text, the likelier.
            top.entry(name(&bytes(tokenizer, token))).or_insert(value.into());
        }
        top.entry(name(&own)).or_insert(one.log_probability.into());
        tokens.push(name(&own));
        values.push(one.log_probability);
        tops.push(Value::Object(top));
        places.push(*characters);
        let mut text = Vec::new();
        tokenizer.decode(one.token, &mut text);
        *characters += text.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
    }
    json!({ "tokens": tokens, "token_logprobs": values, "top_logprobs": tops, "text_offset": places })
}
