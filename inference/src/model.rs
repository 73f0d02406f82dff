//! A language model: hyper-parameters and weights, taken from a GGUF file and checked against each other.
//!
//! Big matrices stay where they are in the file; only vectors (norms, rope factors) are copied.

mod config;
mod error;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::gguf::{Gguf, Tensor, TensorType};
use crate::matrix::{F32, FloatFormat, Matrix, WeightType};
use crate::memory::{OutOfMemory, filled};
pub use config::Config;
pub use error::ModelError;

/// Architectures that can be computed.
pub const ARCHITECTURES: &[&str] = &["llama"];

/// The weights of one layer.
#[derive(Debug)]
pub struct Layer<'a> {
    /// Norm before attention: `embedding`.
    pub attention_norm: Vec<f32>,
    /// Queries: `embedding` to `heads * head_length`.
    pub query: Matrix<'a>,
    /// Keys: `embedding` to `kv_heads * head_length`.
    pub key: Matrix<'a>,
    /// Values: as the keys.
    pub value: Matrix<'a>,
    /// From all heads back to `embedding`.
    pub attention_output: Matrix<'a>,
    /// Norm before the feed-forward part: `embedding`.
    pub feed_forward_norm: Vec<f32>,
    /// `embedding` to `feed_forward`.
    pub gate: Matrix<'a>,
    /// `embedding` to `feed_forward`.
    pub up: Matrix<'a>,
    /// `feed_forward` to `embedding`.
    pub down: Matrix<'a>,
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
    /// What rotation frequencies are divided by: one for each pair of a head.
    pub rope_factors: Vec<f32>,
}

impl<'a> Model<'a> {
    /// Takes the model out of a file.
    ///
    /// # Errors
    /// [`ModelError`] names the key or the tensor that is missing, unsupported or does not fit the rest.
    pub fn load(gguf: &Gguf<'a>) -> Result<Self, ModelError> {
        let embedding = gguf.required_tensor("token_embd.weight")?;
        let config = Config::read(gguf, embedding.shape())?;
        let source = Source { gguf };
        let width = config.embedding;
        let token_embedding = source.matrix("token_embd.weight", width, config.vocabulary)?;
        let output = match gguf.tensor("output.weight") {
            Some(_) => source.matrix("output.weight", width, config.vocabulary)?,
            None => token_embedding,
        };
        let mut layers = Vec::new();
        for index in 0..config.layers {
            let what = "directory of layers";
            layers.try_reserve(1).map_err(|_| OutOfMemory { what, bytes: size_of::<Layer>() })?;
            layers.push(source.layer(index, &config)?);
        }
        let rope_factors = match gguf.tensor("rope_freqs.weight") {
            Some(_) => source.vector("rope_freqs.weight", config.rotated / 2)?,
            None => filled(config.rotated / 2, 1.0, "rope factors")?,
        };
        let output_norm = source.vector("output_norm.weight", width)?;
        Ok(Self { config, token_embedding, layers, output_norm, output, rope_factors })
    }
}

/// Takes tensors by name, with the shape they must have.
struct Source<'g, 'a> {
    gguf: &'g Gguf<'a>,
}

impl<'a> Source<'_, 'a> {
    fn layer(&self, index: usize, config: &Config) -> Result<Layer<'a>, ModelError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        let (width, hidden) = (config.embedding, config.feed_forward);
        let (queries, keys) = (config.heads * config.head_length, config.kv_heads * config.head_length);
        Ok(Layer {
            attention_norm: self.vector(&name("attn_norm"), width)?,
            query: self.matrix(&name("attn_q"), width, queries)?,
            key: self.matrix(&name("attn_k"), width, keys)?,
            value: self.matrix(&name("attn_v"), width, keys)?,
            attention_output: self.matrix(&name("attn_output"), queries, width)?,
            feed_forward_norm: self.vector(&name("ffn_norm"), width)?,
            gate: self.matrix(&name("ffn_gate"), width, hidden)?,
            up: self.matrix(&name("ffn_up"), width, hidden)?,
            down: self.matrix(&name("ffn_down"), hidden, width)?,
        })
    }

    fn matrix(&self, name: &str, columns: usize, rows: usize) -> Result<Matrix<'a>, ModelError> {
        let tensor = self.tensor(name, &[columns, rows])?;
        let unsupported = || ModelError::UnsupportedType { tensor: name.into(), kind: tensor.kind };
        let kind = WeightType::of(tensor.kind).ok_or_else(unsupported)?;
        Ok(Matrix::new(kind, columns, rows, tensor.data))
    }

    fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, ModelError> {
        let tensor = self.tensor(name, &[length])?;
        if tensor.kind != TensorType::F32 {
            return Err(ModelError::NotF32 { tensor: name.into(), kind: tensor.kind });
        }
        let mut vector = filled(length, 0.0, "norms")?;
        for (value, bytes) in vector.iter_mut().zip(tensor.data.chunks_exact(F32::BYTES)) {
            *value = F32::value(bytes);
        }
        Ok(vector)
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<&Tensor<'a>, ModelError> {
        let tensor = self.gguf.required_tensor(name)?;
        let found = tensor.shape();
        // A trailing dimension of 1 says nothing.
        let length = |dimension: usize| found.get(dimension).map_or(1, |&length| length);
        let wanted = |dimension: usize| shape.get(dimension).map_or(1, |&length| length as u64);
        let fits = (0..4).all(|dimension| length(dimension) == wanted(dimension));
        if fits {
            return Ok(tensor);
        }
        Err(ModelError::Shape { tensor: String::from(name), found: found.into(), wanted: shape.into() })
    }
}
