//! A language model: hyper-parameters and weights, taken from a GGUF file and checked against each other.
//!
//! Big matrices stay where they are in the file; only vectors (norms, biases, rope factors) are copied.
//! The architectures and their differences are in [`Architecture`]'s descriptions, one a file.

mod architecture;
mod autotune;
mod config;
mod error;
mod gemma3;
pub mod keys;
mod llama;
mod qwen2;
mod qwen3;
mod repack;
mod source;

use alloc::format;
use alloc::vec::Vec;

use embodios_gguf::Gguf;
use embodios_gguf::memory::{OutOfMemory, filled};
use embodios_kernels::matrix::{Layout, Matrix};

pub use architecture::{ARCHITECTURES, Architecture, Local, Pairs, Presence};
pub use autotune::fastest_kernels;
pub use config::{Config, Pattern, Window};
pub use error::ModelError;
pub use repack::{Quantized, quantized, repack};
use source::TensorSource;

/// The weights of one layer. Parts that its architecture lacks are `None`.
#[derive(Debug)]
pub struct Layer<'a> {
    /// Positions that attention sees, the current one included; `None` for all.
    pub window: Option<usize>,
    /// Index in [`Model::rotations`] of the rotation of queries and keys.
    pub rotation: usize,
    /// Norm before attention: `embedding`.
    pub attention_norm: Vec<f32>,
    /// Queries: `embedding` to `heads * head_length`.
    pub query: Matrix<'a>,
    /// Keys: `embedding` to `kv_heads * head_length`.
    pub key: Matrix<'a>,
    /// Values: as the keys.
    pub value: Matrix<'a>,
    /// Added to queries, keys and values, which stand one after the other.
    pub qkv_bias: Option<Vec<f32>>,
    /// Norms of each head's query and key: `head_length` each.
    pub head_norms: Option<(Vec<f32>, Vec<f32>)>,
    /// From all heads back to `embedding`.
    pub attention_output: Matrix<'a>,
    /// Norm behind attention: `embedding`.
    pub post_attention_norm: Option<Vec<f32>>,
    /// Norm before the feed-forward part: `embedding`.
    pub feed_forward_norm: Vec<f32>,
    /// `embedding` to `feed_forward`.
    pub gate: Matrix<'a>,
    /// `embedding` to `feed_forward`.
    pub up: Matrix<'a>,
    /// `feed_forward` to `embedding`.
    pub down: Matrix<'a>,
    /// Norm behind the feed-forward part: `embedding`.
    pub post_feed_forward_norm: Option<Vec<f32>>,
}

/// A rotation of heads by position: pair `i` turns by `position * base^(-2i / rotated) / scale / factors[i]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    /// Base of the frequencies.
    pub base: f32,
    /// Divisor of all frequencies.
    pub scale: f32,
    /// Divisor of each pair's frequency.
    pub factors: Vec<f32>,
}

/// A whole model.
#[derive(Debug)]
pub struct Model<'a> {
    /// Hyper-parameters.
    pub config: Config,
    /// A row of `embedding` weights for each token.
    pub token_embedding: Matrix<'a>,
    /// All layers in order.
    pub layers: Vec<Layer<'a>>,
    /// Norm before the output: `embedding`.
    pub output_norm: Vec<f32>,
    /// `embedding` to a logit for each token; the token embedding where the file ties both.
    pub output: Matrix<'a>,
    /// The rotations that layers refer to.
    pub rotations: Vec<Rotation>,
}

impl<'a> Model<'a> {
    /// Takes the model out of a file whose matrices are in `layout`.
    ///
    /// # Errors
    /// [`ModelError`] names the key or the tensor that is missing, unsupported, unknown or does not fit the rest.
    pub fn load(gguf: &Gguf<'a>, layout: Layout) -> Result<Self, ModelError> {
        keys::check_file(gguf)?;
        let config = Config::read(gguf)?;
        keys::check_all(gguf, &config)?;
        let mut source = TensorSource::new(gguf, layout);
        let width = config.embedding;
        let token_embedding = source.matrix("token_embd.weight", width, config.vocabulary)?;
        let output = match source.has("output.weight") {
            true => source.matrix("output.weight", width, config.vocabulary)?,
            false => token_embedding,
        };
        let mut layers = Vec::new();
        for index in 0..config.layers {
            let what = "directory of layers";
            layers.try_reserve(1).map_err(|_| OutOfMemory { what, bytes: size_of::<Layer>() })?;
            layers.push(layer(&mut source, index, &config)?);
        }
        let rotations = rotations(&mut source, &config)?;
        let output_norm = source.vector("output_norm.weight", width)?;
        source.finish()?;
        Ok(Self { config, token_embedding, layers, output_norm, output, rotations })
    }
}

