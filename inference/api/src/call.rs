//! A call that makes tokens: its requests to the engine, and what has come of each.

use alloc::string::String;
use alloc::vec::Vec;

use embodios_engine::batch::{Outcome, Request};

use crate::logprobs::Chosen;
use crate::options::Options;
use crate::responses::Given;
use crate::{ApiError, Served, chat, completion, responses, stream};

/// Ways to ask for tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/responses`.
    Responses,
}

/// What a call does not say of itself.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// A number that no other call has.
    pub id: u64,
    /// Seconds since 1970.
    pub unix: u64,
}

/// A token made, as [`embodios_engine::batch::Event::Token`] has it.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// The token.
    pub token: u32,
    /// The logarithm of its probability, where asked for.
    pub log_probability: Option<f32>,
    /// The likeliest tokens and theirs, as many as asked for.
    pub likeliest: &'a [(u32, f32)],
    /// The text that is certain with it.
    pub text: &'a str,
}

/// A call that makes tokens.
#[derive(Debug)]
pub struct Call {
    pub(crate) endpoint: Endpoint,
    pub(crate) meta: Meta,
    pub(crate) model: String,
    pub(crate) fingerprint: String,
    pub(crate) options: Options,
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) choices: Vec<Choice>,
    /// What a response says of its request.
    pub(crate) given: Given,
    /// Events of a response so far.
    pub(crate) events: u64,
    pub(crate) requests: Vec<Request>,
    pub(crate) ignored: Vec<String>,
    failed: Option<ApiError>,
}

/// A prompt of a call.
#[derive(Debug)]
pub(crate) struct Prompt {
    pub tokens: usize,
    /// Its text, where the answer begins with it.
    pub echo: String,
}

/// A choice: one continuation of one prompt.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// Tokens made.
    pub made: usize,
    /// Tokens of its prompt that had passed through the model already.
    pub shared: usize,
    pub over: bool,
    /// All that came of it, where the answer does not stream.
    pub outcome: Option<Outcome>,
    /// Bytes of its text that have been sent.
    pub sent: usize,
    /// Characters of the tokens whose log-probabilities have been sent.
    pub characters: usize,
    /// Tokens that no event has told of yet.
    pub tokens: Vec<u32>,
    /// Their log-probabilities, where asked for.
    pub chosen: Vec<Chosen>,
}

impl Call {
    pub(crate) fn new(
        served: &Served<'_>,
        (endpoint, meta): (Endpoint, Meta),
        options: Options,
        (prompts, requests): (Vec<Prompt>, Vec<Request>),
        given: Given,
        ignored: Vec<String>,
    ) -> Self {
        let (model, fingerprint) = (served.name.into(), served.fingerprint.clone());
        let choices = requests.iter().map(|_| Choice::default()).collect();
        let (events, failed) = (0, None);
        Self {
            endpoint,
            meta,
            model,
            fingerprint,
            options,
            prompts,
            choices,
            given,
            events,
            requests,
            ignored,
            failed,
        }
    }

    /// The requests to submit, one for each choice: the index is the choice's number.
    pub fn take_requests(&mut self) -> Vec<Request> {
        core::mem::take(&mut self.requests)
    }

    /// Whether the answer is a stream of events.
    #[must_use]
    pub const fn streams(&self) -> bool {
        self.options.stream
    }

    /// Fields that nobody knows, safe to be named in a header.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Gives `out` the first events of a stream, each as a whole.
    pub fn begin(&mut self, out: &mut dyn FnMut(&str)) {
        if self.streams() {
            stream::begin(self, out);
        }
    }

    /// Takes note of a token of choice `choice`; gives `out` its event in a stream, if there is text with it.
    pub fn token(&mut self, served: &Served<'_>, choice: usize, token: Token<'_>, out: &mut dyn FnMut(&str)) {
        if self.streams() && self.goes_on(choice) {
            stream::token(self, served, choice, token, out);
        }
    }

    /// Takes note of the end of choice `choice`. In a stream gives `out` what was held back and the choice's last
    /// event; with the last choice, also what ends the stream. A choice that failed ends all of it by an error.
    pub fn finished(
        &mut self,
        served: &Served<'_>,
        choice: usize,
        outcome: Outcome,
        out: &mut dyn FnMut(&str),
    ) {
        if !self.goes_on(choice) {
            return;
        }
        let streams = self.streams();
        if let Some(error) = ApiError::of(&outcome.finish) {
            if streams {
                stream::failed(self, &error, out);
            }
            self.failed = Some(error);
            return;
        }
        if let Some(one) = self.choices.get_mut(choice) {
            (one.made, one.shared, one.over) = (outcome.tokens.len(), outcome.shared_tokens, true);
        }
        if streams {
            stream::finished(self, served, choice, &outcome, out);
        } else if let Some(one) = self.choices.get_mut(choice) {
            one.outcome = Some(outcome);
        }
    }

    /// The prompt of choice `choice`.
    pub(crate) fn prompt_of(&self, choice: usize) -> Option<&Prompt> {
        self.prompts.get(choice / self.options.choices.max(1))
    }

    /// Whether choice `choice` is there and not over.
    fn goes_on(&self, choice: usize) -> bool {
        self.failed.is_none() && self.choices.get(choice).is_some_and(|choice| !choice.over)
    }

    /// Whether nothing more comes: all choices are over, or one has failed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.failed.is_some() || self.choices.iter().all(|choice| choice.over)
    }

    /// The body of a call that is over and does not stream.
    ///
    /// # Errors
    /// The error by which a choice ended.
    pub fn answer(&self, served: &Served<'_>) -> Result<Vec<u8>, ApiError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let outcomes: Option<Vec<_>> = self.choices.iter().map(|choice| choice.outcome.as_ref()).collect();
        let outcomes = outcomes.ok_or_else(ApiError::unfinished)?;
        let answer = match self.endpoint {
            Endpoint::Chat => chat::answer(self, served, &outcomes),
            Endpoint::Completions => completion::answer(self, served, &outcomes),
            Endpoint::Responses => responses::answer(self, served, &outcomes),
        };
        Ok(serde_json::to_vec(&answer).unwrap_or_default())
    }
}
