//! A call from the body of its request.

use alloc::string::String;
use alloc::vec::Vec;

use embodios_engine::batch::Request;
use embodios_engine::json::Fields;
use embodios_text::sample::Sampling;

use crate::call::Prompt;
use crate::fields::{self, Ignored};
use crate::messages::{self, End};
use crate::options::{self, Options};
use crate::responses::{self, Given};
use crate::sampling::Choosing;
use crate::{ApiError, Call, Endpoint, Meta, Served, prompt};

/// Most choices of a call.
const MOST_CHOICES: usize = 128;

impl Call {
    /// The call that `body` is.
    ///
    /// # Errors
    /// [`ApiError`], where it is none, or asks for what this server does not give.
    pub fn parse(served: &Served<'_>, endpoint: Endpoint, body: &[u8], meta: Meta) -> Result<Self, ApiError> {
        let mut ignored = Ignored::default();
        let mut fields = fields::known(endpoint, body, &mut ignored)?;
        options::check_model(served, &mut fields)?;
        let options = Options::read(endpoint, &mut fields, &mut ignored)?;
        let choosing = Choosing::read(served, endpoint, &mut fields, meta)?;
        let mut given = Given { limit: choosing.limit, sampling: choosing.sampling, ..Given::default() };
        let (name, prompts) = match endpoint {
            Endpoint::Chat => ("messages", Vec::from([chat(served, &mut fields, &mut ignored)?])),
            Endpoint::Completions => {
                let most = MOST_CHOICES / options.choices;
                ("prompt", prompt::read(served, fields.value("prompt"), most)?)
            }
            Endpoint::Responses => {
                let turns = responses::turns(&mut fields, &mut given, &mut ignored)?;
                let text = messages::render(served, "input", &turns, End::default())?;
                ("input", Vec::from([messages::encode(served, "input", &text)?]))
            }
        };
        let mut requests = Vec::new();
        for tokens in &prompts {
            prompt::check(served, name, tokens)?;
            for choice in 0..options.choices {
                // Answers to one prompt of a list are those to it alone.
                let choice = if choosing.seeded { choice } else { requests.len() };
                requests.push(request(served, &options, &choosing, tokens, choice));
            }
        }
        let echo = |tokens: &[u32]| match options.echo {
            true => prompt::text(served, tokens),
            false => String::new(),
        };
        let prompts =
            prompts.iter().map(|prompt| Prompt { tokens: prompt.len(), echo: echo(prompt) }).collect();
        Ok(Self::new(served, (endpoint, meta), options, (prompts, requests), given, ignored.0))
    }
}

/// The tokens of a chat.
fn chat(served: &Served<'_>, fields: &mut Fields, ignored: &mut Ignored) -> Result<Vec<u32>, ApiError> {
    let list = fields.value("messages").ok_or_else(|| ApiError::field("messages", "is missing"))?;
    let turns = messages::read("messages", list, ignored)?;
    let text = messages::render(served, "messages", &turns, End::read(fields)?)?;
    messages::encode(served, "messages", &text)
}

/// The request of choice `choice` of a prompt, which fits.
fn request(
    served: &Served<'_>,
    options: &Options,
    choosing: &Choosing,
    prompt: &[u32],
    choice: usize,
) -> Request {
    let Choosing { sampling, bias, stops, end, limit, .. } = choosing;
    // The last token is not taken any more.
    let room = served.context.saturating_sub(prompt.len()).saturating_add(1);
    Request {
        prompt: prompt.into(),
        limit: limit.unwrap_or(room).min(room),
        end: end.clone(),
        sampling: Sampling { seed: sampling.seed.wrapping_add(choice as u64), ..*sampling },
        bias: bias.clone(),
        stops: stops.clone(),
        log_probabilities: options.log_probabilities,
    }
}
