//! The forward pass of a few tokens at once, so that weights are read once for all of them.
//!
//! Steps between the matrix products are split by tokens, the products by rows, attention by heads. With one token,
//! what is split by tokens is the caller's alone, and a layer takes four dispatches.

use alloc::vec::Vec;

use super::SessionError;
use crate::activations::Activations;
use crate::cache::Cache;
use crate::kernels::Kernels;
use crate::matrix::Matrix;
use crate::memory::{OutOfMemory, filled};
use crate::model::{Config, Layer, Model};
use crate::pool::Pool;
use crate::rope::Rope;
use crate::tiles::{TILE, Tiles};
use crate::vector::{add, gated, rms_norm, rms_norm_each, scale, softmax};

/// Most tokens at once. More would make better use of unpacked weights, fewer leave more of the cache to weights.
const CAPACITY: usize = 64;

/// The tokens and all that is computed for them on the way.
#[derive(Debug)]
pub(super) struct Chunk {
    config: Config,
    capacity: usize,
    tokens: usize,
    /// Position of the first token.
    position: usize,
    /// One for each of the model's rotations.
    ropes: Vec<Rope>,
    /// What the next product takes, for each token.
    inputs: Vec<Activations>,
    /// What passes through the layers: `embedding` for each token.
    x: Vec<f32>,
    query: Tiles,
    key: Tiles,
    value: Tiles,
    /// Rotated queries: for each head, `head_length` for each token.
    queries: Vec<f32>,
    /// What each head found, in the same order.
    attended: Vec<f32>,
    /// Scores of each head: `heads * context`.
    scores: Vec<f32>,
    gate: Tiles,
    up: Tiles,
    /// What a part of a layer adds to `x`.
    delta: Tiles,
    /// The same, token by token.
    added: Vec<f32>,
}

impl Chunk {
    pub(super) fn new(model: &Model<'_>, context: usize) -> Result<Self, SessionError> {
        let config = &model.config;
        let capacity = CAPACITY.min(context);
        let queries = config.heads * config.head_length;
        let keys = config.kv_heads * config.head_length;
        let longest = config.embedding.max(queries).max(config.feed_forward);
        let mut inputs = Vec::new();
        let what = "activations";
        let bytes = capacity * size_of::<Activations>();
        inputs.try_reserve_exact(capacity).map_err(|_| OutOfMemory { what, bytes })?;
        for _ in 0..capacity {
            inputs.push(Activations::new(longest)?);
        }
        let ropes = model.rotations.iter().map(|rotation| Rope::new(config, rotation, capacity));
        Ok(Self {
            capacity,
            tokens: 0,
            position: 0,
            ropes: ropes.collect::<Result<_, _>>()?,
            inputs,
            x: filled(capacity * config.embedding, 0.0, what)?,
            query: Tiles::new(queries, capacity)?,
            key: Tiles::new(keys, capacity)?,
            value: Tiles::new(keys, capacity)?,
            queries: filled(capacity * queries, 0.0, what)?,
            attended: filled(capacity * queries, 0.0, what)?,
            scores: filled(config.heads * context, 0.0, "attention scores")?,
            gate: Tiles::new(config.feed_forward, capacity)?,
            up: Tiles::new(config.feed_forward, capacity)?,
            delta: Tiles::new(config.embedding, capacity)?,
            added: filled(capacity * config.embedding, 0.0, what)?,
            config: config.clone(),
        })
    }

    /// Most tokens of a chunk.
    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Takes `tokens`, of which the first stands at `position`.
    pub(super) fn begin(&mut self, model: &Model<'_>, pool: &mut Pool, tokens: &[u32], position: usize) {
        let Self { config, ropes, x, .. } = self;
        (self.tokens, self.position) = (tokens.len(), position);
        ropes.iter_mut().for_each(|rope| rope.set_positions(position, tokens.len()));
        let width = config.embedding;
        pool.split(&mut x[..tokens.len() * width], width, |first, run| {
            for (x, &token) in run.chunks_exact_mut(width).zip(&tokens[first / width..]) {
                model.token_embedding.dequantize_row(token as usize, x);
                if config.architecture.scaled_embedding {
                    scale(x, libm::sqrtf(width as f32));
                }
            }
        });
    }

