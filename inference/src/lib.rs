//! Language-model inference, portable and `no_std`.
//!
//! Knows no kernel: everything it needs from outside is the [`platform::Platform`] trait.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod activations;
pub mod batch;
pub mod cache;
pub mod company;
pub mod console;
pub mod forward;
mod found;
pub mod generate;
pub mod golden;
pub mod json;
pub mod kernels;
pub mod matrix;
pub mod model;
pub mod platform;
pub mod pool;
pub mod rope;
pub mod session;
mod sync;
pub mod tiles;
pub mod vector;
