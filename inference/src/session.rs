//! A conversation with a model: its position, its cache, and the forward pass on all cores.
//!
//! Every matrix product is split by rows, attention by heads. What a row or a head computes does not
//! depend on who computes it, so that the number of workers and the division of a prompt into calls
//! leave no trace in the bits.

use alloc::vec::Vec;
use core::fmt;

use crate::activations::Activations;
use crate::cache::{Cache, CacheError, Limits};
use crate::kernels::{Kernels, ROW_UNIT};
use crate::matrix::Matrix;
use crate::memory::{OutOfMemory, filled};
use crate::model::{Layer, Model};
use crate::pool::Pool;
use crate::rope::Rope;
use crate::vector::{add, gated, rms_norm, rms_norm_each, scale, softmax};

/// Why a session does not begin or does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionError {
    /// No cache.
    Cache(CacheError),
    /// No memory for the buffers.
    OutOfMemory(OutOfMemory),
    /// More tokens than the context has room for.
    ContextFull {
        /// Positions in use.
        used: usize,
        /// Tokens to be added.
        added: usize,
        /// Positions there are.
        context: usize,
    },
    /// A token that the model does not have.
    NoSuchToken {
        /// Its number.
        token: u32,
        /// Number of tokens.
        vocabulary: usize,
    },
    /// No tokens at all.
    Empty,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cache(error) => error.fmt(f),
            Self::OutOfMemory(error) => error.fmt(f),
            Self::ContextFull { used, added, context } => {
                write!(f, "the context of {context} tokens is full: {used} used, {added} more wanted")
            }
            Self::NoSuchToken { token, vocabulary } => {
                write!(f, "token {token} is not one of the model's {vocabulary}")
            }
            Self::Empty => write!(f, "no tokens to go on from"),
        }
    }
}

impl core::error::Error for SessionError {}

impl From<OutOfMemory> for SessionError {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(error)
    }
}

impl From<CacheError> for SessionError {
    fn from(error: CacheError) -> Self {
        Self::Cache(error)
    }
}

/// A session. Begins at position 0.
#[derive(Debug)]
pub struct Session<'m> {
    model: &'m Model<'m>,
    kernels: Kernels,
    cache: Cache,
    position: usize,
    /// One for each of the model's rotations.
    ropes: Vec<Rope>,
    input: Activations,
    /// What passes through the layers: `embedding`.
    x: Vec<f32>,
    /// Queries, keys and values of all heads, one after the other.
    qkv: Vec<f32>,
    /// Scores of each head: `heads * context`.
    scores: Vec<f32>,
    /// What each head found: `heads * head_length`.
    attended: Vec<f32>,
    /// `feed_forward` each.
    gate: Vec<f32>,
    up: Vec<f32>,
    /// What a part of a layer adds to `x`.
    delta: Vec<f32>,
    logits: Vec<f32>,
}

impl<'m> Session<'m> {
    /// A session with room for `limits`.
    ///
    /// # Errors
    /// When the cache does not fit the limits, or the memory does not suffice.
    pub fn new(model: &'m Model<'m>, kernels: Kernels, limits: Limits) -> Result<Self, SessionError> {
        let config = &model.config;
        let queries = config.heads * config.head_length;
        let keys = config.kv_heads * config.head_length;
        let cache = Cache::new(config, limits)?;
        let scores = filled(config.heads * cache.context(), 0.0, "attention scores")?;
        let vector = |length| filled(length, 0.0, "activations");
        let ropes = model.rotations.iter().map(|rotation| Rope::new(config, rotation));
        Ok(Self {
            model,
            kernels,
            cache,
            position: 0,
            ropes: ropes.collect::<Result<_, _>>()?,
            input: Activations::new(config.embedding.max(queries).max(config.feed_forward))?,
            x: vector(config.embedding)?,
            qkv: vector(queries + 2 * keys)?,
            scores,
            attended: vector(queries)?,
            gate: vector(config.feed_forward)?,
            up: vector(config.feed_forward)?,
            delta: vector(config.embedding)?,
            logits: vector(config.vocabulary)?,
        })
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &'m Model<'m> {
        self.model
    }

    /// Tokens taken so far.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Tokens there is room for.
    #[must_use]
    pub const fn context(&self) -> usize {
        self.cache.context()
    }

    /// Bytes of the cache.
    #[must_use]
    pub const fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// What the last [`Self::feed`] returned.
    #[must_use]
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Forgets everything.
    pub const fn reset(&mut self) {
        self.position = 0;
    }

    /// Takes `tokens` and returns a logit for each token of the vocabulary to come next.
    ///
    /// # Errors
    /// When there are none, one does not exist or the context has no room for them; nothing is taken then.
    pub fn feed(&mut self, pool: &mut Pool, tokens: &[u32]) -> Result<&[f32], SessionError> {
        let vocabulary = self.model.config.vocabulary;
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            return Err(SessionError::NoSuchToken { token, vocabulary });
        }
        let (used, context) = (self.position, self.context());
        if tokens.len() > context - used {
            return Err(SessionError::ContextFull { used, added: tokens.len(), context });
        }
        if tokens.is_empty() {
            return Err(SessionError::Empty);
        }
        for &token in tokens {
            self.advance(pool, token as usize);
        }
        self.compute_logits(pool);
        Ok(&self.logits)
    }

