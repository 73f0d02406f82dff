//! The forward pass of a few tokens at once, so that weights are read once for all of them.
//!
//! Steps between the matrix products are split by tokens, the products by rows, attention by heads. With one token,
//! what is split by tokens is the caller's alone, and a layer takes four dispatches.

use alloc::vec::Vec;

use super::SessionError;
use crate::activations::Activations;
use crate::cache::Cache;
use crate::kernels::{Kernels, SHARING, Vectors};
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
    /// Rotated keys, and values, in the same order.
    keys: Vec<f32>,
    values: Vec<f32>,
    /// Scores of some queries for each head: `heads * SHARING * context`.
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
            keys: filled(capacity * keys, 0.0, what)?,
            values: filled(capacity * keys, 0.0, what)?,
            scores: filled(config.heads * SHARING * context, 0.0, "attention scores")?,
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
        self.store(kernels, pool, cache, index, layer);
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
    fn store(
        &mut self,
        kernels: Kernels,
        pool: &mut Pool,
        cache: &mut Cache,
        index: usize,
        layer: &Layer<'_>,
    ) {
        let Self { config, tokens, position, ropes, query, key, value, queries, keys, values, .. } = self;
        let (length, tokens) = (config.head_length, *tokens);
        let (of_query, of_key) = (config.heads * length, config.kv_heads * length);
        let (rope, norms) = (&ropes[layer.rotation], layer.head_norms.as_ref());
        // For queries, keys and values: where they come from, where their bias begins, and their norm.
        let sources = [
            (&*query, 0, norms.map(|norms| &norms.0)),
            (&*key, of_query, norms.map(|norms| &norms.1)),
            (&*value, of_query + of_key, None),
        ];
        let slices =
            [&mut queries[..tokens * of_query], &mut keys[..tokens * of_key], &mut values[..tokens * of_key]];
        let finish = |part: usize, first: usize, run: &mut [f32]| {
            let (source, bias_start, norm) = sources[part];
            for (offset, out) in run.chunks_exact_mut(length).enumerate() {
                let (head, token) = ((first / length + offset) / tokens, offset % tokens);
                source.copy_rows(token, head * length, out);
                if let Some(bias) = &layer.qkv_bias {
                    add(out, &bias[bias_start + head * length..][..length]);
                }
                if let Some(norm) = norm {
                    rms_norm_each(out, norm, config.epsilon);
                }
                if part < 2 {
                    rope.rotate(token, out);
                }
            }
        };
        let (precision, position) = (cache.precision(), *position);
        let (unit, cached_keys, cached_values) = cache.layer_mut(index);
        let vector = length * precision.bytes();
        let new = position * vector..(position + tokens) * vector;
        // All heads of one token take less time than a dispatch.
        if tokens == 1 {
            kernels.widest(|| slices.into_iter().enumerate().for_each(|(part, run)| finish(part, 0, run)));
        } else {
            pool.split_each(slices, tokens * length, |part, first, run| {
                kernels.widest(|| finish(part, first, run));
            });
        }
        let at_once = if tokens == 1 { config.kv_heads * unit } else { unit };
        pool.split_both(
            (cached_keys, at_once),
            (cached_values, at_once),
            |first, cached_keys, cached_values| {
                for (cached, vectors) in [(cached_keys, &*keys), (cached_values, &*values)] {
                    let vectors = vectors[first * tokens * length..].chunks_exact(tokens * length);
                    for (cached, vectors) in cached.chunks_exact_mut(unit).zip(vectors) {
                        kernels.widest(|| precision.encode(vectors, &mut cached[new.clone()]));
                    }
                }
            },
        );
    }

    /// What each head finds at the positions up to each token's. Queries that share keys are taken a few at a time:
    /// scores past what one of them sees become weights of 0.
    fn attend(&mut self, kernels: Kernels, pool: &mut Pool, cache: &Cache, index: usize, layer: &Layer<'_>) {
        let Self { config, tokens, position, queries, attended, scores, .. } = self;
        let (length, tokens, position, stride) = (config.head_length, *tokens, *position, cache.context());
        let group = config.heads / config.kv_heads;
        let scale = (config.architecture.score_scale)(config);
        let (head, precision) = (tokens * length, cache.precision());
        let seen = |token: usize| {
            let end = position + token + 1;
            end.saturating_sub(layer.window.unwrap_or(end))..end
        };
        let out = &mut attended[..config.heads * head];
        pool.split_both((scores, SHARING * stride), (out, head), |first, scores, mut out| {
            let mut vector = first * tokens;
            while !out.is_empty() {
                let kv_head = vector / tokens / group;
                let sharing = ((kv_head + 1) * group * tokens - vector).min(SHARING).min(out.len() / length);
                let (results, rest) = out.split_at_mut(sharing * length);
                let seen_by = |index: usize| seen((vector + index) % tokens);
                let start = (0..sharing).map(|index| seen_by(index).start).min().unwrap_or(0);
                let end = (0..sharing).map(|index| seen_by(index).end).max().unwrap_or(0);
                let keys = Vectors { precision, bytes: cache.keys(index, kv_head, start..end) };
                let values = Vectors { precision, bytes: cache.values(index, kv_head, start..end) };
                kernels.score(
                    &queries[vector * length..][..sharing * length],
                    length,
                    &keys,
                    scale,
                    scores,
                    stride,
                );
                for (index, scores) in scores.chunks_exact_mut(stride).take(sharing).enumerate() {
                    let seen = seen_by(index).start - start..seen_by(index).end - start;
                    scores[..seen.start].fill(0.0);
                    scores[seen.end..end - start].fill(0.0);
                    kernels.widest(|| softmax(&mut scores[seen]));
                }
                kernels.mix(scores, stride, &values, length, results);
                vector += sharing;
                out = rest;
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