/// Index of [`rotations`] for layers that see all positions, and for those that do not.
const GLOBAL: usize = 0;
const LOCAL: usize = 1;

fn rotations(source: &mut TensorSource<'_, '_>, config: &Config) -> Result<Vec<Rotation>, ModelError> {
    let pairs = config.rotated / 2;
    let plain = || filled(pairs, 1.0, "rope factors");
    let factors = match source.has("rope_freqs.weight") {
        true => source.vector("rope_freqs.weight", pairs)?,
        false => plain()?,
    };
    let global = Rotation { base: config.rope_base, scale: config.rope_scale, factors };
    let mut rotations = Vec::from([global]);
    if let Some(window) = &config.window {
        rotations.push(Rotation { base: window.rope_base, scale: 1.0, factors: plain()? });
    }
    Ok(rotations)
}

fn layer<'a>(
    source: &mut TensorSource<'_, 'a>,
    index: usize,
    config: &Config,
) -> Result<Layer<'a>, ModelError> {
    let Architecture { qkv_bias, head_norms, post_norms, .. } = *config.architecture;
    let name = |part: &str| format!("blk.{index}.{part}.weight");
    let (width, hidden, head) = (config.embedding, config.feed_forward, config.head_length);
    let (queries, keys) = (config.heads * head, config.kv_heads * head);
    let window = config.window.as_ref().filter(|window| window.applies_to(index));
    Ok(Layer {
        window: window.map(|window| window.length),
        rotation: if window.is_some() { LOCAL } else { GLOBAL },
        attention_norm: source.vector(&name("attn_norm"), width)?,
        query: source.matrix(&name("attn_q"), width, queries)?,
        key: source.matrix(&name("attn_k"), width, keys)?,
        value: source.matrix(&name("attn_v"), width, keys)?,
        qkv_bias: match qkv_bias {
            Presence::Required => Some(bias(source, index, queries, keys)?),
            Presence::Optional if source.has(&format!("blk.{index}.attn_q.bias")) => {
                Some(bias(source, index, queries, keys)?)
            }
            Presence::Optional | Presence::Absent => None,
        },
        head_norms: match head_norms {
            true => {
                Some((source.vector(&name("attn_q_norm"), head)?, source.vector(&name("attn_k_norm"), head)?))
            }
            false => None,
        },
        attention_output: source.matrix(&name("attn_output"), queries, width)?,
        post_attention_norm: post_norms
            .then(|| source.vector(&name("post_attention_norm"), width))
            .transpose()?,
        feed_forward_norm: source.vector(&name("ffn_norm"), width)?,
        gate: source.matrix(&name("ffn_gate"), width, hidden)?,
        up: source.matrix(&name("ffn_up"), width, hidden)?,
        down: source.matrix(&name("ffn_down"), hidden, width)?,
        post_feed_forward_norm: post_norms
            .then(|| source.vector(&name("post_ffw_norm"), width))
            .transpose()?,
    })
}

/// The biases of queries, keys and values, one after the other.
fn bias(
    source: &mut TensorSource<'_, '_>,
    index: usize,
    queries: usize,
    keys: usize,
) -> Result<Vec<f32>, ModelError> {
    let mut all = source.vector(&format!("blk.{index}.attn_q.bias"), queries)?;
    all.extend(source.vector(&format!("blk.{index}.attn_k.bias"), keys)?);
    all.extend(source.vector(&format!("blk.{index}.attn_v.bias"), keys)?);
    Ok(all)
}
