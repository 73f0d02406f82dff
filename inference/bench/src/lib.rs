//! Benches that the engine runs of itself, in a guest and on a host: a module for each.
//!
//! Owns the runs and their timing, the figures, and these as text and as JSON, whose fields `cargo xtask bench` reads.
//! No bench is part of serving requests, but all have to be linked into the guest, where they measure. Commands that
//! start a bench, and the output of its figures, are the console's.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod batch;
mod error;
pub mod jitter;
pub mod scaling;
mod spread;
pub mod switch;

use alloc::string::String;

use embodios_engine::model::Model;
use embodios_kernels::Kernels;
use embodios_pool::Pool;
use embodios_text::tokenizer::Tokenizer;
use serde_json::Value;

pub use error::BenchError;

/// The model that is measured.
#[derive(Clone, Copy)]
pub struct Subject<'m> {
    /// Its name in figures.
    pub name: &'m str,
    /// The file's weights.
    pub model: &'m Model<'m>,
    /// Its tokenizer.
    pub tokenizer: &'m Tokenizer<'m>,
    /// The kernels.
    pub kernels: Kernels,
}

/// Source of a bench's workers, one pool after the other.
pub trait Pools {
    /// Reason that there is no such pool, or that a bench on it failed.
    type Error: From<BenchError>;

    /// Workers that there can be at most.
    fn most(&self) -> usize;

    /// A pool of so many workers, by default of all.
    ///
    /// # Errors
    /// When there cannot be so many, or the platform refuses.
    fn pool(&mut self, workers: Option<usize>) -> Result<&mut Pool, Self::Error>;
}

/// Figures that can be shown.
pub trait Report {
    /// For people, with the end of the last line.
    fn text(&self) -> String;

    /// For programs.
    fn json(&self) -> Value;
}
