//! Errors as clients of the API read them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use embodios_engine::batch::{Failure, Finish, Refusal};
use embodios_engine::prompt::PromptError;
use serde_json::{Value, json};

/// Kind of an error by which the client's request is at fault.
const INVALID: &str = "invalid_request_error";
/// Kind of one by which nobody is: the same request may succeed later.
const UNAVAILABLE: &str = "unavailable_error";
/// Most characters of a message.
const LONGEST: usize = 600;

/// An error, with the status of HTTP that it has before a stream has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// Status of HTTP.
    pub status: u16,
    /// The class of errors, `type` in the body.
    pub kind: &'static str,
    /// The error's name, where it has one.
    pub code: Option<&'static str>,
    /// The field at fault.
    pub param: Option<String>,
    /// What went wrong.
    pub message: String,
}

impl ApiError {
    /// A request that is refused as a whole.
    pub(crate) fn invalid(message: impl fmt::Display) -> Self {
        let mut message = message.to_string();
        // It may tell of what came, of any length.
        if let Some((end, _)) = message.char_indices().nth(LONGEST) {
            message.truncate(end);
            message.push('…');
        }
        Self { status: 400, kind: INVALID, code: None, param: None, message }
    }

    /// A request that one of its fields is at fault for.
    pub(crate) fn field(name: &str, message: impl fmt::Display) -> Self {
        Self { param: Some(name.into()), ..Self::invalid(format!("{name}: {message}")) }
    }

    /// The same error with a name.
    pub(crate) fn named(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// A prompt longer than the context. LiteLLM and LangChain tell this error from others by words of the message, of
    /// which each looks for its own.
    pub(crate) fn too_long(prompt: usize, context: usize, param: &str) -> Self {
        let message = format!(
            "the prompt is too long: this model's maximum context length is {context} tokens, and the prompt has \
             {prompt} tokens"
        );
        Self { param: Some(param.into()), ..Self::invalid(message) }.named("context_length_exceeded")
    }

    /// Something that is part of the API, and not of this server.
    pub(crate) fn not_supported(message: impl fmt::Display) -> Self {
        Self { status: 501, kind: "not_supported_error", ..Self::invalid(message) }
    }

    /// A call that is asked for its answer before that is whole, or that streams.
    pub(crate) fn unfinished() -> Self {
        Self { status: 500, kind: "server_error", ..Self::invalid("the answer is not whole") }
    }

    /// The error by which a request ended, if it did by one.
    #[must_use]
    pub fn of(finish: &Finish) -> Option<Self> {
        let unavailable =
            |message: &dyn fmt::Display| Self { status: 503, kind: UNAVAILABLE, ..Self::invalid(message) };
        Some(match finish {
            Finish::End(_) | Finish::Limit | Finish::ContextFull | Finish::StopText => return None,
            Finish::Cancelled => unavailable(&"the request was cancelled before its answer was whole"),
            Finish::Refused(refusal) => refusal.into(),
            Finish::Failed(failure @ Failure::OutOfMemory(_)) => unavailable(failure),
            Finish::Failed(failure @ Failure::NotFinite { .. }) => {
                Self { status: 500, kind: "server_error", ..Self::invalid(failure) }
            }
        })
    }

    pub(crate) fn value(&self) -> Value {
        let Self { kind, code, param, message, .. } = self;
        json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        self.value().to_string().into_bytes()
    }

    /// The event of a stream that has begun, its last one.
    #[must_use]
    pub fn event(&self) -> String {
        format!("data: {}\n\n", self.value())
    }
}

impl From<&Refusal> for ApiError {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            &Refusal::Prompt(PromptError::ContextFull { used, added, context }) => {
                Self::too_long(used.saturating_add(added), context, "prompt")
            }
            Refusal::QueueFull { .. } => {
                Self { status: 429, kind: "rate_limit_error", ..Self::invalid(refusal) }.named("queue_full")
            }
            _ => Self::invalid(refusal),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.kind, self.message)
    }
}

impl core::error::Error for ApiError {}
