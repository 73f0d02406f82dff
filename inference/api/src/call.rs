//! A call that makes tokens.

use alloc::string::String;
use alloc::vec::Vec;

use embodios_engine::batch::{Outcome, Request};

use crate::{ApiError, Served};

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
    requests: Vec<Request>,
}

impl Call {
    /// The call that `body` is.
    ///
    /// # Errors
    /// [`ApiError`], where it is none, or asks for what this server does not give.
    pub fn parse(
        _served: &Served<'_>,
        _endpoint: Endpoint,
        _body: &[u8],
        _meta: Meta,
    ) -> Result<Self, ApiError> {
        Err(ApiError::not_supported("to be written"))
    }

    /// The requests to submit, one for each choice: the index is the choice's number.
    pub fn take_requests(&mut self) -> Vec<Request> {
        core::mem::take(&mut self.requests)
    }

    /// Whether the answer is a stream of events.
    #[must_use]
    pub const fn streams(&self) -> bool {
        false
    }

    /// Fields that nobody knows, safe to be named in a header.
    #[must_use]
    pub const fn ignored(&self) -> &[String] {
        &[]
    }

    /// Gives `out` the first events of a stream.
    pub fn begin(&mut self, _out: &mut dyn FnMut(&str)) {}

    /// Takes note of a token of choice `choice`.
    pub fn token(&mut self, _: &Served<'_>, _choice: usize, _token: Token<'_>, _out: &mut dyn FnMut(&str)) {}

    /// Takes note of the end of choice `choice`.
    pub fn finished(
        &mut self,
        _served: &Served<'_>,
        _choice: usize,
        _outcome: Outcome,
        _out: &mut dyn FnMut(&str),
    ) {
    }

    /// Whether nothing more comes: all choices are over, or one has failed.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        false
    }

    /// The body of a call that is over and does not stream.
    ///
    /// # Errors
    /// The error by which a choice ended.
    pub fn answer(&self, _served: &Served<'_>) -> Result<Vec<u8>, ApiError> {
        Err(ApiError::not_supported("to be written"))
    }
}
