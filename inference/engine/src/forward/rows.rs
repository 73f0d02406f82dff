//! The rows of a step, the slots they belong to, and the workers' shares of attention.

use alloc::vec::Vec;
use core::ops::Range;

use embodios_gguf::memory::{OutOfMemory, reserved};
use embodios_kernels::KV_BLOCK;
use embodios_pool::share;

use super::Slot;
use crate::cache::by_block;
use crate::model::Config;

/// A token of the step.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// Index into [`Rows::spans`].
    span: usize,
    position: usize,
}

/// The rows of one slot, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// Index of the slot.
    pub slot: usize,
    /// Its first row.
    pub first: usize,
    /// Number of its rows.
    pub count: usize,
}

/// A slot that wants logits, and the row that they come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub slot: usize,
    pub row: usize,
}

/// A query of one head at one row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vector {
    pub row: usize,
    pub head: usize,
}

/// A step's rows.
#[derive(Debug)]
pub(super) struct Rows {
    rows: Vec<Row>,
    spans: Vec<Span>,
    outputs: Vec<Output>,
    vectors: Vec<Vector>,
    bounds: Vec<usize>,
    block_bounds: Vec<usize>,
    each: bool,
}

impl Rows {
    /// Room for `capacity` rows of `slots` slots.
    pub(super) fn new(config: &Config, capacity: usize, slots: usize) -> Result<Self, OutOfMemory> {
        Ok(Self {
            rows: reserved(capacity, "rows of a step")?,
            spans: reserved(slots, "rows of a step")?,
            outputs: reserved(slots, "rows of a step")?,
            vectors: reserved(capacity * config.heads, "rows of a step")?,
            bounds: Vec::new(),
            block_bounds: Vec::new(),
            each: false,
        })
    }

    /// Makes room for as many workers.
    pub(super) fn prepare(&mut self, workers: usize) -> Result<(), OutOfMemory> {
        if self.bounds.capacity() <= workers {
            self.bounds = reserved(workers + 1, "rows of a step")?;
            self.block_bounds = reserved(workers + 1, "rows of a step")?;
        }
        Ok(())
    }

    /// Takes the tokens of `slots` as rows, in order.
    pub(super) fn set<P: AsRef<Slot>>(&mut self, config: &Config, workers: usize, slots: &[P]) {
        let Self { rows, spans, outputs, vectors, bounds, each, .. } = self;
        rows.clear();
        spans.clear();
        outputs.clear();
        vectors.clear();
        bounds.clear();
        for (index, slot) in slots.iter().enumerate() {
            let Slot { sequence, tokens, wants_logits, .. } = slot.as_ref();
            if tokens.is_empty() {
                continue;
            }
            let (first, span, count) = (rows.len(), spans.len(), tokens.len());
            rows.extend((0..count).map(|offset| Row { span, position: sequence.position() + offset }));
            spans.push(Span { slot: index, first, count });
            if *wants_logits {
                outputs.push(Output { slot: index, row: first + count - 1 });
            }
            for head in 0..config.heads {
                vectors.extend((first..first + count).map(|row| Vector { row, head }));
            }
        }
        share_out(rows, vectors, workers, bounds);
        // A slot without a row, or with several, would leave fewer spans than slots, or than rows.
        *each = [rows.len(), slots.len(), outputs.len()] == [spans.len(); 3] && is_even(rows, workers);
    }

    /// Drops all rows but the output rows, which are a span each from then on.
    pub(super) fn gather_outputs(&mut self, heads: usize, workers: usize) {
        let Self { rows, spans, outputs, vectors, bounds, .. } = self;
        spans.clear();
        vectors.clear();
        bounds.clear();
        for (kept, output) in outputs.iter_mut().enumerate() {
            rows[kept] = Row { span: kept, position: rows[output.row].position };
            spans.push(Span { slot: output.slot, first: kept, count: 1 });
            vectors.extend((0..heads).map(|head| Vector { row: kept, head }));
            output.row = kept;
        }
        rows.truncate(outputs.len());
        share_out(rows, vectors, workers, bounds);
    }

    /// Number of rows.
    pub(super) const fn count(&self) -> usize {
        self.rows.len()
    }

    /// Rows of an M block of a product's results: all rows, or those of one worker where it has enough of them to read
    /// whole matrices for; it then multiplies rows that it has made itself.
    pub(super) const fn m_block(&self, workers: usize) -> usize {
        let count = self.count();
        if count >= M_BLOCK * workers { count.div_ceil(workers) } else { count }
    }

    /// Position of a row in its sequence.
    pub(super) fn position(&self, row: usize) -> usize {
        self.rows[row].position
    }

    /// Token of a row.
    pub(super) fn token<P: AsRef<Slot>>(&self, row: usize, slots: &[P]) -> u32 {
        let Span { slot, first, .. } = self.span(row);
        slots[slot].as_ref().tokens[row - first]
    }

    /// The rows of a row's slot.
    pub(super) fn span(&self, row: usize) -> Span {
        self.spans[self.rows[row].span]
    }

    /// The rows of all slots.
    pub(super) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The rows that logits come from, by ascending slot.
    pub(super) fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// All queries: for each slot and head those of its rows.
    pub(super) fn vectors(&self) -> &[Vector] {
        &self.vectors
    }

    /// Index of a query of [`Self::vectors`].
    pub(super) fn vector(&self, row: usize, head: usize, heads: usize) -> usize {
        let Span { first, count, .. } = self.span(row);
        first * heads + head * count + row - first
    }

