//! Attention of queries to the KV blocks of their sequences: scores, softmax weights, weighted sums of V.

use core::ops::Range;

use embodios_kernels::online_softmax::{self, SOFTMAX_STATE};
use embodios_kernels::{KV_BLOCK, Kernels, SHARING, Vectors};

use super::Slot;
use super::rows::{Rows, Vector};
use crate::cache::{Sequence, by_block};
use crate::model::{Config, Layer};

/// Floats of a worker's scratch, for heads of `length` elements: scores and sums.
pub(super) const fn scratch_length(length: usize) -> usize {
    SHARING * (KV_BLOCK + length)
}

/// The positions that are visible to a query at `position` in a layer: causal, within the layer's window.
pub(super) fn seen(layer: &Layer<'_>, position: usize) -> Range<usize> {
    let end = position + 1;
    end.saturating_sub(layer.window.unwrap_or(end))..end
}

/// The attention of one layer.
pub(super) struct KvAttention<'a> {
    kernels: Kernels,
    rows: &'a Rows,
    /// Elements of a head.
    length: usize,
    /// Heads that share keys and values.
    group: usize,
    layer: &'a Layer<'a>,
    /// Index of the layer.
    index: usize,
    /// Scale of the scores.
    scale: f32,
}

impl<'a> KvAttention<'a> {
    /// The attention of layer `index`. Queries are rotated, in the order of [`Rows::vectors`].
    pub(super) fn new(
        config: &Config,
        kernels: Kernels,
        rows: &'a Rows,
        layer: &'a Layer<'a>,
        index: usize,
    ) -> Self {
        let scale = (config.architecture.score_scale)(config);
        Self {
            kernels,
            rows,
            length: config.head_length,
            group: config.heads / config.kv_heads,
            layer,
            index,
            scale,
        }
    }

    /// Sets `out` to the partials of the only row, KV block by block of `seen`, those of all heads of each; it is a run
    /// of them, which begins with number `first`.
    pub(super) fn one_row(
        &self,
        sequence: &Sequence,
        queries: &[f32],
        seen: Range<usize>,
        first: usize,
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (partial, heads) = (self.length + SOFTMAX_STATE, self.rows.vectors().len());
        let (mut head, mut rest) = (first % heads, out);
        for positions in by_block(seen).skip(first / heads) {
            let (mut out, later) = rest.split_at_mut(rest.len().min((heads - head) * partial));
            while !out.is_empty() {
                let sharing = self.sharing(head, out.len() / partial);
                let (taken, others) = out.split_at_mut(sharing * partial);
                let set = |query: usize, values: &[f32], state: (f32, f32)| {
                    online_softmax::set(&mut taken[query * partial..][..partial], values, state);
                };
                let queries = &queries[head * self.length..][..sharing * self.length];
                self.block(sequence, queries, head, positions.clone(), scratch, set);
                (head, out) = (head + sharing, others);
            }
            if later.is_empty() {
                return;
            }
            (head, rest) = (0, later);
        }
    }

    /// Sets `out` to the partials of a run of queries, which begins with number `first`.
    pub(super) fn rows<P: AsRef<Slot>>(
        &self,
        slots: &[P],
        queries: &[f32],
        first: usize,
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        let partial = self.length + SOFTMAX_STATE;
        let (mut first, mut rest) = (first, out);
        while !rest.is_empty() {
            let span = self.rows.span(self.rows.vectors()[first].row);
            let count = ((span.first + span.count) * self.heads() - first).min(rest.len() / partial);
            let (out, others) = rest.split_at_mut(count * partial);
            let queries = &queries[first * self.length..][..count * self.length];
            self.sequence(&slots[span.slot].as_ref().sequence, queries, first, out, scratch);
            (first, rest) = (first + count, others);
        }
    }

    /// Sets `out` to the partials of some queries of one sequence, the first of which is number `first`.
    pub(super) fn sequence(
        &self,
        sequence: &Sequence,
        queries: &[f32],
        first: usize,
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (length, partial) = (self.length, self.length + SOFTMAX_STATE);
        out.chunks_exact_mut(partial).for_each(online_softmax::clear);
        let end = first + queries.len() / length;
        let from = (first..end).map(|query| self.seen(query).start).min().unwrap_or(0);
        let to = (first..end).map(|query| self.seen(query).end).max().unwrap_or(0);
        for positions in by_block(from..to) {
            let mut query = first;
            while query < end {
                let sharing = self.sharing(query, end - query);
                let out = &mut out[(query - first) * partial..][..sharing * partial];
                let queries = &queries[(query - first) * length..][..sharing * length];
                let merge = |query: usize, values: &[f32], state: (f32, f32)| {
                    self.kernels.merge_partial(&mut out[query * partial..][..partial], values, state);
                };
                self.block(sequence, queries, query, positions.clone(), scratch, merge);
                query += sharing;
            }
        }
    }

    /// Attends to positions of one KV block, with a few queries from number `first` on: calls `emit(index of the query
    /// among them, weighted sum, state)` for each to which any of the positions is visible.
    fn block(
        &self,
        sequence: &Sequence,
        queries: &[f32],
        first: usize,
        positions: Range<usize>,
        scratch: &mut [f32],
        mut emit: impl FnMut(usize, &[f32], (f32, f32)),
    ) {
        let &Self { kernels, length, scale, .. } = self;
        let sharing = queries.len() / length;
        let block_start = positions.start / KV_BLOCK * KV_BLOCK;
        let within = |position: usize| position.clamp(positions.start, positions.end) - block_start;
        let mut seen = [const { 0..0 }; SHARING];
        for (query, seen) in (first..first + sharing).zip(&mut seen) {
            let Range { start, end } = self.seen(query);
            *seen = within(start)..within(end);
        }
        if seen.iter().all(Range::is_empty) {
            return;
        }
        let head = self.rows.vectors()[first].head / self.group;
        let [keys, values] = sequence.vectors(self.index, head, positions.clone());
        let vectors = |bytes| Vectors { precision: sequence.precision(), bytes };
        let (scores, sums) = scratch.split_at_mut(SHARING * KV_BLOCK);
        let (scores, sums) = (&mut scores[..sharing * KV_BLOCK], &mut sums[..sharing * length]);
        kernels.score(queries, length, &vectors(keys), scale, scores, KV_BLOCK);
        let mut states = [(0.0, 0.0); SHARING];
        kernels.softmax_weights_of_blocks(scores.as_chunks_mut().0, &seen, &mut states);
        sums.fill(0.0);
        kernels.weighted_sum(
            &scores[positions.start - block_start..],
            KV_BLOCK,
            &vectors(values),
            length,
            sums,
        );
        for (query, sums) in sums.chunks_exact(length).enumerate() {
            if !seen[query].is_empty() {
                emit(query, sums, states[query]);
            }
        }
    }

    /// Queries from `first` on, at most `most`, that share keys and values.
    fn sharing(&self, first: usize, most: usize) -> usize {
        let Vector { row, head } = self.rows.vectors()[first];
        let span = self.rows.span(row);
        let end = span.first * self.heads() + (head / self.group + 1) * self.group * span.count;
        (end - first).min(SHARING).min(most)
    }

    /// The positions that are visible to a query.
    fn seen(&self, query: usize) -> Range<usize> {
        seen(self.layer, self.rows.position(self.rows.vectors()[query].row))
    }

    /// Queries of a row.
    fn heads(&self) -> usize {
        self.rows.vectors().len() / self.rows.count()
    }
}
