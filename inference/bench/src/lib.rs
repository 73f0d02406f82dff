//! What the engine measures of itself, in a guest and on a host: a module for each bench.
//!
//! Owns what is run and timed, the figures of it, and how these read as text and as JSON, whose fields
//! `cargo xtask bench` reads. They are no part of what serves anybody, but have to be linked into the guest, where they
//! measure. Who asks for a bench, and where its figures go, is the console's.
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
    /// What figures call it.
    pub name: &'m str,
    /// The file's weights.
    pub model: &'m Model<'m>,
    /// Its tokenizer.
    pub tokenizer: &'m Tokenizer<'m>,
    /// What computes.
    pub kernels: Kernels,
}

/// Where a bench gets its workers, one pool after the other.
pub trait Pools {
    /// Why there is no such pool, or why a bench on it failed.
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
