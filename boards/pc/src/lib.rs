//! What the PC board reads from firmware, apart from the machine so that host tests reach it.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod madt;
