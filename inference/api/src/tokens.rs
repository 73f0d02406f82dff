//! Texts as tokens and back: `/tokenize`, `/detokenize`, `/apply-template`.

use alloc::vec::Vec;

use crate::{ApiError, Served};

/// The answer of `/tokenize`.
///
/// # Errors
/// When the body is no such request.
pub fn tokenize(_served: &Served<'_>, _body: &[u8]) -> Result<Vec<u8>, ApiError> {
    Err(ApiError::not_supported("to be written"))
}

/// The answer of `/detokenize`.
///
/// # Errors
/// When the body is no such request.
pub fn detokenize(_served: &Served<'_>, _body: &[u8]) -> Result<Vec<u8>, ApiError> {
    Err(ApiError::not_supported("to be written"))
}

/// The answer of `/apply-template`.
///
/// # Errors
/// When the body is no such request, or the model has no template.
pub fn apply_template(_served: &Served<'_>, _body: &[u8]) -> Result<Vec<u8>, ApiError> {
    Err(ApiError::not_supported("to be written"))
}
