//! Gemma 3, text: norms on both sides of each block and on heads, a GELU gate, scaled embeddings, and five
//! local layers to each one that sees all positions. The norms' `1 + weight` is already in the file.
//!
//! Gemma Team, "Gemma 3 Technical Report" (2025).

use embodios_kernels::vector::Activation;

use super::Config;
use super::architecture::{Architecture, Local, Pairs, Presence, by_head_length};

/// The description.
pub const GEMMA3: Architecture = Architecture {
    name: "gemma3",
    pairs: Pairs::Halves,
    qkv_bias: Presence::Absent,
    head_norms: true,
    post_norms: true,
    activation: Activation::Gelu,
    scaled_embedding: true,
    local: Some(Local { period: 6, rope_base: 10_000.0 }),
    score_scale,
};

/// Layers of the 27B model, which alone scales by another length than that of a head; the file's keys
/// do not say so.
const LAYERS_OF_27B: usize = 62;

fn score_scale(config: &Config) -> f32 {
    if config.layers == LAYERS_OF_27B {
        return 1.0 / libm::sqrtf((config.embedding / config.heads) as f32);
    }
    by_head_length(config)
}
