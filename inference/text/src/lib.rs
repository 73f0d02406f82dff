//! Text to tokens and back: tokenizers, chat templates, the choice of the next token, and text for a terminal.
//!
//! Reads a model file's tables and what users and models write; computes no layer. Bytes come from anywhere, so that
//! nothing here is `unsafe`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod chat;
pub mod sample;
pub mod terminal;
pub mod tokenizer;
