//! The OpenAI API: the meaning of its requests' fields, and the form of its answers and streams.
//!
//! Does no input or output, and knows no connections: a body becomes a [`Call`], which gives out the engine's requests,
//! takes their events and gives out the answer or the events of a stream. Bodies may say anything: none makes it panic.
//!
//! What was decided where clients and servers differ:
//!
//! - *Fields.* Every known one is read, harmless for a reason, or refused by its name where it asks for something that
//!   is not done (`fields/table.rs`). One that nobody knows is no error; [`Call::ignored`] names it. `null` is nothing.
//!   A name that is there twice is an error.
//! - *Model.* The name of the one that is served, `default`, an empty one and none mean it; another is an error.
//!   Answers carry the served name.
//! - *Sampling.* Temperature 1 when nothing is said. The same seed gives the same answer, bit for bit; with none, or
//!   -1, each call has one of its own. Choice `i` of `n` has the seed plus `i`, so that the first is that of `n: 1`.
//!   Bias comes first (-100 bans), then the penalty of tokens that came before in prompt and answer (`repeat_last_n`,
//!   64), then those of tokens made (presence, frequency); then top-k, top-p, min-p. Log-probabilities are the model's
//!   own, before all of this.
//! - *Length.* `max_completion_tokens` goes before `max_tokens`. None, or -1: to the end of the context; a completion
//!   has 16. 0 is taken: the prompt is computed, and the answer is empty.
//! - *A prompt that does not fit* is an error with both numbers; an answer that does not is cut, by `length`.
//! - *Chats* whose last turn is the assistant's go on with it (`messages.rs`); the answer is what comes behind it.
//! - *Completions* take special tokens in a prompt's text as such: who sends one has applied the template.
//! - *Streams* have a chunk a token (`stream.rs`); an error is their last event, without `[DONE]`.
//! - *Counts.* A prompt counts once, however many choices it has. The token that ends an answer is not counted.
//! - *Responses* are chats in another form; nothing is kept.
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
