//! Language-model inference, portable and `no_std`.
//!
//! Knows no kernel: everything it needs from outside is the [`platform::Platform`] trait.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod chat;
pub mod gguf;
pub mod platform;
pub mod tokenizer;
