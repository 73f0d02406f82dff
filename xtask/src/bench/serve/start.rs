//! Starts: from QEMU's start to the first byte of a streamed answer, with what lies between.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Instant;

use super::console::short_request;
use super::figures::milliseconds;
use super::served::{self, Served};
use crate::bench::median;
use crate::client::{Client, PATIENCE, get};
use crate::serve::plan::Plan;

/// Milliseconds of one boot, or the medians of several; all but the kernel's since QEMU's start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StartTimes {
    /// From the kernel's entry to the console, by its own clock.
    pub kernel_ms: f64,
    /// The console is there.
    pub console_ms: f64,
    /// The machine has an address, and says that it serves.
    pub serving_ms: f64,
    /// A connection is accepted.
    pub connected_ms: f64,
    /// `/health` is answered with 200.
    pub healthy_ms: f64,
    /// The first event of a stream is there, of a request sent after that.
    pub first_byte_ms: f64,
}

/// Boots so many guests one after another.
///
/// # Errors
/// When one does not serve.
pub fn measure(plan: &Plan<'_>, address: SocketAddr, boots: u32) -> Result<Vec<StartTimes>> {
    (0..boots).map(|_| served::with(plan, address, ask)).collect()
}

/// Asks a guest that has just begun to serve.
fn ask(served: Served) -> Result<StartTimes> {
    let since = |time: Instant| milliseconds(served.started, time);
    let mut client = Client::connect_alone(served.address, PATIENCE)?;
    let connected = Instant::now();
    let health = client.ask(get("/health", ""))?;
    let healthy = Instant::now();
    ensure!(health.status == 200, "the first answer after a boot is {}", health.status);
    client.send(short_request(1))?;
    ensure!(client.head()?.status == 200, "the first stream after a boot is refused");
    client.chunk()?.context("the first stream after a boot is empty")?;
    let first_byte = Instant::now();
    while client.chunk()?.is_some() {}
    Ok(StartTimes {
        kernel_ms: served.console_ms,
        console_ms: since(served.console),
        serving_ms: since(served.serving),
        connected_ms: since(connected),
        healthy_ms: since(healthy),
        first_byte_ms: since(first_byte),
    })
}

impl StartTimes {
    /// The median of each figure; `None` of no boots.
    pub fn medians(boots: &[Self]) -> Option<Self> {
        let figure = |select: fn(&Self) -> f64| median(boots.iter().map(select).collect());
        (!boots.is_empty()).then(|| Self {
            kernel_ms: figure(|boot| boot.kernel_ms),
            console_ms: figure(|boot| boot.console_ms),
            serving_ms: figure(|boot| boot.serving_ms),
            connected_ms: figure(|boot| boot.connected_ms),
            healthy_ms: figure(|boot| boot.healthy_ms),
            first_byte_ms: figure(|boot| boot.first_byte_ms),
        })
    }
}