    /// Adds what attention finds.
    pub(super) fn attention(
        &mut self,
        kernels: Kernels,
        pool: &mut Pool,
        cache: &mut Cache,
        index: usize,
        layer: &Layer<'_>,
    ) {
        self.norm(kernels, pool, &layer.attention_norm);
        let Self { tokens, inputs, query, key, value, .. } = self;
        let inputs = &mut inputs[..*tokens];
        let out = [query.begin(*tokens), key.begin(*tokens), value.begin(*tokens)];
        pool.split_each(out, TILE * *tokens, |part, first, out| {
            let matrix = [&layer.query, &layer.key, &layer.value][part];
            kernels.multiply(matrix, first / inputs.len(), inputs, out);
        });
        self.store(pool, cache, index, layer);
        self.attend(kernels, pool, cache, index, layer);

        let Self { config, tokens, inputs, attended, .. } = self;
        let (length, tokens) = (config.head_length, *tokens);
        pool.split(&mut inputs[..tokens], 1, |first, inputs| {
            for (token, input) in (first..).zip(inputs) {
                let gather = |out: &mut [f32]| {
                    for (head, out) in out.chunks_exact_mut(length).enumerate() {
                        out.copy_from_slice(&attended[(head * tokens + token) * length..][..length]);
                    }
                };
                kernels.widest(|| input.set(config.heads * length, gather));
            }
        });
        self.multiply(kernels, pool, &layer.attention_output);
        self.add_delta(pool, layer.post_attention_norm.as_deref());
    }

    /// Finishes queries, keys and values (bias, norm, rotation), and stores the latter two in the cache.
    fn store(&mut self, pool: &mut Pool, cache: &mut Cache, index: usize, layer: &Layer<'_>) {
        let Self { config, tokens, position, ropes, query, key, value, queries, .. } = self;
        let (length, tokens, position) = (config.head_length, *tokens, *position);
        let rope = &ropes[layer.rotation];
        // Takes head `head` of those that begin at `start` of the bias.
        let bias = |start: usize, head: usize, out: &mut [f32]| {
            if let Some(bias) = &layer.qkv_bias {
                add(out, &bias[start + head * length..][..length]);
            }
        };
        let norm = |out: &mut [f32], norm: Option<&Vec<f32>>| {
            if let Some(norm) = norm {
                rms_norm_each(out, norm, config.epsilon);
            }
        };
        let norms = layer.head_norms.as_ref();
        let (key_bias, value_bias) = (config.heads * length, (config.heads + config.kv_heads) * length);
        // All heads of one token take less time than a dispatch.
        let heads_at_once = |heads| if tokens == 1 { heads } else { 1 };
        let unit = heads_at_once(config.heads) * tokens * length;
        pool.split(&mut queries[..config.heads * tokens * length], unit, |first, run| {
            for (offset, out) in run.chunks_exact_mut(length).enumerate() {
                let (head, token) = (first / (tokens * length) + offset / tokens, offset % tokens);
                query.copy_rows(token, head * length, out);
                bias(0, head, out);
                norm(out, norms.map(|norms| &norms.0));
                rope.rotate(token, out);
            }
        });
        let (unit, keys, values) = cache.layer_mut(index);
        let at_once = heads_at_once(config.kv_heads) * unit;
        pool.split_both((keys, at_once), (values, at_once), |first, keys, values| {
            for (head, (keys, values)) in
                (first..).zip(keys.chunks_exact_mut(unit).zip(values.chunks_exact_mut(unit)))
            {
                let new = position * length..(position + tokens) * length;
                let pairs =
                    keys[new.clone()].chunks_exact_mut(length).zip(values[new].chunks_exact_mut(length));
                for (token, (out_key, out_value)) in pairs.enumerate() {
                    key.copy_rows(token, head * length, out_key);
                    bias(key_bias, head, out_key);
                    norm(out_key, norms.map(|norms| &norms.1));
                    rope.rotate(token, out_key);
                    value.copy_rows(token, head * length, out_value);
                    bias(value_bias, head, out_value);
                }
            }
        });
    }

