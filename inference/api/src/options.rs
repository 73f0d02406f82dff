//! The fields that say what an answer has beside its text, and whether it streams.

use alloc::format;

use embodios_engine::json::{BadLine, Fields};
use serde_json::Value;

use crate::fields::{Ignored, whole};
use crate::messages::within;
use crate::{ApiError, Endpoint, Served};

/// Most choices of one prompt.
const MOST_CHOICES: i64 = 16;
/// Most likeliest tokens beside each one made.
const MOST_LIKELIEST: i64 = 20;
/// The name by which responses are asked for log-probabilities.
const INCLUDE_LOGPROBS: &str = "message.output_text.logprobs";

/// What an answer has, and how it comes.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// As events.
    pub stream: bool,
    /// These end with a count of tokens.
    pub include_usage: bool,
    /// And each has one.
    pub continuous_usage: bool,
    /// Choices of each prompt.
    pub choices: usize,
    /// Each token's log-probability, and those of the so many likeliest.
    pub log_probabilities: Option<usize>,
    /// The hash of each choice's logits.
    pub logits_hash: bool,
    /// The ids of tokens.
    pub tokens: bool,
    /// The prompt in front.
    pub echo: bool,
}

impl Options {
    /// Takes them from `fields`.
    ///
    /// # Errors
    /// When one is out of its range, by its name.
    pub fn read(endpoint: Endpoint, fields: &mut Fields, ignored: &mut Ignored) -> Result<Self, ApiError> {
        let mut options = Self {
            stream: fields.flag("stream")?,
            logits_hash: fields.flag("logits_hash")?,
            tokens: fields.flag("return_tokens")?,
            choices: up_to(fields, "n", 1, MOST_CHOICES)?.unwrap_or(1),
            ..Self::default()
        };
        options.read_stream_options(fields, ignored)?;
        match endpoint {
            Endpoint::Chat => {
                let wanted = fields.flag("logprobs")?;
                let likeliest = up_to(fields, "top_logprobs", 0, MOST_LIKELIEST)?;
                if !wanted && likeliest.is_some_and(|count| count > 0) {
                    return Err(ApiError::field("top_logprobs", "wants logprobs: true beside it"));
                }
                options.log_probabilities = wanted.then(|| likeliest.unwrap_or(0));
            }
            Endpoint::Completions => {
                options.log_probabilities = up_to(fields, "logprobs", 0, MOST_LIKELIEST)?;
                options.echo = fields.flag("echo")?;
                if options.echo && options.log_probabilities.is_some() {
                    let error = "log-probabilities are those of tokens made, so that echo goes without them";
                    return Err(ApiError::field("echo", error));
                }
                let best_of = up_to(fields, "best_of", 1, MOST_CHOICES)?;
                if best_of.is_some_and(|best| best != options.choices) {
                    return Err(ApiError::field(
                        "best_of",
                        "all choices are given; leave it out or equal to n",
                    ));
                }
            }
            Endpoint::Responses => {
                let likeliest = up_to(fields, "top_logprobs", 0, MOST_LIKELIEST)?;
                let wanted = includes_log_probabilities(fields)? || likeliest.is_some_and(|count| count > 0);
                options.log_probabilities = wanted.then(|| likeliest.unwrap_or(0));
            }
        }
        Ok(options)
    }

    fn read_stream_options(&mut self, fields: &mut Fields, ignored: &mut Ignored) -> Result<(), ApiError> {
        const NAME: &str = "stream_options";
        let mut fields = match fields.value(NAME) {
            None => return Ok(()),
            Some(Value::Object(object)) => Fields::of(object),
            Some(_) => return Err(ApiError::field(NAME, "wants an object")),
        };
        let mut flag = |name| fields.flag(name).map_err(|error| within(NAME, error));
        self.include_usage = flag("include_usage")?;
        self.continuous_usage = flag("continuous_usage_stats")? && self.include_usage;
        // Noise against those who measure events, which is of no use without encryption here.
        flag("include_obfuscation")?;
        fields.iter().for_each(|(name, _)| ignored.add("stream_options.", name));
        Ok(())
    }
}

fn up_to(fields: &mut Fields, name: &'static str, low: i64, high: i64) -> Result<Option<usize>, BadLine> {
    fields.take(name, &format!("a whole number from {low} to {high}"), |value| {
        usize::try_from(whole(value, low, high)?).ok()
    })
}

/// Whether `include` asks for log-probabilities. What else it names is of tools, images and reasoning, which no answer
/// has.
fn includes_log_probabilities(fields: &mut Fields) -> Result<bool, BadLine> {
    let wanted = fields.take("include", "a list of texts", |value| {
        let list = value.as_array()?;
        list.iter().all(Value::is_string).then(|| list.iter().any(|name| name == INCLUDE_LOGPROBS))
    });
    Ok(wanted?.unwrap_or(false))
}

/// Checks that the field `model` names the one that is served: by its name, or by none.
///
/// # Errors
/// When it names another.
pub fn check_model(served: &Served<'_>, fields: &mut Fields) -> Result<(), ApiError> {
    match fields.text("model")? {
        Some(name) => crate::models::check(served, &name),
        None => Ok(()),
    }
}
