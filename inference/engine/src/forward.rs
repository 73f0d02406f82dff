//! The forward pass of a step: a few tokens of one or several sequences at once, so that weights are read once for
//! all of them.
//!
//! Each token is a row. Steps between the matrix products are split by rows, the products by the rows of the matrix,
//! attention by heads. The results of a row depend neither on the other rows nor on the worker, so that the bits depend
//! neither on the number of workers nor on the batch. A layer takes seven dispatches, six when all rows are of one
//! sequence, five when each is of another, and three when there is a single row, whose steps between the products are
//! the caller's alone or every worker's for itself.

mod attention;
mod kv_attention;
mod logits;
mod matmul;
mod qkv_epilogue;
mod rows;
mod slot;

use alloc::vec::Vec;

use embodios_gguf::memory::{OutOfMemory, filled, reserved};
use embodios_kernels::activations::Activations;
use embodios_kernels::online_softmax::SOFTMAX_STATE;
use embodios_kernels::tiles::Tiles;
use embodios_kernels::vector::scale;
use embodios_kernels::{KV_BLOCK, Kernels};
use embodios_pool::Pool;

use crate::model::{Config, Layer, Model};
use crate::rope::{Rope, set_position};
use matmul::multiply;
use rows::Rows;
pub use slot::Slot;

/// Most rows of a step. More would make better use of unpacked weights, fewer leave more of the cache to weights.
pub(crate) const CHUNK: usize = 64;

/// A model's forward pass with its intermediate results.
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
    /// The input of a part of a layer, for each row.
    inputs: Vec<Activations>,
    /// The input of a part's last product: for each row, or a single one for each worker.
    inner: Vec<Activations>,
    /// For each row what passes through the layers, `embedding` long, and as much room for what is added to it.
    x: Vec<f32>,
    query: Tiles,
    key: Tiles,
    value: Tiles,
    /// Rotated queries, in the order of [`Rows::vectors`].
    queries: Vec<f32>,
    /// The queries' partials: [`embodios_kernels::online_softmax`].
    attended: Vec<f32>,
    /// The partials of a single row, for each KV block.
    blocks: Vec<f32>,
    /// Rotated keys, and values: for each row those of all heads.
    keys: Vec<f32>,
    values: Vec<f32>,
    /// Each worker's scores and sums in attention.
    scratch: Vec<f32>,
    gate: Tiles,
    up: Tiles,
    /// The output of a part of a layer, which is added.
    delta: Tiles,
}

