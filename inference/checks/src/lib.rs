//! Checks of the engine by itself, on a host and in a guest: batch invariance, known answers, what holds for any model,
//! and workers on their cores.
//!
//! Owns random requests and their expected outcomes. No check is part of serving requests, but all have to be linked
//! into the guest, where the bits are to be the same.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod batch_invariance;
pub mod golden;
pub mod model;
pub mod pool;