    /// Passes one token through all layers.
    fn advance(&mut self, pool: &mut Pool, token: usize) {
        let model = self.model;
        model.token_embedding.dequantize_row(token, &mut self.x);
        if model.config.architecture.scaled_embedding {
            scale(&mut self.x, libm::sqrtf(model.config.embedding as f32));
        }
        self.ropes.iter_mut().for_each(|rope| rope.set_position(self.position));
        for (index, layer) in model.layers.iter().enumerate() {
            self.attention(pool, index, layer);
            self.feed_forward(pool, layer);
        }
        self.position += 1;
    }

    fn attention(&mut self, pool: &mut Pool, index: usize, layer: &Layer<'_>) {
        let Self { kernels, input, .. } = self;
        let config = &self.model.config;
        let (length, positions) = (config.head_length, self.position + 1);
        let queries = config.heads * length;
        let keys = config.kv_heads * length;

        input.set(config.embedding, |out| rms_norm(&self.x, &layer.attention_norm, config.epsilon, out));
        let stack = [&layer.query, &layer.key, &layer.value];
        pool.split(&mut self.qkv, ROW_UNIT, |first, out| multiply_stack(*kernels, &stack, first, input, out));
        if let Some(bias) = &layer.qkv_bias {
            add(&mut self.qkv, bias);
        }
        let (rotated, value) = self.qkv.split_at_mut(queries + keys);
        if let Some((query_norm, key_norm)) = &layer.head_norms {
            rms_norm_each(&mut rotated[..queries], query_norm, config.epsilon);
            rms_norm_each(&mut rotated[queries..], key_norm, config.epsilon);
        }
        self.ropes[layer.rotation].rotate(rotated, length);
        let (query, key) = rotated.split_at(queries);
        self.cache.store(index, self.position, key, value);

        let (cache, context) = (&self.cache, self.cache.context());
        let group = config.heads / config.kv_heads;
        let scale = (config.architecture.score_scale)(config);
        let first_seen = positions.saturating_sub(layer.window.unwrap_or(positions));
        pool.split_both((&mut self.scores, context), (&mut self.attended, length), |first, scores, out| {
            let heads = scores.chunks_exact_mut(context).zip(out.chunks_exact_mut(length));
            for (head, (scores, out)) in (first..).zip(heads) {
                let scores = &mut scores[first_seen..positions];
                let query = &query[head * length..][..length];
                let keys = &cache.keys(index, head / group, positions)[first_seen * length..];
                kernels.score(query, keys, scale, scores);
                softmax(scores);
                let values = &cache.values(index, head / group, positions)[first_seen * length..];
                kernels.mix(scores, values, out);
            }
        });

        input.set(queries, |out| out.copy_from_slice(&self.attended));
        multiply(pool, *kernels, &layer.attention_output, input, &mut self.delta);
        if let Some(norm) = &layer.post_attention_norm {
            rms_norm_each(&mut self.delta, norm, config.epsilon);
        }
        add(&mut self.x, &self.delta);
    }

    fn feed_forward(&mut self, pool: &mut Pool, layer: &Layer<'_>) {
        let Self { kernels, input, .. } = self;
        let config = &self.model.config;
        input.set(config.embedding, |out| rms_norm(&self.x, &layer.feed_forward_norm, config.epsilon, out));
        pool.split_both((&mut self.gate, ROW_UNIT), (&mut self.up, ROW_UNIT), |first, gate, up| {
            kernels.multiply(&layer.gate, first * ROW_UNIT, input, gate);
            kernels.multiply(&layer.up, first * ROW_UNIT, input, up);
            gated(config.architecture.activation, gate, up);
        });
        input.set(config.feed_forward, |out| out.copy_from_slice(&self.gate));
        multiply(pool, *kernels, &layer.down, input, &mut self.delta);
        if let Some(norm) = &layer.post_feed_forward_norm {
            rms_norm_each(&mut self.delta, norm, config.epsilon);
        }
        add(&mut self.x, &self.delta);
    }

    fn compute_logits(&mut self, pool: &mut Pool) {
        let config = &self.model.config;
        let norm = &self.model.output_norm;
        self.input.set(config.embedding, |out| rms_norm(&self.x, norm, config.epsilon, out));
        multiply(pool, self.kernels, &self.model.output, &self.input, &mut self.logits);
    }
}

/// `out = matrix * input`, rows split over the workers.
fn multiply(pool: &mut Pool, kernels: Kernels, matrix: &Matrix<'_>, input: &Activations, out: &mut [f32]) {
    pool.split(out, ROW_UNIT, |first, out| kernels.multiply(matrix, first, input, out));
}

/// Rows `first ..` of several matrices, taken as one with the rows of all.
fn multiply_stack(
    kernels: Kernels,
    stack: &[&Matrix<'_>],
    mut first: usize,
    input: &Activations,
    mut out: &mut [f32],
) {
    for matrix in stack {
        let rows = matrix.rows().saturating_sub(first).min(out.len());
        let (part, rest) = out.split_at_mut(rows);
        if !part.is_empty() {
            kernels.multiply(matrix, first, input, part);
        }
        first = first.saturating_sub(matrix.rows());
        out = rest;
    }
}
