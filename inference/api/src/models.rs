//! What is served, as `/v1/models` and `/props` tell it.

use alloc::vec::Vec;

use crate::{ApiError, Served};

/// The answer of `/v1/models`.
#[must_use]
pub fn models(_served: &Served<'_>) -> Vec<u8> {
    Vec::new()
}

/// The answer of `/v1/models/ID`.
///
/// # Errors
/// When the model that is served has another name.
pub fn model(_served: &Served<'_>, _id: &str) -> Result<Vec<u8>, ApiError> {
    Err(ApiError::not_supported("to be written"))
}

/// The answer of `/props`.
#[must_use]
pub fn props(_served: &Served<'_>) -> Vec<u8> {
    Vec::new()
}

/// The answer of `/v1/embeddings`.
///
/// # Errors
/// Always: no model here has any.
pub fn embeddings(_served: &Served<'_>, _body: &[u8]) -> Result<Vec<u8>, ApiError> {
    Err(ApiError::not_supported("this server makes no embeddings"))
}