    /// What each head finds at the positions up to each token's.
    fn attend(&mut self, kernels: Kernels, pool: &mut Pool, cache: &Cache, index: usize, layer: &Layer<'_>) {
        let Self { config, tokens, position, queries, attended, scores, .. } = self;
        let (length, tokens, position, context) = (config.head_length, *tokens, *position, cache.context());
        let group = config.heads / config.kv_heads;
        let scale = (config.architecture.score_scale)(config);
        let out = &mut attended[..config.heads * tokens * length];
        pool.split_both((scores, context), (out, tokens * length), |first, scores, out| {
            let heads = scores.chunks_exact_mut(context).zip(out.chunks_exact_mut(tokens * length));
            for (head, (scores, out)) in (first..).zip(heads) {
                let queries = queries[head * tokens * length..].chunks_exact(length);
                for (token, (query, out)) in queries.zip(out.chunks_exact_mut(length)).enumerate() {
                    let positions = position + token + 1;
                    let first_seen = positions.saturating_sub(layer.window.unwrap_or(positions));
                    let scores = &mut scores[first_seen..positions];
                    let keys = &cache.keys(index, head / group, positions)[first_seen * length..];
                    kernels.score(query, keys, scale, scores);
                    kernels.widest(|| softmax(scores));
                    let values = &cache.values(index, head / group, positions)[first_seen * length..];
                    kernels.mix(scores, values, out);
                }
            }
        });
    }

    /// Adds what the feed-forward part gives.
    pub(super) fn feed_forward(&mut self, kernels: Kernels, pool: &mut Pool, layer: &Layer<'_>) {
        self.norm(kernels, pool, &layer.feed_forward_norm);
        let Self { config, tokens, inputs, gate, up, .. } = self;
        let inputs = &mut inputs[..*tokens];
        let unit = TILE * *tokens;
        pool.split_both((gate.begin(*tokens), unit), (up.begin(*tokens), unit), |first, gate, up| {
            kernels.multiply(&layer.gate, first * TILE, inputs, gate);
            kernels.multiply(&layer.up, first * TILE, inputs, up);
            kernels.widest(|| gated(config.architecture.activation, gate, up));
        });
        pool.split(inputs, 1, |first, inputs| {
            for (token, input) in (first..).zip(inputs) {
                kernels.widest(|| input.set(config.feed_forward, |out| gate.copy_rows(token, 0, out)));
            }
        });
        self.multiply(kernels, pool, &layer.down);
        self.add_delta(pool, layer.post_feed_forward_norm.as_deref());
    }

    /// A logit for each token of the vocabulary to come after the last one.
    pub(super) fn logits(
        &mut self,
        kernels: Kernels,
        pool: &mut Pool,
        model: &Model<'_>,
        logits: &mut [f32],
    ) {
        let Self { config, tokens, inputs, x, .. } = self;
        let x = &x[(*tokens - 1) * config.embedding..][..config.embedding];
        let inputs = &mut inputs[..1];
        let norm = |out: &mut [f32]| rms_norm(x, &model.output_norm, config.epsilon, out);
        kernels.widest(|| inputs[0].set(config.embedding, norm));
        pool.split(logits, TILE, |first, out| kernels.multiply(&model.output, first, inputs, out));
    }

    /// Sets the inputs to the norm of `x`.
    fn norm(&mut self, kernels: Kernels, pool: &mut Pool, weights: &[f32]) {
        let Self { config, tokens, inputs, x, .. } = self;
        pool.split(&mut inputs[..*tokens], 1, |first, inputs| {
            let x = x[first * config.embedding..].chunks_exact(config.embedding);
            for (input, x) in inputs.iter_mut().zip(x) {
                let norm = |out: &mut [f32]| rms_norm(x, weights, config.epsilon, out);
                kernels.widest(|| input.set(config.embedding, norm));
            }
        });
    }

    /// `delta = matrix * inputs`.
    fn multiply(&mut self, kernels: Kernels, pool: &mut Pool, matrix: &Matrix<'_>) {
        let Self { tokens, inputs, delta, .. } = self;
        let inputs = &inputs[..*tokens];
        pool.split(delta.begin(*tokens), TILE * *tokens, |first, out| {
            kernels.multiply(matrix, first / inputs.len(), inputs, out);
        });
    }

    /// Adds `delta`, or its norm, to `x`.
    fn add_delta(&mut self, pool: &mut Pool, norm: Option<&[f32]>) {
        let Self { config, tokens, x, delta, added, .. } = self;
        let width = config.embedding;
        let used = ..*tokens * width;
        pool.split_both((&mut x[used], width), (&mut added[used], width), |first, x, added| {
            let runs = x.chunks_exact_mut(width).zip(added.chunks_exact_mut(width));
            for (token, (x, added)) in (first..).zip(runs) {
                delta.copy_rows(token, 0, added);
                if let Some(norm) = norm {
                    rms_norm_each(added, norm, config.epsilon);
                }
                add(x, added);
            }
        });
    }
}
