//! A prompt continued step by step, with the probabilities of each step.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use embodios_kernels::Kernels;
use embodios_pool::Pool;
use embodios_text::sample::Sampling;
use embodios_text::tokenizer::TokenReader;
use serde_json::{Value, json};

use super::{BadLine, Requests};
use crate::cache::{self, Limits};
use crate::generate::{self, Made, Request, Stop};
use crate::model::Model;
use crate::session::{Session, SessionError};

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
pub fn session<'m>(
    model: &'m Model<'m>,
    kernels: Kernels,
    pool: &Pool,
    tokens: usize,
) -> Result<Session<'m>, SessionError> {
    let budget = cache::budget(&pool.platform().memory());
    let context = Some(tokens.clamp(1, model.config.context));
    Session::new(model, kernels, Limits { context, budget })
}

/// Continues `prompt`.
///
/// # Errors
/// When the prompt does not fit the model's context or the cache the memory.
pub fn generate(
    requests: &Requests<'_>,
    pool: &mut Pool,
    prompt: &[u32],
    continuation: &Continuation,
) -> Result<Value, BadLine> {
    let &Requests { model, tokenizer, kernels, .. } = requests;
    let Continuation { sampling, tokens, stop, ignore_end, logprobs } = continuation;
    let room = prompt.len().saturating_add(*tokens);
    let mut session = session(model, kernels, pool, room).map_err(BadLine::whole)?;
    let end = if *ignore_end { &[] } else { tokenizer.ends() };
    let request = Request { prompt, limit: *tokens, end, sampling: *sampling };
    let mut reader = TokenReader::new(tokenizer, stop);
    let (mut ids, mut steps, mut text) = (Vec::new(), Vec::new(), String::new());
    let report = generate::generate(&mut session, pool, &request, &mut |made| {
        ids.push(made.token);
        if let Some(count) = logprobs {
            steps.push(probabilities(made, *count));
        }
        text += reader.push(made.token);
        if reader.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let report = report.map_err(BadLine::whole)?;
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
