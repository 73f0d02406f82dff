//! Qwen3, dense: llama's layers with a norm on each head's query and key.
//!
//! Yang et al., "Qwen3 Technical Report" (2025).

use embodios_kernels::vector::Activation;

use super::architecture::{Architecture, Pairs, Presence, by_head_length};

/// The description.
pub const QWEN3: Architecture = Architecture {
    name: "qwen3",
    pairs: Pairs::Halves,
    qkv_bias: Presence::Absent,
    head_norms: true,
    post_norms: false,
    activation: Activation::Silu,
    scaled_embedding: false,
    local: None,
    score_scale: by_head_length,
};
