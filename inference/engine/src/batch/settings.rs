//! The limits of a batch.

use super::{Request, Strategy};
use crate::forward::CHUNK;
use crate::model::Model;

/// Limits of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of keys and values.
    pub budget: usize,
    /// Positions of a request: `None` for what the model was trained for.
    pub context: Option<usize>,
    /// Most requests at the same time, up to 64.
    pub active: usize,
    /// Most tokens of a step, up to 64; no fewer than there are requests at the same time.
    pub chunk: usize,
    /// Most requests that wait.
    pub waiting: usize,
    /// The strategy of steps; `None` to choose.
    pub strategy: Option<Strategy>,
}

impl Settings {
    /// Up to 32 requests at once, and any number that wait.
    #[must_use]
    pub const fn new(budget: usize) -> Self {
        Self { budget, context: None, active: 32, chunk: CHUNK, waiting: usize::MAX, strategy: None }
    }

    /// Room for nothing but `request`: a batch of one.
    #[must_use]
    pub fn single(model: &Model<'_>, budget: usize, request: &Request) -> Self {
        let positions = request.prompt.len().saturating_add(request.limit);
        let context = positions.clamp(1, model.config.context);
        Self { context: Some(context), active: 1, chunk: CHUNK.min(context), ..Self::new(budget) }
    }
}
