//! Connections: what a server asks of a network, and the TCP/IP stack that gives it over frames.
//!
//! Knows no protocol above TCP and no device below a frame.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod network;

pub use network::{Connection, Network, Received};
