//! Errors that are the server's own, not the API's.

use alloc::format;
use alloc::string::String;

use embodios_api::ApiError;
use embodios_http::Fault;

/// The kind of errors that pass.
const UNAVAILABLE: &str = "unavailable_error";
/// The kind of errors that are the request's.
const INVALID: &str = "invalid_request_error";

const fn error(status: u16, kind: &'static str, message: String) -> ApiError {
    ApiError { status, kind, code: None, param: None, message }
}

/// No key, or none that is known.
pub fn no_key() -> ApiError {
    let message = "a key is missing or wrong: send it as Authorization: Bearer KEY";
    ApiError { code: Some("invalid_api_key"), ..error(401, "authentication_error", message.into()) }
}

/// A path that is not served.
pub fn not_found(path: &str) -> ApiError {
    error(404, "not_found_error", format!("there is nothing at {path}"))
}

/// A method that a path has not.
pub fn wrong_method(path: &str, allowed: &str) -> ApiError {
    error(405, INVALID, format!("{path} has these methods only: {allowed}"))
}

/// A request that only somebody with a key may make, where there are no keys.
pub fn needs_keys() -> ApiError {
    error(403, "permission_error", "this needs a key, and the server was started without keys".into())
}

/// The model is not there yet.
pub fn loading() -> ApiError {
    error(503, UNAVAILABLE, "Loading model".into())
}

/// The server takes no more work.
pub fn draining() -> ApiError {
    error(503, UNAVAILABLE, "Shutting down".into())
}

/// As many requests wait as may.
pub fn queue_full(waiting: usize) -> ApiError {
    let message = format!("the queue is full: {waiting} requests wait");
    ApiError { code: Some("queue_full"), ..error(429, "rate_limit_error", message) }
}

/// Other requests' bodies take all memory that bodies may.
pub fn no_room() -> ApiError {
    error(503, UNAVAILABLE, "too many requests are on their way".into())
}

/// What HTTP itself refuses.
pub fn of_http(fault: Fault) -> ApiError {
    let kind = match fault.status() {
        501 => "not_supported_error",
        503 => UNAVAILABLE,
        _ => INVALID,
    };
    error(fault.status(), kind, format!("{fault}"))
}
