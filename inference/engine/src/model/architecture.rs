//! Descriptions of the architectures. All are layers of the same blocks (norm, attention, norm, gated feed-forward,
//! each added to what passes through); a description says which variant of a block an architecture has, and which
//! optional parts. Knows no file and computes nothing.

use embodios_kernels::vector::Activation;

use super::{Config, gemma3, llama, qwen2, qwen3};

/// Architectures that can be computed.
pub const ARCHITECTURES: [&Architecture; 4] = [&llama::LLAMA, &qwen2::QWEN2, &qwen3::QWEN3, &gemma3::GEMMA3];

/// A description.
#[derive(Debug)]
pub struct Architecture {
    /// Value of `general.architecture`, and the prefix of the file's keys.
    pub name: &'static str,
    /// Pairs of elements that are rotated.
    pub pairs: Pairs,
    /// A bias on queries, keys and values.
    pub qkv_bias: Presence,
    /// A norm on each head's query and key, before the rotation.
    pub head_norms: bool,
    /// A norm behind attention and behind the feed-forward part, before they are added.
    pub post_norms: bool,
    /// Activation function of the feed-forward part's gate.
    pub activation: Activation,
    /// Whether token embeddings are multiplied by the root of their length.
    pub scaled_embedding: bool,
    /// Layers that see only the latest positions, if there may be any.
    pub local: Option<Local>,
    /// Factor of a query times a key.
    pub score_scale: fn(&Config) -> f32,
}

impl Architecture {
    /// The architecture of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<&'static Self> {
        ARCHITECTURES.into_iter().find(|architecture| architecture.name == name)
    }
}

/// Pairs of a head's elements that a rotation turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// Elements `2i` and `2i + 1`.
    Neighbours,
    /// Elements `i` and `i + rotated / 2` ("NEOX").
    Halves,
}

/// Presence of a part in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The file must have it.
    Required,
    /// The file may have it.
    Optional,
    /// The file does not have it.
    Absent,
}

/// Layers whose attention sees only the latest `attention.sliding_window` positions. Every `period`th
/// layer sees all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Local {
    /// Default of `attention.sliding_window_pattern`.
    pub period: usize,
    /// Default of `rope.freq_base_swa`; their rotation is never scaled.
    pub rope_base: f32,
}

/// `1 / sqrt(head_length)`.
pub fn by_head_length(config: &Config) -> f32 {
    1.0 / libm::sqrtf(config.head_length as f32)
}
