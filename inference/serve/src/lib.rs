//! The server: connections, routes, the queue in front of a batch, figures of what it does.
//!
//! Does no input or output but through the trait `Network`, and computes nothing.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
