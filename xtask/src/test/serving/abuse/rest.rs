//! What a machine at rest has in use: memory, connections, KV blocks.

use anyhow::{Result, ensure};
use std::fmt;

use crate::test::serving::server::Server;

/// Bytes that may be in use beyond what was before. By requests that are the same again: a page, less than a byte for
/// each of ten thousand.
pub const SAME: f64 = 4096.0;
/// By any requests: buffers of the batch are kept as large as they were ever needed.
pub const ANY: f64 = 512.0 * 1024.0;
/// Part of a KV block's bytes that the engine needs beside it, to find it by its tokens.
const BESIDE: f64 = 64.0;

/// Memory of a machine at rest, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    /// What the engine uses, without KV blocks.
    engine: f64,
    /// KV blocks, which the engine keeps once it has made them.
    blocks: f64,
    /// Free memory of the machine: the engine keeps what it was granted.
    free: f64,
}

impl Rest {
    /// Waits until nothing is under way, and only the connection that asks is open.
    ///
    /// # Errors
    /// When that does not come.
    pub fn of(server: &Server) -> Result<Self> {
        server.until_idle()?;
        server.until("all connections are gone", || Ok(server.metric(&["embodios_connections{"])? == 1.0))?;
        let blocks = server.metric(&["embodios_kv_blocks_bytes"])?;
        Ok(Self {
            engine: server.metric(&["embodios_engine_bytes"])? - blocks,
            blocks,
            free: server.metric(&["embodios_memory_free_bytes"])?,
        })
    }

    /// Waits for the memory that connections keep for a while after their ends, until no more is in use than `self`
    /// says, but for so many bytes. Result: what is in use then.
    ///
    /// # Errors
    /// When more stays in use.
    pub fn again(&self, server: &Server, more: f64) -> Result<Self> {
        let mut now = Self::of(server)?;
        let result = server.until("memory is where it was", || {
            now = Self::of(server)?;
            Ok(now.engine <= self.engine + more + (now.blocks - self.blocks).max(0.0) / BESIDE)
        });
        ensure!(result.is_ok(), "{self} before, and {now} now");
        Ok(now)
    }
}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes in use beside {} of KV blocks, {} free", self.engine, self.blocks, self.free)
    }
}
