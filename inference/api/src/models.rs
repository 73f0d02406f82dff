//! What is served, as `/v1/models` and `/props` tell it.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use serde_json::{Value, json};

use crate::sampling::Short;
use crate::{ApiError, Served};

/// A name that every client may use for the model that is served.
const ANY: &str = "default";

/// Checks that `name` means the model that is served: its own name, `default`, or none.
///
/// # Errors
/// When it means another.
pub fn check(served: &Served<'_>, name: &str) -> Result<(), ApiError> {
    if name.is_empty() || name == ANY || name == served.name {
        return Ok(());
    }
    let message = format!("the model {:?} is not served here; {:?} is", Short(name), served.name);
    let error = ApiError { status: 404, param: Some("model".into()), ..ApiError::invalid(message) };
    Err(error.named("model_not_found"))
}

fn entry(served: &Served<'_>) -> Value {
    let config = &served.responder.model.config;
    json!({
        "id": served.name,
        "object": "model",
        "created": served.since,
        "owned_by": "embodios",
        "max_model_len": served.context,
        "meta": {
            "architecture": config.architecture.name,
            "n_ctx": served.context,
            "n_ctx_train": config.context,
            "n_embd": config.embedding,
            "n_vocab": served.responder.tokenizer.vocabulary_size(),
        },
    })
}

/// The answer of `/v1/models`.
#[must_use]
pub fn models(served: &Served<'_>) -> Vec<u8> {
    json!({ "object": "list", "data": [entry(served)] }).to_string().into_bytes()
}

/// The answer of `/v1/models/ID`.
///
/// # Errors
/// When the model that is served has another name.
pub fn model(served: &Served<'_>, id: &str) -> Result<Vec<u8>, ApiError> {
    check(served, id)?;
    Ok(entry(served).to_string().into_bytes())
}

/// The answer of `/props`.
#[must_use]
pub fn props(served: &Served<'_>) -> Vec<u8> {
    let mut props = json!({
        "default_generation_settings": {
            "n_ctx": served.context,
            "params": { "temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0 },
        },
        "model_alias": served.name,
        "model_path": served.name,
        "modalities": { "vision": false, "audio": false },
        "build_info": served.fingerprint,
        "chat": served.responder.chat.is_ok(),
    });
    for (name, text) in served.responder.tokenizer.marks() {
        props[name] = text.into();
    }
    props.to_string().into_bytes()
}

/// The answer of `/v1/embeddings`.
///
/// # Errors
/// Always: no model here has any.
pub fn embeddings(_: &Served<'_>, _body: &[u8]) -> Result<Vec<u8>, ApiError> {
    Err(ApiError::not_supported("this server makes no embeddings: its models continue texts"))
}