    /// Whether every slot has one row and wants logits, and the workers' shares are about even when whole rows are
    /// shared out, with all their queries, keys and values.
    pub(super) const fn are_for_each(&self) -> bool {
        self.each
    }

    /// For each worker its first query, and at the end their number.
    pub(super) fn bounds(&self) -> &[usize] {
        &self.bounds
    }

    /// Shares out the KV blocks of the positions that are visible to the only row, each once a head.
    pub(super) fn share_out_blocks(&mut self, seen: Range<usize>, heads: usize, workers: usize) {
        share_out_blocks(seen, heads, workers, &mut self.block_bounds);
    }

    /// For each worker its first block and head as shared out last: block after block, with all heads of each.
    pub(super) fn block_bounds(&self) -> &[usize] {
        &self.block_bounds
    }
}

/// Rows a worker from which on each takes all products of its own rows (docs/batching.md).
const M_BLOCK: usize = 24;

/// Cost of beginning a query, in keys.
const EACH: usize = 8;

/// Shares out heads and KV blocks so that every worker passes over about as many keys.
fn share_out_blocks(seen: Range<usize>, heads: usize, workers: usize, bounds: &mut Vec<usize>) {
    let count = by_block(seen.clone()).count();
    // The cost of a head's blocks before this one.
    let before = |block: usize| {
        let end = ((seen.start / KV_BLOCK + block) * KV_BLOCK).clamp(seen.start, seen.end);
        end - seen.start + block * EACH
    };
    let total = before(count) * heads;
    bounds.clear();
    for worker in 0..=workers {
        let wanted = total * worker / workers;
        // The last block that begins no later, and what is left of it in heads.
        let block = (wanted / heads / (KV_BLOCK + EACH)).min(count - 1);
        let block = if before(block + 1) * heads <= wanted { (block + 1).min(count - 1) } else { block };
        let each = before(block + 1) - before(block);
        let head = (wanted - before(block) * heads + each / 2) / each;
        bounds.push(block * heads + head);
    }
}

/// Cost of a row's epilogue (queries, keys, values), in keys of each head.
const EACH_ROW: usize = 24;

/// Whether no worker has an eighth more to do than the mean when rows are shared out by their number.
fn is_even(rows: &[Row], workers: usize) -> bool {
    let cost = |rows: &[Row]| rows.iter().map(|row| row.position + EACH_ROW).sum::<usize>();
    let most = (0..workers).map(|worker| cost(&rows[share(rows.len(), worker, workers)])).max();
    rows.len() > 1 && most.unwrap_or(0) * workers * 8 <= cost(rows) * 9
}

/// Shares out queries so that every worker passes over about as many keys.
fn share_out(rows: &[Row], vectors: &[Vector], workers: usize, bounds: &mut Vec<usize>) {
    let cost = |vector: &Vector| rows[vector.row].position + 1 + EACH;
    let total: usize = vectors.iter().map(cost).sum();
    bounds.push(0);
    let (mut before, mut next) = (0, 0);
    for worker in 1..workers {
        let wanted = total * worker / workers;
        // The bound that comes nearest.
        while next < vectors.len() && before + cost(&vectors[next]) / 2 < wanted {
            before += cost(&vectors[next]);
            next += 1;
        }
        bounds.push(next);
    }
    bounds.push(vectors.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn bounds(positions: &[usize], heads: usize, workers: usize) -> Vec<usize> {
        let rows: Vec<_> = positions.iter().map(|&position| Row { span: 0, position }).collect();
        let vectors: Vec<_> =
            (0..heads * rows.len()).map(|i| Vector { row: i / heads, head: i % heads }).collect();
        let mut bounds = Vec::new();
        share_out(&rows, &vectors, workers, &mut bounds);
        bounds
    }

    #[test]
    fn shares_of_blocks_are_even_by_cost() {
        let bounds = |seen: Range<usize>, heads, workers| {
            let mut bounds = Vec::new();
            share_out_blocks(seen, heads, workers, &mut bounds);
            bounds
        };
        assert_eq!(bounds(0..1, 9, 1), [0, 9]);
        assert_eq!(bounds(0..1, 9, 3), [0, 3, 6, 9]);
        assert_eq!(bounds(0..4 * KV_BLOCK, 9, 2), [0, 18, 36]);
        // A window that begins and ends within blocks: 8 + 32 + 16 positions and 3 beginnings.
        assert_eq!(bounds(KV_BLOCK - 8..2 * KV_BLOCK + 16, 8, 2), [0, 13, 24]);
        for end in 1..100 {
            for workers in 1..=8 {
                let bounds = bounds(end / 3..end, 5, workers);
                assert!(bounds.is_sorted() && bounds.len() == workers + 1, "{end} {workers}");
                assert_eq!(bounds[workers], by_block(end / 3..end).count() * 5);
            }
        }
    }

    #[test]
    fn shares_are_even_by_cost() {
        assert_eq!(bounds(&[7; 8], 9, 8), (0..=8).map(|worker| worker * 9).collect::<Vec<_>>());
        assert_eq!(bounds(&[100], 9, 2), [0, 4, 9]);
        assert_eq!(bounds(&[100], 2, 4), [0, 0, 1, 1, 2]);
        // Two long texts softmax_weights as much as sixteen short ones.
        let mut positions = vec![711; 2];
        positions.extend([71; 16]);
        assert_eq!(bounds(&positions, 1, 2), [0, 2, 18]);
    }
}
