//! Llama 1 to 3, and what shares its layers: Mistral, SmolLM2, TinyLlama.
//!
//! Touvron et al., "LLaMA: Open and Efficient Foundation Language Models" (2023). Llama 3.1 and later
//! stretch their rotations by the factors in `rope_freqs.weight`.

use embodios_kernels::vector::Activation;

use super::architecture::{Architecture, Pairs, Presence, by_head_length};

/// The description.
pub const LLAMA: Architecture = Architecture {
    name: "llama",
    pairs: Pairs::Neighbours,
    qkv_bias: Presence::Optional,
    head_norms: false,
    post_norms: false,
    activation: Activation::Silu,
    scaled_embedding: false,
    local: None,
    score_scale: by_head_length,
};
