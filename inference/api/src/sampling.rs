//! The fields that say how tokens are chosen, and how long.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use embodios_engine::json::{BadLine, Fields};
use embodios_text::sample::{BAN, Sampling};
use serde_json::Value;

use crate::fields::whole;
use crate::{ApiError, Endpoint, Meta, Served};

/// Most stop texts, and most bytes of each.
const MOST_STOPS: (usize, usize) = (16, 1024);
/// Tokens that a completion has when nothing is said, as in OpenAI's.
const COMPLETION_TOKENS: usize = 16;
/// Fractional part of the golden ratio: numbers one apart become far apart, and different ones stay different.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// How tokens are chosen, and how long.
#[derive(Debug)]
pub struct Choosing {
    /// Parameters, with the seed of the first choice.
    pub sampling: Sampling,
    /// Whether the seed was given.
    pub seeded: bool,
    /// Bias of tokens, in their order.
    pub bias: Vec<(u32, f32)>,
    /// Stop texts.
    pub stops: Vec<String>,
    /// Tokens that end the text.
    pub end: Vec<u32>,
    /// Most tokens; `None` for as many as the context has room for.
    pub limit: Option<usize>,
}

impl Choosing {
    /// Takes them from `fields`.
    ///
    /// # Errors
    /// When one is out of its range, by its name.
    pub fn read(
        served: &Served<'_>,
        endpoint: Endpoint,
        fields: &mut Fields,
        meta: Meta,
    ) -> Result<Self, ApiError> {
        let seed = seed(fields)?;
        let fresh = meta.id.wrapping_mul(GOLDEN) ^ meta.unix.rotate_left(32);
        let penalty = fields.number("repetition_penalty", 0.01, 100.0)?;
        if penalty.is_some() && fields.has("repeat_penalty") {
            return Err(ApiError::field("repeat_penalty", "is there beside repetition_penalty"));
        }
        let sampling = Sampling {
            temperature: fields.number("temperature", 0.0, 2.0)?.unwrap_or(1.0),
            top_p: fields.number("top_p", 0.0, 1.0)?.unwrap_or(1.0),
            top_k: count_or_all(fields, "top_k")?.unwrap_or(0),
            min_p: fields.number("min_p", 0.0, 1.0)?.unwrap_or(0.0),
            repetition: penalty.or(fields.number("repeat_penalty", 0.01, 100.0)?).unwrap_or(1.0),
            window: match fields.value("repeat_last_n") {
                None => Sampling::GREEDY.window,
                Some(value) => match whole(&value, -1, i64::MAX) {
                    Some(-1) => served.context,
                    Some(window) => usize::try_from(window).unwrap_or(usize::MAX).min(served.context),
                    None => {
                        return Err(BadLine::field("repeat_last_n", "wants a whole number from -1 on").into());
                    }
                },
            },
            presence: fields.number("presence_penalty", -2.0, 2.0)?.unwrap_or(0.0),
            frequency: fields.number("frequency_penalty", -2.0, 2.0)?.unwrap_or(0.0),
            seed: seed.unwrap_or(fresh),
        };
        let vocabulary = vocabulary(served);
        let mut end =
            if fields.flag("ignore_eos")? { Vec::new() } else { served.responder.tokenizer.ends().into() };
        end.extend(fields.ids("stop_token_ids", vocabulary)?.unwrap_or_default());
        Ok(Self {
            sampling,
            seeded: seed.is_some(),
            bias: bias(fields, vocabulary)?,
            stops: stops(fields)?,
            end,
            limit: limit(fields, endpoint)?,
        })
    }
}

/// Tokens that a request may name: those that have both a text and weights.
pub fn vocabulary(served: &Served<'_>) -> usize {
    served.responder.tokenizer.vocabulary_size().min(served.responder.model.config.vocabulary)
}

