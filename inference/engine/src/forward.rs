//! The forward pass of a step: a few tokens of one or several sequences at once, so that weights are read once for
//! all of them.
//!
//! Each token is a row. Steps between the matrix products are split by rows, the products by the rows of the
//! matrix, attention by heads. What is computed for a row depends neither on the other rows nor on who computes it,
//! so that neither the number of workers nor the company leaves a trace in the bits. A layer takes seven dispatches,
//! six when all rows are of one sequence, five when each is of another, and three when there is a single row, whose
//! steps between the products are the caller's alone or every worker's for itself.

mod attention;
mod finish;
mod logits;
mod look;
mod part;
mod product;
mod rows;

use alloc::vec::Vec;

use embodios_gguf::memory::{OutOfMemory, filled, reserved};
use embodios_kernels::activations::Activations;
use embodios_kernels::found::BESIDE;
use embodios_kernels::tiles::Tiles;
use embodios_kernels::vector::scale;
use embodios_kernels::{KV_BLOCK, Kernels};
use embodios_pool::Pool;

use crate::model::{Config, Layer, Model};
use crate::rope::{Rope, set_position};
pub use part::Part;
use product::multiply;
use rows::Rows;

/// Most rows of a step. More would make better use of unpacked weights, fewer leave more of the cache to weights.
pub(crate) const CHUNK: usize = 64;

/// A model's forward pass with all that is computed on the way.
#[derive(Debug)]
pub struct Forward<'m> {
    model: &'m Model<'m>,
    config: Config,
    kernels: Kernels,
    /// Most rows of a step.
    capacity: usize,
    rows: Rows,
    /// One for each of the model's rotations.
    ropes: Vec<Rope>,
    /// What a part of a layer takes, for each row.
    inputs: Vec<Activations>,
    /// What a part's last product takes: for each row, or a single one for each worker.
    inner: Vec<Activations>,
    /// For each row what passes through the layers, `embedding` long, and as much room for what is added to it.
    x: Vec<f32>,
    query: Tiles,
    key: Tiles,
    value: Tiles,
    /// Rotated queries, in the order of [`Rows::vectors`].
    queries: Vec<f32>,
    /// What each of them has [`embodios_kernels::found`].
    attended: Vec<f32>,
    /// What the queries of a single row have found on each block.
    blocks: Vec<f32>,
    /// Rotated keys, and values: for each row those of all heads.
    keys: Vec<f32>,
    values: Vec<f32>,
    /// What each worker needs to look at keys and values.
    scratch: Vec<f32>,
    gate: Tiles,
    up: Tiles,
    /// What a part of a layer adds.
    delta: Tiles,
}

