//! The engine as a program of the unprivileged level: start-up, panic, and the console on core 0.
//!
//! Owns nothing but the glue between the kernel's interface (`embodios-abi`) and the portable
//! `embodios-console`. Everything that differs between architectures is in [`arch`].
#![cfg_attr(not(test), no_std, no_main)]
#![cfg_attr(test, allow(dead_code, reason = "the tests run on a host, under another start-up"))]

extern crate alloc;

mod arch;
mod clock;
mod cores;
mod fault;
mod heap;
mod memory;
mod network;
mod platform;
mod selftest;
mod start;
mod system;
