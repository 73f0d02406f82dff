//! Connections: what a server asks of a network, and the TCP/IP stack that gives it over frames.
//!
//! Knows no protocol above TCP and no device below a frame but the rings of virtio-net, whose descriptors the kernel
//! owns. Protocols are the crate `smoltcp`'s; which frames it sees, when a socket exists and how long, and which
//! addresses are taken, is decided here.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod address;
mod addressing;
mod device;
mod endless;
mod filter;
mod frames;
mod network;
mod rings;
mod routers;
mod settings;
mod stack;
mod table;

pub use address::{Address, AddressError, MAX_STATIC};
pub use frames::Frames;
pub use network::{Connection, Link, Network, Received};
pub use rings::{Area, BUFFER_BYTES, BUFFERS, Broken, Outgoing, RingFigures, Rings, Shared};
pub use settings::{Settings, StackError};
pub use stack::{Figures, Stack};