impl<'m> Forward<'m> {
    /// A forward pass of up to `capacity` rows, and `parts` parts, of sequences of at most `context` positions.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(
        model: &'m Model<'m>,
        kernels: Kernels,
        capacity: usize,
        parts: usize,
        context: usize,
    ) -> Result<Self, OutOfMemory> {
        let config = &model.config;
        let queries = config.heads * config.head_length;
        let keys = config.kv_heads * config.head_length;
        let found = config.heads * (config.head_length + BESIDE);
        let what = "activations";
        let ropes = model.rotations.iter().map(|rotation| Rope::new(config, rotation, capacity));
        Ok(Self {
            model,
            kernels,
            capacity,
            rows: Rows::new(config, capacity, parts)?,
            ropes: ropes.collect::<Result<_, _>>()?,
            inputs: vectors(capacity, config.embedding)?,
            inner: Vec::new(),
            x: filled(capacity * 2 * config.embedding, 0.0, what)?,
            query: Tiles::new(queries, capacity)?,
            key: Tiles::new(keys, capacity)?,
            value: Tiles::new(keys, capacity)?,
            queries: filled(capacity * queries, 0.0, what)?,
            attended: filled(capacity * found, 0.0, what)?,
            blocks: filled(context.div_ceil(KV_BLOCK) * found, 0.0, what)?,
            keys: filled(capacity * keys, 0.0, what)?,
            values: filled(capacity * keys, 0.0, what)?,
            scratch: Vec::new(),
            gate: Tiles::new(config.feed_forward, capacity)?,
            up: Tiles::new(config.feed_forward, capacity)?,
            delta: Tiles::new(config.embedding, capacity)?,
            config: config.clone(),
        })
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &'m Model<'m> {
        self.model
    }

    /// Most rows of a step.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes room for as many workers; steps on no more of them allocate nothing.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn prepare(&mut self, workers: usize) -> Result<(), OutOfMemory> {
        self.rows.prepare(workers)?;
        let Config { heads, head_length, feed_forward, .. } = self.config;
        let inner = self.capacity.max(workers);
        if self.inner.len() < inner {
            self.inner = vectors(inner, feed_forward.max(heads * head_length))?;
        }
        let scratch = workers * look::scratch_length(head_length);
        if self.scratch.len() < scratch {
            self.scratch = filled(scratch, 0.0, "attention scores")?;
        }
        Ok(())
    }

    /// Passes the tokens of all parts through the model, and takes them from the parts.
    ///
    /// # Panics
    /// When there are more tokens than [`Self::capacity`], a token is not the model's, a sequence has no room, or
    /// [`Self::prepare`] was not called for so many workers.
    pub fn step<P: AsRef<Part> + AsMut<Part> + Send + Sync>(&mut self, pool: &mut Pool, parts: &mut [P]) {
        self.rows.set(&self.config, pool.workers(), parts);
        if self.rows.count() == 0 {
            return;
        }
        if !parts.iter().all(|part| part.as_ref().is_filled()) {
            self.fill(pool, parts);
        }
        self.begin(pool, parts);
        let layers = &self.model.layers;
        for (index, layer) in layers.iter().enumerate() {
            self.project(pool, layer);
            if self.rows.are_for_each() {
                self.attend_each(pool, parts, index, layer);
            } else {
                self.finish(pool, parts, index, layer);
                if index + 1 == layers.len() && self.rows.wanted().len() < self.rows.count() {
                    self.keep_wanted(pool.workers());
                }
                if self.rows.count() == 0 {
                    break;
                }
                self.attend(pool, parts, index, layer);
            }
            self.add(pool, layer.post_attention_norm.as_deref(), Some(&layer.feed_forward_norm));
            self.feed_forward(pool, layer);
            let next = layers.get(index + 1).map(|next| &*next.attention_norm);
            self.add(pool, layer.post_feed_forward_norm.as_deref(), next);
        }
        self.logits(pool, parts);
        for part in parts {
            let Part { sequence, tokens, .. } = part.as_mut();
            sequence.advance(tokens.len());
            tokens.clear();
        }
    }

    /// Fills the memory of parts, shared among the workers: it takes a system's time.
    fn fill<P: AsMut<Part> + Send>(&self, pool: &mut Pool, parts: &mut [P]) {
        pool.split(parts, 1, |_, parts| {
            for part in parts.iter_mut().map(AsMut::as_mut).filter(|part| !part.is_filled()) {
                part.fill(self.model, part.tokens.len());
            }
        });
    }

    /// Sets `x` to the tokens' embeddings, and the inputs to the first layer's norm of them.
    fn begin<P: AsRef<Part> + Sync>(&mut self, pool: &mut Pool, parts: &[P]) {
        let Self { model, config, kernels, rows, ropes, inputs, x, .. } = self;
        let (count, width, norm) = (rows.count(), config.embedding, &model.layers[0].attention_norm);
        let rows = &*rows;
        for rope in ropes {
            let length = rope.row_length();
            let (frequencies, turns) = rope.rows_mut();
            pool.split(&mut turns[..count * length], length, |first, turns| {
                for (row, turns) in (first / length..).zip(turns.chunks_exact_mut(length)) {
                    set_position(frequencies, turns, rows.position(row));
                }
            });
        }
        let (x, inputs) = (&mut x[..count * 2 * width], &mut inputs[..count]);
        pool.split_both((x, 2 * width), (inputs, 1), |first, x, inputs| {
            for (row, (x, input)) in (first..).zip(x.chunks_exact_mut(2 * width).zip(inputs)) {
                let x = &mut x[..width];
                model.token_embedding.dequantize_row(rows.token(row, parts) as usize, x);
                if config.architecture.scaled_embedding {
                    scale(x, libm::sqrtf(width as f32));
                }
                input.set(*kernels, width, |out| kernels.rms_norm(x, norm, config.epsilon, out));
            }
        });
    }

    /// Adds `delta`, or its norm, to `x`, and sets the inputs to the norm of the sum where one is next.
    fn add(&mut self, pool: &mut Pool, norm: Option<&[f32]>, next: Option<&[f32]>) {
        let Self { config, kernels, rows, inputs, x, delta, .. } = self;
        let (count, width, epsilon) = (rows.count(), config.embedding, config.epsilon);
        let (x, inputs) = (&mut x[..count * 2 * width], &mut inputs[..count]);
        pool.split_both((x, 2 * width), (inputs, 1), |first, x, inputs| {
            for (row, (x, input)) in (first..).zip(x.chunks_exact_mut(2 * width).zip(inputs)) {
                let (x, added) = x.split_at_mut(width);
                delta.copy_rows(row, 0, added);
                if let Some(norm) = norm {
                    kernels.rms_norm_each(added, norm, epsilon);
                }
                kernels.add(x, added);
                if let Some(next) = next {
                    input.set(*kernels, width, |out| kernels.rms_norm(x, next, epsilon, out));
                }
            }
        });
    }

    /// Sets `delta` to what the feed-forward part gives.
    fn feed_forward(&mut self, pool: &mut Pool, layer: &Layer<'_>) {
        let Self { config, kernels, rows, inputs, inner, gate, up, delta, .. } = self;
        let count = rows.count();
        let inputs = &inputs[..count];
        let band = rows.band(pool.workers());
        let (cell, layout) = (gate.cell(count), gate.layout(count, band));
        let (out_cell, out) = (delta.cell(count), delta.begin(count, band));
        let (gate, up) = (gate.begin(count, band), up.begin(count, band));
        pool.stage_both((gate, cell), (up, cell), |first, gate, up| {
            multiply(*kernels, &layer.gate, first * cell, (inputs, band), gate);
            multiply(*kernels, &layer.up, first * cell, (inputs, band), up);
            kernels.gated(config.architecture.activation, gate, up);
        })
        .then_each(inner, count, |gate, row, input| {
            input.set(*kernels, config.feed_forward, |out| layout.copy_rows(gate, row, 0, out));
        })
        .then(out, out_cell, |inner, first, out| multiply(*kernels, &layer.down, first, (inner, band), out))
        .run();
    }

    /// Leaves rows that no logits come from. Of the others `queries` and `x` are kept, for all that is left to do when
    /// the keys and values of the last layer are stored.
    fn keep_wanted(&mut self, workers: usize) {
        let Self { config, rows, queries, x, .. } = self;
        let (heads, length, width) = (config.heads, config.head_length, config.embedding);
        // To where others stood that are kept already, or left.
        for (kept, wanted) in rows.wanted().iter().enumerate() {
            x.copy_within(wanted.row * 2 * width..(wanted.row * 2 + 1) * width, kept * 2 * width);
            for head in 0..heads {
                let query = rows.vector(wanted.row, head, heads) * length;
                queries.copy_within(query..query + length, (kept * heads + head) * length);
            }
        }
        rows.keep_wanted(heads, workers);
    }
}

/// So many vectors of up to `length` elements.
fn vectors(count: usize, length: usize) -> Result<Vec<Activations>, OutOfMemory> {
    let mut vectors = reserved(count, "activations")?;
    for _ in 0..count {
        vectors.push(Activations::new(length)?);
    }
    Ok(vectors)
}
