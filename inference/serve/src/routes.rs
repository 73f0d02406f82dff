//! Paths, and what stands at each.

use alloc::string::String;

use embodios_api::Endpoint;
use embodios_http::{Method, percent_decoded};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Whether the server can work.
    Health,
    /// Figures for Prometheus.
    Metrics,
    /// The list of models.
    Models,
    /// The model of a name.
    Model(String),
    /// What llama-server's clients ask of the model.
    Props,
    /// Name and version of the server.
    Version,
    /// The page.
    Page,
    /// Figures for the page, as a stream.
    Events,
    /// Tokens.
    Call(Endpoint),
    /// Vectors of texts.
    Embeddings,
    /// Tokens of a text.
    Tokenize,
    /// A text of tokens.
    Detokenize,
    /// The prompt of a conversation.
    ApplyTemplate,
    /// The end of work.
    Drain,
}

impl Route {
    /// What stands at `path`.
    pub fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/health" | "/v1/health" => Self::Health,
            "/metrics" => Self::Metrics,
            "/v1/models" | "/models" => Self::Models,
            "/props" => Self::Props,
            "/version" => Self::Version,
            "/" => Self::Page,
            "/events" => Self::Events,
            "/v1/chat/completions" | "/chat/completions" => Self::Call(Endpoint::Chat),
            "/v1/completions" => Self::Call(Endpoint::Completions),
            "/v1/responses" | "/responses" => Self::Call(Endpoint::Responses),
            "/v1/embeddings" => Self::Embeddings,
            "/tokenize" => Self::Tokenize,
            "/detokenize" => Self::Detokenize,
            "/apply-template" => Self::ApplyTemplate,
            "/admin/drain" => Self::Drain,
            _ => Self::Model(percent_decoded(path.strip_prefix("/v1/models/")?)?),
        })
    }

    /// Whether it reads, and takes no body.
    const fn reads(&self) -> bool {
        match self {
            Self::Health | Self::Metrics | Self::Models | Self::Model(_) => true,
            Self::Props | Self::Version | Self::Page | Self::Events => true,
            Self::Call(_) | Self::Embeddings | Self::Drain => false,
            Self::Tokenize | Self::Detokenize | Self::ApplyTemplate => false,
        }
    }

    /// Whether it has `method`.
    pub const fn takes(&self, method: Method) -> bool {
        match method {
            Method::Get | Method::Head => self.reads(),
            Method::Post => !self.reads(),
            Method::Options => true,
            Method::Other => false,
        }
    }

    /// Its methods, for `Allow`.
    pub const fn methods(&self) -> &'static str {
        if self.reads() { "GET, HEAD, OPTIONS" } else { "POST, OPTIONS" }
    }

    /// Whether it needs no key: probes have none, and a browser that opens a page neither.
    pub const fn is_public(&self) -> bool {
        matches!(self, Self::Health | Self::Page)
    }

    /// Whether there is nothing to say without a model.
    pub const fn needs_model(&self) -> bool {
        !matches!(
            self,
            Self::Health | Self::Metrics | Self::Version | Self::Page | Self::Events | Self::Drain
        )
    }

    /// Whether it is work, which a server that drains takes no more of.
    pub const fn is_work(&self) -> bool {
        !self.reads() && !matches!(self, Self::Drain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_routes() {
        assert_eq!(Route::at("/v1/models/a%2Fb:c"), Some(Route::Model("a/b:c".into())));
        for (path, endpoint) in [("/chat/completions", Endpoint::Chat), ("/responses", Endpoint::Responses)] {
            assert_eq!(Route::at(path), Some(Route::Call(endpoint)));
            assert_eq!(Route::at(&["/v1", path].concat()), Some(Route::Call(endpoint)));
        }
        // llama-server has something else there.
        assert_eq!(Route::at("/completions"), None);
        for path in ["/v1", "/health/", "*", "", "/v1/models/%ff", "//health"] {
            assert_eq!(Route::at(path), None, "{path}");
        }
        assert!(Route::Health.takes(Method::Head) && !Route::Health.takes(Method::Post));
        assert!(Route::Drain.takes(Method::Post) && !Route::Drain.takes(Method::Get));
    }
}
