//! A prompt continued step by step, with the probabilities of each step.

use std::error::Error;

use embodios_inference::cache::Limits;
use embodios_inference::kernels::Kernels;
use embodios_inference::model::Model;
use embodios_inference::pool::Pool;
use embodios_inference::sample::{Sampler, Sampling};
use embodios_inference::session::{Session, SessionError};
use embodios_inference::tokenizer::Tokenizer;
use serde_json::{Value, json};

/// How a prompt is continued.
pub struct Continuation {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to make.
    pub tokens: usize,
    /// Texts that end it; they are not part of the answer's text.
    pub stop: Vec<String>,
    /// Whether it goes on behind the tokens that end a text.
    pub ignore_end: bool,
    /// Report each token's log-probability, and those of the so many likeliest beside it.
    pub logprobs: Option<usize>,
}

/// A session with room for `tokens` tokens, or as many as the model was trained for.
///
/// # Errors
/// When there is no memory for it.
pub fn session<'m>(model: &'m Model<'m>, pool: &Pool, tokens: usize) -> Result<Session<'m>, SessionError> {
    let budget = usize::try_from(pool.platform().memory().free).unwrap_or(usize::MAX);
    let context = Some(tokens.clamp(1, model.config.context));
    Session::new(model, Kernels::best(), Limits { context, budget })
}

/// Continues `prompt`.
///
/// # Errors
/// When the prompt does not fit the model's context or the cache the memory.
pub fn generate(
    model: &Model<'_>,
    tokenizer: &Tokenizer<'_>,
    pool: &mut Pool,
    prompt: &[u32],
    continuation: &Continuation,
) -> Result<Value, Box<dyn Error>> {
    let Continuation { sampling, tokens, stop, ignore_end, logprobs } = continuation;
    let mut session = session(model, pool, prompt.len().saturating_add(*tokens))?;
    let mut sampler = Sampler::new(*sampling, model.config.vocabulary)?;
    let mut ids = Vec::new();
    let mut steps = Vec::new();
    let mut bytes = Vec::new();
    session.feed(pool, prompt)?;
    let reason = loop {
        if ids.len() == *tokens {
            break "limit";
        }
        let token = sampler.choose(session.logits());
        if !ignore_end && tokenizer.ends().contains(&token) {
            break "end";
        }
        if let Some(count) = logprobs {
            steps.push(probabilities(session.logits(), token, *count));
        }
        ids.push(token);
        tokenizer.decode(token, &mut bytes);
        let find = |text: &String| bytes.windows(text.len()).position(|window| window == text.as_bytes());
        if let Some(position) = stop.iter().filter_map(find).min() {
            bytes.truncate(position);
            break "stop";
        }
        if ids.len() < *tokens {
            if session.position() == session.context() {
                break "context";
            }
            session.feed(pool, &[token])?;
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut answer = json!({ "ids": ids, "text": text, "stop": reason, "prompt_ids": prompt });
    if logprobs.is_some() {
        answer["logprobs"] = Value::Array(steps);
    }
    Ok(answer)
}

/// The natural logarithm of the probability of `token`, before any temperature, and of the `count` likeliest.
fn probabilities(logits: &[f32], token: u32, count: usize) -> Value {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
    let log_probability = |id: usize| f64::from(logits[id] - largest) - sum.ln();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let likeliest = order.into_iter().take(count);
    let top: Vec<Value> = likeliest.map(|id| json!({ "id": id, "logprob": log_probability(id) })).collect();
    json!({ "id": token, "logprob": log_probability(token as usize), "top": top })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_normalised_and_in_order() {
        let logits = [0.0, 3f32.ln(), 4f32.ln()];
        let step = probabilities(&logits, 1, 2);
        let close = |value: &Value, expected: f64| (value.as_f64().unwrap().exp() - expected).abs() < 1e-6;
        assert!(close(&step["logprob"], 0.375) && close(&step["top"][0]["logprob"], 0.5));
        assert_eq!((step["id"].as_u64(), step["top"][0]["id"].as_u64()), (Some(1), Some(2)));
        assert_eq!(step["top"].as_array().map(Vec::len), Some(2));
    }
}
