//! A prompt continued step by step, with the probabilities of each step.

use std::error::Error;
use std::ops::ControlFlow;

use embodios_inference::cache::Limits;
use embodios_inference::generate::{Made, Request, Stop};
use embodios_inference::kernels::Kernels;
use embodios_inference::model::Model;
use embodios_inference::pool::Pool;
use embodios_inference::sample::Sampling;
use embodios_inference::session::{Session, SessionError};
use embodios_inference::tokenizer::{TokenReader, Tokenizer};
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
    let end = if *ignore_end { &[] } else { tokenizer.ends() };
    let request = Request { prompt, limit: *tokens, end, sampling: *sampling };
    let mut reader = TokenReader::new(tokenizer, stop);
    let (mut ids, mut steps, mut text) = (Vec::new(), Vec::new(), String::new());
    let report = embodios_inference::generate::generate(&mut session, pool, &request, &mut |made| {
        ids.push(made.token);
        if let Some(count) = logprobs {
            steps.push(probabilities(made, *count));
        }
        text += reader.push(made.token);
        if reader.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    text += &reader.finish();
    let reason = match report.stop {
        Stop::End(_) => "end",
        Stop::Limit => "limit",
        Stop::ContextFull => "context",
        Stop::Asked => "stop",
    };
    let mut answer = json!({ "ids": ids, "text": text, "stop": reason, "prompt_ids": prompt });
    if logprobs.is_some() {
        answer["logprobs"] = Value::Array(steps);
    }
    Ok(answer)
}

/// The natural logarithm of the probability of a token, before any temperature, and of the `count` likeliest.
fn probabilities(made: Made<'_>, count: usize) -> Value {
    let all = made.log_probabilities();
    let show = |(id, logprob): (u32, f32)| json!({ "id": id, "logprob": logprob });
    let top: Vec<Value> = all.likeliest(count).into_iter().map(show).collect();
    json!({ "id": made.token, "logprob": all.of(made.token), "top": top })
}