/// A count, for which clients say 0 or -1 where they mean all.
fn count_or_all(fields: &mut Fields, name: &'static str) -> Result<Option<usize>, BadLine> {
    fields.take(name, "a whole number, or -1 for all", |value| {
        let number = whole(value, -1, i64::MAX)?;
        Some(usize::try_from(number).unwrap_or(0))
    })
}

/// The seed, if there is one: -1 asks for a fresh one.
fn seed(fields: &mut Fields) -> Result<Option<u64>, BadLine> {
    let seed = fields.take("seed", "a whole number of 64 bits", |value| {
        value.as_u64().or(value.as_i64().map(i64::cast_unsigned))
    });
    Ok(seed?.filter(|&seed| seed != u64::MAX))
}

/// The most tokens; -1 asks for as many as there is room for.
fn limit(fields: &mut Fields, endpoint: Endpoint) -> Result<Option<usize>, BadLine> {
    let (first, second, otherwise) = match endpoint {
        Endpoint::Chat => ("max_completion_tokens", "max_tokens", None),
        Endpoint::Completions => ("max_completion_tokens", "max_tokens", Some(COMPLETION_TOKENS)),
        Endpoint::Responses => ("max_output_tokens", "max_output_tokens", None),
    };
    let mut read = |name| {
        fields.take(name, "a whole number of at least 0, or -1 for as many as there is room for", |value| {
            whole(value, -1, i64::MAX)
        })
    };
    let (first, second) = (read(first)?, read(second)?);
    Ok(match first.or(second) {
        None => otherwise,
        // Below 0: no limit.
        Some(number) => usize::try_from(number).ok(),
    })
}

/// The stop texts: one, or a list.
fn stops(fields: &mut Fields) -> Result<Vec<String>, BadLine> {
    let (most, bytes) = MOST_STOPS;
    let wanted = format!("a text or a list of up to {most}, none of them empty or longer than {bytes} bytes");
    let text = |value: &Value| {
        value.as_str().filter(|text| !text.is_empty() && text.len() <= bytes).map(ToString::to_string)
    };
    let list = fields.take("stop", &wanted, |value| match value {
        Value::Array(list) if list.len() <= most => list.iter().map(text).collect(),
        Value::Array(_) => None,
        one => text(one).map(|text| Vec::from([text])),
    });
    Ok(list?.unwrap_or_default())
}

/// The bias of tokens, by their ids as texts.
fn bias(fields: &mut Fields, vocabulary: usize) -> Result<Vec<(u32, f32)>, BadLine> {
    let Some(value) = fields.value("logit_bias") else { return Ok(Vec::new()) };
    let wanted = |found: &str| {
        let wanted = format!("an object of numbers from -100 to 100, each for a token id below {vocabulary}");
        BadLine::field("logit_bias", format!("wants {wanted}, not {found}"))
    };
    let Value::Object(object) = value else { return Err(wanted("something else")) };
    let mut bias = Vec::with_capacity(object.len().min(vocabulary));
    for (name, value) in &object {
        // Written one way only, so that no token is there twice.
        let token = name.parse::<u32>().ok().filter(|token| token.to_string() == *name);
        let token = token.filter(|&token| (token as usize) < vocabulary);
        let number = value.as_f64().filter(|number| (-100.0..=100.0).contains(number));
        match (token, number) {
            (Some(token), Some(number)) => bias.push((token, number as f32)),
            _ => return Err(wanted(&format!("{:?}: {value}", Short(name)))),
        }
    }
    if bias.iter().filter(|&&(_, bias)| bias <= BAN).count() >= vocabulary {
        return Err(BadLine::field("logit_bias", "bans every token"));
    }
    bias.sort_unstable_by_key(|&(token, _)| token);
    Ok(bias)
}

/// A text of a request in a message: its beginning.
pub struct Short<'t>(pub &'t str);

impl core::fmt::Debug for Short<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        const MOST: usize = 60;
        match self.0.char_indices().nth(MOST) {
            None => write!(f, "{:?}", self.0),
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
        }
    }
}
