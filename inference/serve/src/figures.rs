//! Figures that only the owner of the batch and the platform know.

use alloc::vec::Vec;

/// Times of a core as a worker of the pool, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreTimes {
    /// Its number.
    pub core: usize,
    /// In jobs.
    pub working: u64,
    /// Looking for one, or for the others' end.
    pub waiting: u64,
    /// Asleep for the same.
    pub asleep: u64,
}

/// Figures as of one moment. Counts only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Blocks of keys and values that requests have.
    pub blocks_used: usize,
    /// Blocks that are retained as prefixes, and no request has.
    pub blocks_retained: usize,
    /// Blocks that there is memory for.
    pub blocks: usize,
    /// Positions of a block.
    pub block_positions: usize,
    /// Tokens of prompts that were looked for among prefixes.
    pub prefix_queries: u64,
    /// Those that were found there.
    pub prefix_hits: u64,
    /// Times that a request was preempted.
    pub preemptions: u64,
    /// Steps of the batch.
    pub steps: usize,
    /// Starts of the engine after the first.
    pub restarts: u64,
    /// Each worker's core.
    pub cores: Vec<CoreTimes>,
    /// Bytes of memory of the machine.
    pub memory: u64,
    /// Bytes of it that are free.
    pub memory_free: u64,
    /// Bytes that the engine uses: what came back to its heap is none of them.
    pub engine_used: u64,
    /// Bytes of all blocks of keys and values made so far, which the engine keeps.
    pub block_bytes: u64,
}
