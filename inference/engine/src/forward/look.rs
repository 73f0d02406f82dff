//! Looking at keys and values: what queries find on the blocks of their sequences.

use core::ops::Range;

use embodios_kernels::found::{self, BESIDE};
use embodios_kernels::{KV_BLOCK, Kernels, SHARING, Vectors};

use super::Part;
use super::rows::{Rows, Vector};
use crate::cache::{Sequence, by_block};
use crate::model::{Config, Layer};

/// Floats that a worker needs to look, for heads of `length` elements.
pub(super) const fn scratch_length(length: usize) -> usize {
    SHARING * (KV_BLOCK + length)
}

/// The positions that a query at `position` sees in a layer.
pub(super) fn seen(layer: &Layer<'_>, position: usize) -> Range<usize> {
    let end = position + 1;
    end.saturating_sub(layer.window.unwrap_or(end))..end
}

/// What looking takes.
pub(super) struct Look<'a> {
    kernels: Kernels,
    rows: &'a Rows,
    /// Elements of a head.
    length: usize,
    /// Heads that share keys and values.
    group: usize,
    layer: &'a Layer<'a>,
    /// Number of the layer.
    index: usize,
    /// Of the scores.
    scale: f32,
}

impl<'a> Look<'a> {
    /// At the keys and values of layer `index`. Queries are rotated, in the order of [`Rows::vectors`].
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

    /// What the queries of the only row find on each of the blocks of `seen`, by themselves: for each block `out` holds
    /// that of all heads. This is a run of it, which begins with number `first`.
    pub(super) fn one_row(
        &self,
        sequence: &Sequence,
        queries: &[f32],
        seen: Range<usize>,
        first: usize,
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (found, heads) = (self.length + BESIDE, self.rows.vectors().len());
        let (mut head, mut rest) = (first % heads, out);
        for positions in by_block(seen).skip(first / heads) {
            let (mut out, later) = rest.split_at_mut(rest.len().min((heads - head) * found));
            while !out.is_empty() {
                let sharing = self.sharing(head, out.len() / found);
                let (taken, others) = out.split_at_mut(sharing * found);
                let set = |query: usize, values: &[f32], weighed: (f32, f32)| {
                    found::set(&mut taken[query * found..][..found], values, weighed);
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

    /// What a run of queries finds, which begins with number `first`.
    pub(super) fn rows<P: AsRef<Part>>(
        &self,
        parts: &[P],
        queries: &[f32],
        first: usize,
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        let found = self.length + BESIDE;
        let (mut first, mut rest) = (first, out);
        while !rest.is_empty() {
            let span = self.rows.span(self.rows.vectors()[first].row);
            let count = ((span.first + span.count) * self.heads() - first).min(rest.len() / found);
            let (out, others) = rest.split_at_mut(count * found);
            let queries = &queries[first * self.length..][..count * self.length];
            self.sequence(&parts[span.part].as_ref().sequence, queries, first, out, scratch);
            (first, rest) = (first + count, others);
        }
    }

    /// What some queries of one sequence find, the first of which is number `first`.
    pub(super) fn sequence(
        &self,
        sequence: &Sequence,
        queries: &[f32],
        first: usize,
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (length, found) = (self.length, self.length + BESIDE);
        out.chunks_exact_mut(found).for_each(found::begin);
        let end = first + queries.len() / length;
        let from = (first..end).map(|query| self.seen(query).start).min().unwrap_or(0);
        let to = (first..end).map(|query| self.seen(query).end).max().unwrap_or(0);
        for positions in by_block(from..to) {
            let mut query = first;
            while query < end {
                let sharing = self.sharing(query, end - query);
                let out = &mut out[(query - first) * found..][..sharing * found];
                let queries = &queries[(query - first) * length..][..sharing * length];
                let add = |query: usize, values: &[f32], weighed: (f32, f32)| {
                    self.kernels.add_found(&mut out[query * found..][..found], values, weighed);
                };
                self.block(sequence, queries, query, positions.clone(), scratch, add);
                query += sharing;
            }
        }
    }

    /// Looks at positions of one block, with a few queries from number `first` on: calls `found(index of the query among
    /// them, sum of the values, result of weighing)` for each that sees any of the positions.
    fn block(
        &self,
        sequence: &Sequence,
        queries: &[f32],
        first: usize,
        positions: Range<usize>,
        scratch: &mut [f32],
        mut found: impl FnMut(usize, &[f32], (f32, f32)),
    ) {
        let &Self { kernels, length, scale, .. } = self;
        let sharing = queries.len() / length;
        let start_of_page = positions.start / KV_BLOCK * KV_BLOCK;
        let within = |position: usize| position.clamp(positions.start, positions.end) - start_of_page;
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
        let mut weighed = [(0.0, 0.0); SHARING];
        kernels.weigh_pages(scores.as_chunks_mut().0, &seen, &mut weighed);
        sums.fill(0.0);
        kernels.mix(&scores[positions.start - start_of_page..], KV_BLOCK, &vectors(values), length, sums);
        for (query, sums) in sums.chunks_exact(length).enumerate() {
            if !seen[query].is_empty() {
                found(query, sums, weighed[query]);
            }
        }
    }

    /// How many of the queries from `first` on, of at most `most`, share keys and values, and are looked for together.
    fn sharing(&self, first: usize, most: usize) -> usize {
        let Vector { row, head } = self.rows.vectors()[first];
        let span = self.rows.span(row);
        let end = span.first * self.heads() + (head / self.group + 1) * self.group * span.count;
        (end - first).min(SHARING).min(most)
    }

    /// The positions that a query sees.
    fn seen(&self, query: usize) -> Range<usize> {
        seen(self.layer, self.rows.position(self.rows.vectors()[query].row))
    }

    /// Queries of a row.
    fn heads(&self) -> usize {
        self.rows.vectors().len() / self.rows.count()
    }
}
