//! A request in a session of its own: what it must come to in any company.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::ControlFlow;

use embodios_engine::batch::{Finish, Outcome, Request};
use embodios_engine::cache::Limits;
use embodios_engine::generate::{self, Stop, generate};
use embodios_engine::model::Model;
use embodios_engine::session::Session;
use embodios_kernels::Kernels;
use embodios_pool::Pool;
use embodios_text::tokenizer::{TokenReader, Tokenizer};

/// Bytes of keys and values.
const BUDGET: usize = 1 << 28;

/// What a request comes to alone.
#[derive(Clone, Debug)]
pub struct Alone {
    /// Why it ended.
    pub stop: Stop,
    /// Tokens made.
    pub tokens: Vec<u32>,
    /// The logarithm of each one's probability.
    pub log_probabilities: Vec<f32>,
    /// Their text, up to a stop text.
    pub text: String,
    /// [`generate::LogitsHash`] of all logits that tokens were chosen from.
    pub logits_hash: u64,
}

impl Alone {
    /// Runs it.
    ///
    /// # Errors
    /// When there is no memory for it or its tokens are not the model's.
    pub fn of(
        model: &Model<'_>,
        tokenizer: &Tokenizer<'_>,
        kernels: Kernels,
        pool: &mut Pool,
        request: &Request,
    ) -> Result<Self, String> {
        let Request { prompt, limit, end, sampling, stops, .. } = request;
        let context = (prompt.len() + limit).min(model.config.context);
        let limits = Limits { context: Some(context), budget: BUDGET };
        let mut session = Session::new(model, kernels, limits).map_err(|error| error.to_string())?;
        let single = generate::Request { prompt, limit: *limit, end, sampling: *sampling };
        let mut reader = TokenReader::new(tokenizer, stops.clone());
        let (mut tokens, mut log_probabilities, mut text) = (Vec::new(), Vec::new(), String::new());
        let report = generate(&mut session, pool, &single, &mut |made| {
            tokens.push(made.token);
            log_probabilities.push(made.log_probabilities().of(made.token));
            text += reader.push(made.token);
            if reader.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let report = report.map_err(|error| error.to_string())?;
        text += &reader.finish();
        Ok(Self { stop: report.stop, tokens, log_probabilities, text, logits_hash: report.logits_hash })
    }

    /// Whether the same came of it in a batch, or the beginning of that where it was cancelled.
    #[must_use]
    pub fn is_same(&self, outcome: &Outcome) -> bool {
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let made = outcome.tokens.len();
        let ended = match outcome.finish {
            Finish::Cancelled => made <= self.tokens.len(),
            Finish::Done(stop) => {
                stop == self.stop
                    && made == self.tokens.len()
                    && outcome.logits_hash == self.logits_hash
                    && outcome.text == self.text
            }
            Finish::Refused(_) | Finish::Failed(_) => false,
        };
        ended
            && outcome.tokens == self.tokens[..made]
            && bits(&outcome.log_probabilities) == bits(&self.log_probabilities[..made])
    }
}
