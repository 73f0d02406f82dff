//! What the device tree of the `virt` machine says. Pure: bytes in, a [`Machine`] out, so that it is
//! tested on a development machine. The board itself is `main.rs`.
#![no_std]
#![forbid(unsafe_code)]

mod cores;
mod machine;
mod places;

#[cfg(test)]
mod tests;

pub use cores::{Cores, MAX_CORES, Refusal};
pub use machine::{Machine, Serial, TreeError};
