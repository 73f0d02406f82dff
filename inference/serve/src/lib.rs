//! The server: connections, routes, the queue in front of a batch, figures of what it does.
//!
//! Does no input or output but through the trait [`Network`](embodios_net::Network), and computes nothing: its owner
//! takes [`Order`]s to a batch and hands back what comes of them, as [`Feed`] does.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod access;
mod calls;
mod errors;
mod feed;
mod figures;
mod jobs;
mod live;
mod metrics;
mod page;
mod peer;
mod recent;
mod reply;
mod requests;
mod routes;
mod server;
mod settings;
mod shared;

pub use embodios_http::SECOND;
pub use feed::Feed;
pub use figures::{CoreTimes, Figures};
pub use jobs::{JobId, Order};
pub use page::Page;
pub use reply::Numbers;
pub use server::Server;
pub use settings::{Clock, Settings};