impl<'m> Forward<'m> {
    /// A forward pass of up to `capacity` rows, and `slots` slots, of sequences of at most `context` positions.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(
        model: &'m Model<'m>,
        kernels: Kernels,
        capacity: usize,
        slots: usize,
        context: usize,
    ) -> Result<Self, OutOfMemory> {
        let config = &model.config;
        let queries = config.heads * config.head_length;
        let keys = config.kv_heads * config.head_length;
        let partials = config.heads * (config.head_length + SOFTMAX_STATE);
        let what = "activations";
        let ropes = model.rotations.iter().map(|rotation| Rope::new(config, rotation, capacity));
        Ok(Self {
            model,
            kernels,
            capacity,
            rows: Rows::new(config, capacity, slots)?,
            ropes: ropes.collect::<Result<_, _>>()?,
            inputs: vectors(capacity, config.embedding)?,
            inner: Vec::new(),
            x: filled(capacity * 2 * config.embedding, 0.0, what)?,
            query: Tiles::new(queries, capacity)?,
            key: Tiles::new(keys, capacity)?,
            value: Tiles::new(keys, capacity)?,
            queries: filled(capacity * queries, 0.0, what)?,
            attended: filled(capacity * partials, 0.0, what)?,
            blocks: filled(context.div_ceil(KV_BLOCK) * partials, 0.0, what)?,
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
        let scratch = workers * kv_attention::scratch_length(head_length);
        if self.scratch.len() < scratch {
            self.scratch = filled(scratch, 0.0, "attention scores")?;
        }
        Ok(())
    }

    /// Passes the tokens of all slots through the model, and takes them from the slots.
    ///
    /// # Panics
    /// When there are more tokens than [`Self::capacity`], a token is not the model's, a sequence has no room, or
    /// [`Self::prepare`] was not called for so many workers.
    pub fn step<P: AsRef<Slot> + AsMut<Slot> + Send + Sync>(&mut self, pool: &mut Pool, slots: &mut [P]) {
        self.rows.set(&self.config, pool.workers(), slots);
        if self.rows.count() == 0 {
            return;
        }
        if !slots.iter().all(|slot| slot.as_ref().is_filled()) {
            self.fill(pool, slots);
        }
        self.begin(pool, slots);
        let layers = &self.model.layers;
        for (index, layer) in layers.iter().enumerate() {
            self.project(pool, layer);
            if self.rows.are_for_each() {
                self.attend_each(pool, slots, index, layer);
            } else {
                self.qkv_epilogue(pool, slots, index, layer);
                if index + 1 == layers.len() && self.rows.outputs().len() < self.rows.count() {
                    self.gather_outputs(pool.workers());
                }
                if self.rows.count() == 0 {
                    break;
                }
                self.attend(pool, slots, index, layer);
            }
            self.add(pool, layer.post_attention_norm.as_deref(), Some(&layer.feed_forward_norm));
            self.feed_forward(pool, layer);
            let next = layers.get(index + 1).map(|next| &*next.attention_norm);
            self.add(pool, layer.post_feed_forward_norm.as_deref(), next);
        }
        self.logits(pool, slots);
        for slot in slots {
            let Slot { sequence, tokens, .. } = slot.as_mut();
            sequence.advance(tokens.len());
            tokens.clear();
        }
    }

    /// Fills the memory of slots, shared among the workers: it takes a system's time.
    fn fill<P: AsMut<Slot> + Send>(&self, pool: &mut Pool, slots: &mut [P]) {
        pool.split(slots, 1, |_, slots| {
            for slot in slots.iter_mut().map(AsMut::as_mut).filter(|slot| !slot.is_filled()) {
                slot.fill(self.model, slot.tokens.len());
            }
        });
    }

    /// Sets `x` to the tokens' embeddings, and the inputs to the first layer's norm of them.
    fn begin<P: AsRef<Slot> + Sync>(&mut self, pool: &mut Pool, slots: &[P]) {
        let Self { model, config, kernels, rows, ropes, inputs, x, .. } = self;
        let (count, width, norm) = (rows.count(), config.embedding, &model.layers[0].attention_norm);
        let rows = &*rows;
        for rope in ropes {
            let length = rope.row_length();
            let (frequencies, table) = rope.rows_mut();
            pool.split(&mut table[..count * length], length, |first, table| {
                for (row, table) in (first / length..).zip(table.chunks_exact_mut(length)) {
                    set_position(frequencies, table, rows.position(row));
                }
            });
        }
        let (x, inputs) = (&mut x[..count * 2 * width], &mut inputs[..count]);
        pool.split_both((x, 2 * width), (inputs, 1), |first, x, inputs| {
            for (row, (x, input)) in (first..).zip(x.chunks_exact_mut(2 * width).zip(inputs)) {
                let x = &mut x[..width];
                model.token_embedding.dequantize_row(rows.token(row, slots) as usize, x);
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

    /// Sets `delta` to the feed-forward part's output.
    fn feed_forward(&mut self, pool: &mut Pool, layer: &Layer<'_>) {
        let Self { config, kernels, rows, inputs, inner, gate, up, delta, .. } = self;
        let count = rows.count();
        let inputs = &inputs[..count];
        let m_block = rows.m_block(pool.workers());
        let (n_block, layout) = (gate.n_block(count), gate.layout(count, m_block));
        let (out_cell, out) = (delta.n_block(count), delta.begin(count, m_block));
        let (gate, up) = (gate.begin(count, m_block), up.begin(count, m_block));
        pool.stage_both((gate, n_block), (up, n_block), |first, gate, up| {
            multiply(*kernels, &layer.gate, first * n_block, (inputs, m_block), gate);
            multiply(*kernels, &layer.up, first * n_block, (inputs, m_block), up);
            kernels.gated(config.architecture.activation, gate, up);
        })
        .then_each(inner, count, |gate, row, input| {
            input.set(*kernels, config.feed_forward, |out| layout.copy_rows(gate, row, 0, out));
        })
        .then(out, out_cell, |inner, first, out| {
            multiply(*kernels, &layer.down, first, (inner, m_block), out)
        })
        .run();
    }

    /// Gathers the output rows, those that logits come from: once the last layer's keys and values are stored, only
    /// their `queries` and `x` are needed.
    fn gather_outputs(&mut self, workers: usize) {
        let Self { config, rows, queries, x, .. } = self;
        let (heads, length, width) = (config.heads, config.head_length, config.embedding);
        // To rows that are kept already, or dropped.
        for (kept, output) in rows.outputs().iter().enumerate() {
            x.copy_within(output.row * 2 * width..(output.row * 2 + 1) * width, kept * 2 * width);
            for head in 0..heads {
                let query = rows.vector(output.row, head, heads) * length;
                queries.copy_within(query..query + length, (kept * heads + head) * length);
            }
        }
        rows.gather_outputs(heads, workers);
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
