//! Attention: queries, keys and values of every row, and what each query finds.

use embodios_kernels::Kernels;
use embodios_kernels::activations::Activations;
use embodios_kernels::found::BESIDE;
use embodios_pool::{Pool, Stages};

use super::finish::Finish;
use super::look::{Look, scratch_length, seen};
use super::{Forward, Part, multiply};
use crate::cache::by_block;
use crate::model::Layer;

/// Up to so many blocks are not shared out: adding up would have all workers wait for each other once more.
const FEW_PAGES: usize = 8;

impl Forward<'_> {
    /// Multiplies for queries, keys and values.
    pub(super) fn project(&mut self, pool: &mut Pool, layer: &Layer<'_>) {
        let Self { kernels, rows, inputs, query, key, value, .. } = self;
        let count = rows.count();
        let inputs = &inputs[..count];
        let band = rows.band(pool.workers());
        let cells = [query.cell(count), key.cell(count), value.cell(count)];
        // All three are cut alike: into cells where all can be.
        let cell = cells.into_iter().max().unwrap_or(1);
        let out = [query, key, value].map(|tiles| tiles.begin(count, band));
        let part = |part: usize, first: usize, out: &mut [f32]| {
            let matrix = [&layer.query, &layer.key, &layer.value][part];
            multiply(*kernels, matrix, first, (inputs, band), out);
        };
        if band < count {
            pool.split_alike(out, cell, part);
        } else {
            pool.split_each(out, cell, part);
        }
    }

    /// Does all between two products where every part has one row: with each the worker whose it is, from its query to
    /// what that finds, which is in its nearest cache. Sets `delta` as [`Self::attend`] does.
    pub(super) fn attend_each<P: AsMut<Part> + Send>(
        &mut self,
        pool: &mut Pool,
        parts: &mut [P],
        index: usize,
        layer: &Layer<'_>,
    ) {
        let Self { config, kernels, rows, ropes, query, key, value, inner, delta, .. } = self;
        let (heads, length, count) = (config.heads, config.head_length, rows.count());
        let (kernels, rows) = (*kernels, &*rows);
        let finish = Finish::new(config, kernels, rows, ropes, [query, key, value], layer);
        let look = Look::new(config, kernels, rows, layer, index);
        let band = rows.band(pool.workers());
        let (cell, out) = (delta.cell(count), delta.begin(count, band));
        pool.stage_both((&mut inner[..count], 1), (parts, 1), |first, inner, parts| {
            for (row, (input, part)) in (first..).zip(inner.iter_mut().zip(parts)) {
                let Part { sequence, work, .. } = part.as_mut();
                let (queries, rest) = work.split_at_mut(heads * length);
                let (keys, rest) = rest.split_at_mut(config.kv_heads * length);
                let (values, rest) = rest.split_at_mut(config.kv_heads * length);
                let (found, scratch) = rest.split_at_mut(heads * (length + BESIDE));
                finish.queries(row * heads, queries);
                finish.keys(row * config.kv_heads, keys);
                finish.values(row * config.kv_heads, values);
                sequence.store(kernels, index, rows.position(row), keys, values);
                look.sequence(sequence, queries, row * heads, found, scratch);
                gather(kernels, length, input, found.chunks_exact(length + BESIDE));
            }
        })
        .then(out, cell, |inner, first, out| {
            multiply(kernels, &layer.attention_output, first, (inner, band), out);
        })
        .run();
    }

    /// Sets `delta` to what the queries find at the positions up to their rows'.
    ///
    /// Workers pass over blocks in the order in which they lie in memory, with all the queries of a sequence that are
    /// theirs: queries are shared out. The queries of a single row are few, and its blocks may be many; then these are
    /// shared out, and what was found on each is added up afterwards.
    pub(super) fn attend<P: AsRef<Part> + Sync>(
        &mut self,
        pool: &mut Pool,
        parts: &[P],
        index: usize,
        layer: &Layer<'_>,
    ) {
        let Self { config, kernels, rows, inner, queries, attended, blocks, scratch, delta, .. } = self;
        let (heads, length, count) = (config.heads, config.head_length, rows.count());
        let found = length + BESIDE;
        let many_pages = (count == 1)
            .then(|| seen(layer, rows.position(0)))
            .filter(|seen| by_block(seen.clone()).count() > FEW_PAGES);
        if let Some(seen) = &many_pages {
            rows.share_out_pages(seen.clone(), heads, pool.workers());
        }
        let rows = &*rows;
        let look = Look::new(config, *kernels, rows, layer, index);
        let attended = &mut attended[..rows.vectors().len() * found];
        let scratch = (&mut scratch[..], scratch_length(length));
        let gather = |attended: &[f32], row: usize, input: &mut Activations| {
            let found = |head| &attended[rows.vector(row, head, heads) * found..][..found];
            gather(*kernels, length, input, (0..heads).map(found));
        };
        let band = rows.band(pool.workers());
        let out = (delta.cell(count), delta.begin(count, band));
        let project = |inner: &[Activations], first: usize, out: &mut [f32]| {
            multiply(*kernels, &layer.attention_output, first, (inner, band), out);
        };
        let inner = (count, &mut inner[..]);
        let Some(seen) = many_pages else {
            let look = |first: usize, out: &mut [f32], scratch: &mut [f32]| {
                look.rows(parts, queries, first, out, scratch)
            };
            let looked = pool.stage_at((attended, found, rows.bounds()), scratch, look);
            return run_to_product(looked, inner, gather, out, project);
        };
        let sequence = &parts[rows.span(0).part].as_ref().sequence;
        // From one block to the next of what a query has found.
        let stride = attended.len();
        let blocks = &mut blocks[..by_block(seen.clone()).count() * stride];
        let looked = pool.stage_at((blocks, found, rows.page_bounds()), scratch, |first, out, scratch| {
            look.one_row(sequence, queries, seen.clone(), first, out, scratch);
        });
        let added = looked.then(attended, found, |blocks, first, attended| {
            for (first, attended) in (first..).step_by(found).zip(attended.chunks_exact_mut(found)) {
                kernels.add_up(&blocks[first..], stride, attended);
            }
        });
        run_to_product(added, inner, gather, out, project);
    }
}

/// Goes on from what queries have found: gathers it for each row, and multiplies a matrix with it.
fn run_to_product<J: Fn(usize) + Sync>(
    found: Stages<'_, f32, J>,
    (count, inner): (usize, &mut [Activations]),
    gather: impl Fn(&[f32], usize, &mut Activations) + Sync,
    (cell, out): (usize, &mut [f32]),
    project: impl Fn(&[Activations], usize, &mut [f32]) + Sync,
) {
    found.then_each(inner, count, gather).then(out, cell, project).run();
}

/// Makes a row's input of what its heads have found, in order.
fn gather<'f>(
    kernels: Kernels,
    length: usize,
    input: &mut Activations,
    found: impl ExactSizeIterator<Item = &'f [f32]>,
) {
    input.set(kernels, found.len() * length, |out| {
        for (found, out) in found.zip(out.chunks_exact_mut(length)) {
            kernels.finish_found(found, out);
        }
    });
}
