//! The engine: a model, its forward pass, its cache of keys and values, batches of requests, and JSON lines.
//!
//! Knows no console and no kernel; everything it needs from outside is [`embodios_pool::platform::Platform`]. Files and
//! requests may say anything, so that nothing here is `unsafe`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod batch;
pub mod cache;
pub mod evaluate;
pub mod forward;
pub mod json;
pub mod logits_hash;
pub mod model;
pub mod prompt;
pub mod rope;
