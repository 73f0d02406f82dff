//! The OpenAI API: the meaning of its requests' fields, and the form of its answers and streams.
//!
//! Does no input or output, and knows no connections.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod call;
mod chat;
mod completion;
mod error;
mod fields;
mod logprobs;
mod messages;
mod models;
mod options;
mod parse;
mod prompt;
mod responses;
mod sampling;
mod stream;
mod tokens;
mod usage;

use alloc::string::String;

use embodios_engine::json::Responder;

pub use call::{Call, Endpoint, Meta, Token};
pub use error::ApiError;
pub use models::{embeddings, model, models, props};
pub use tokens::{apply_template, detokenize, tokenize};

/// A model that is served.
pub struct Served<'m> {
    /// Its weights, tokenizer and template.
    pub responder: Responder<'m>,
    /// Its name, which answers carry.
    pub name: &'m str,
    /// Names model, arithmetic and build: where it is equal, a seed gives the same answer.
    pub fingerprint: String,
    /// Seconds since 1970 when it was loaded.
    pub since: u64,
    /// Positions of a request.
    pub context: usize,
}
