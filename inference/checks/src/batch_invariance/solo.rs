//! The solo run of a request, by the shortest loop that there is: the oracle for any batch, that of one included.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use embodios_engine::batch::{Finish, Outcome, Request};
use embodios_engine::cache::Limits;
use embodios_engine::evaluate::{EvaluateError, Evaluator};
use embodios_engine::logits_hash::LogitsHash;
use embodios_engine::model::Model;
use embodios_kernels::Kernels;
use embodios_pool::Pool;
use embodios_text::sample::{LogProbabilities, Sampler};
use embodios_text::tokenizer::{TokenReader, Tokenizer};

/// Bytes of keys and values.
const BUDGET: usize = 1 << 28;

/// The outcome of a solo run.
#[derive(Clone, Debug)]
pub struct Solo {
    /// The reason for its end.
    pub finish: Finish,
    /// Tokens made.
    pub tokens: Vec<u32>,
    /// The logarithm of each one's probability.
    pub log_probabilities: Vec<f32>,
    /// The likeliest tokens beside each one, with theirs.
    pub likeliest: Vec<(u32, f32)>,
    /// Their text, up to a stop text.
    pub text: String,
    /// [`LogitsHash`] of all logits that tokens were chosen from.
    pub logits_hash: u64,
}

impl Solo {
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
        let Request { prompt, limit, end, sampling, bias, stops, log_probabilities } = request;
        let config = &model.config;
        let context = (prompt.len() + limit).min(config.context);
        let limits = Limits { context: Some(context), budget: BUDGET };
        let mut evaluator = Evaluator::new(model, kernels, limits).map_err(|error| error.to_string())?;
        let sampler = Sampler::with_bias(*sampling, bias, config.vocabulary);
        let mut sampler = sampler.map_err(|error| error.to_string())?;
        let mut reader = TokenReader::new(tokenizer, stops.clone());
        let mut hash = LogitsHash::new();
        let mut solo = Self {
            finish: Finish::Limit,
            tokens: Vec::new(),
            log_probabilities: Vec::new(),
            likeliest: Vec::new(),
            text: String::new(),
            logits_hash: 0,
        };
        let failed = |error: EvaluateError| error.to_string();
        sampler.accept(prompt);
        evaluator.feed(pool, prompt).map_err(failed)?;
        while solo.tokens.len() < *limit {
            hash.update(evaluator.logits());
            let token = sampler.choose(evaluator.logits());
            if end.contains(&token) {
                solo.finish = Finish::End(token);
                break;
            }
            sampler.chosen(token);
            if let Some(count) = *log_probabilities {
                let all = LogProbabilities::new(evaluator.logits());
                solo.log_probabilities.push(all.of(token));
                all.append_likeliest(count, &mut solo.likeliest);
            }
            solo.tokens.push(token);
            solo.text += reader.push(token);
            if reader.stopped() {
                solo.finish = Finish::StopText;
                break;
            }
            if solo.tokens.len() == *limit {
                break;
            }
            if evaluator.position() == evaluator.context() {
                solo.finish = Finish::ContextFull;
                break;
            }
            evaluator.feed(pool, &[token]).map_err(failed)?;
        }
        solo.text += &reader.finish();
        solo.logits_hash = hash.value();
        Ok(solo)
    }

    /// Whether an outcome in a batch is the same, or the beginning of it where it was cancelled.
    #[must_use]
    pub fn is_same(&self, outcome: &Outcome) -> bool {
        let bits = |value: f32| value.to_bits();
        let made = outcome.tokens.len();
        if made > self.tokens.len() {
            return false;
        }
        let ended = match outcome.finish {
            Finish::Cancelled => true,
            finish => {
                finish == self.finish
                    && made == self.tokens.len()
                    && outcome.logits_hash == self.logits_hash
                    && outcome.text == self.text
            }
        };
        let log_probabilities = outcome.log_probabilities.iter().zip(&self.log_probabilities);
        let likeliest = outcome.likeliest.iter().zip(&self.likeliest);
        let counts = |list: usize, whole: usize| list * self.tokens.len() == whole * made;
        ended
            && outcome.tokens == self.tokens[..made]
            && counts(outcome.log_probabilities.len(), self.log_probabilities.len())
            && counts(outcome.likeliest.len(), self.likeliest.len())
            && log_probabilities.into_iter().all(|(&found, &own)| bits(found) == bits(own))
            && likeliest.into_iter().all(|(found, own)| found.0 == own.0 && bits(found.1) == bits(own.1))
    }
}
