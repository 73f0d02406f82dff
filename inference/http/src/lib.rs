//! HTTP/1.1 (RFC 9112) for one connection of a server: requests from bytes, answers to bytes.
//!
//! Does no input or output, and knows no routes. What a [`Connection`] holds is bounded by its [`Limits`], whatever the
//! peer sends or does not read, and no bytes make it panic.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod answer;
mod body;
mod buffer;
mod chunked;
mod connection;
mod date;
mod fault;
mod framing;
mod head;
mod limits;
mod scan;
mod target;
mod timing;

pub use answer::Answer;
pub use connection::{Connection, Fate, Next, TooSlow};
pub use date::imf_fixdate;
pub use fault::Fault;
pub use head::{Head, Method};
pub use limits::{Limits, SECOND};
pub use target::percent_decoded;
