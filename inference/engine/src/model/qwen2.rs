//! Qwen2 and Qwen2.5: llama's layers with a bias on queries, keys and values.
//!
//! Yang et al., "Qwen2 Technical Report" (2024).

use embodios_kernels::vector::Activation;

use super::architecture::{Architecture, Pairs, Presence, by_head_length};

/// The description.
pub const QWEN2: Architecture = Architecture {
    name: "qwen2",
    pairs: Pairs::Halves,
    qkv_bias: Presence::Required,
    head_norms: false,
    post_norms: false,
    activation: Activation::Silu,
    scaled_embedding: false,
    local: None,
    score_scale: by_head_length,
};
