//! The attention part of a layer: products for q, k and v, attention, output product, and how it is shared out.

use embodios_kernels::Kernels;
use embodios_kernels::activations::Activations;
use embodios_kernels::online_softmax::SOFTMAX_STATE;
use embodios_pool::{Pool, Stages};

use super::kv_attention::{KvAttention, scratch_length, seen};
use super::qkv_epilogue::QkvEpilogue;
use super::{Forward, Slot, multiply};
use crate::cache::by_block;
use crate::model::Layer;

/// Up to so many KV blocks of a single row are not shared out: merging partials takes one more barrier.
const FEW_BLOCKS: usize = 8;

impl Forward<'_> {
    /// Computes the products for q, k and v.
    pub(super) fn project(&mut self, pool: &mut Pool, layer: &Layer<'_>) {
        let Self { kernels, rows, inputs, query, key, value, .. } = self;
        let count = rows.count();
        let inputs = &inputs[..count];
        let m_block = rows.m_block(pool.workers());
        let n_blocks = [query.n_block(count), key.n_block(count), value.n_block(count)];
        // All three are cut alike: into the largest N block.
        let n_block = n_blocks.into_iter().max().unwrap_or(1);
        let out = [query, key, value].map(|tiles| tiles.begin(count, m_block));
        let product = |which: usize, first: usize, out: &mut [f32]| {
            let matrix = [&layer.query, &layer.key, &layer.value][which];
            multiply(*kernels, matrix, first, (inputs, m_block), out);
        };
        if m_block < count {
            pool.split_alike(out, n_block, product);
        } else {
            pool.split_each(out, n_block, product);
        }
    }

    /// Computes everything between two products where every slot has one row: each row on one worker, from its queries
    /// to its partials, which stay in the nearest cache. Sets `delta` as [`Self::attend`] does.
    pub(super) fn attend_each<P: AsMut<Slot> + Send>(
        &mut self,
        pool: &mut Pool,
        slots: &mut [P],
        index: usize,
        layer: &Layer<'_>,
    ) {
        let Self { config, kernels, rows, ropes, query, key, value, inner, delta, .. } = self;
        let (heads, length, count) = (config.heads, config.head_length, rows.count());
        let (kernels, rows) = (*kernels, &*rows);
        let epilogue = QkvEpilogue::new(config, kernels, rows, ropes, [query, key, value], layer);
        let attention = KvAttention::new(config, kernels, rows, layer, index);
        let m_block = rows.m_block(pool.workers());
        let (n_block, out) = (delta.n_block(count), delta.begin(count, m_block));
        pool.stage_both((&mut inner[..count], 1), (slots, 1), |first, inner, slots| {
            for (row, (input, slot)) in (first..).zip(inner.iter_mut().zip(slots)) {
                let Slot { sequence, work, .. } = slot.as_mut();
                let (queries, rest) = work.split_at_mut(heads * length);
                let (keys, rest) = rest.split_at_mut(config.kv_heads * length);
                let (values, rest) = rest.split_at_mut(config.kv_heads * length);
                let (partials, scratch) = rest.split_at_mut(heads * (length + SOFTMAX_STATE));
                epilogue.queries(row * heads, queries);
                epilogue.keys(row * config.kv_heads, keys);
                epilogue.values(row * config.kv_heads, values);
                sequence.store(kernels, index, rows.position(row), keys, values);
                attention.sequence(sequence, queries, row * heads, partials, scratch);
                gather(kernels, length, input, partials.chunks_exact(length + SOFTMAX_STATE));
            }
        })
        .then(out, n_block, |inner, first, out| {
            multiply(kernels, &layer.attention_output, first, (inner, m_block), out);
        })
        .run();
    }

    /// Sets `delta` to the attention part's output.
    ///
    /// Queries are shared out: a worker passes over a sequence's KV blocks in the order of memory, with all its
    /// queries. A single row has few queries and may have many blocks; then these are shared out, and the partials of
    /// each are merged afterwards.
    pub(super) fn attend<P: AsRef<Slot> + Sync>(
        &mut self,
        pool: &mut Pool,
        slots: &[P],
        index: usize,
        layer: &Layer<'_>,
    ) {
        let Self { config, kernels, rows, inner, queries, attended, blocks, scratch, delta, .. } = self;
        let (heads, length, count) = (config.heads, config.head_length, rows.count());
        let partial = length + SOFTMAX_STATE;
        let many_blocks = (count == 1)
            .then(|| seen(layer, rows.position(0)))
            .filter(|seen| by_block(seen.clone()).count() > FEW_BLOCKS);
        if let Some(seen) = &many_blocks {
            rows.share_out_blocks(seen.clone(), heads, pool.workers());
        }
        let rows = &*rows;
        let attention = KvAttention::new(config, *kernels, rows, layer, index);
        let attended = &mut attended[..rows.vectors().len() * partial];
        let scratch = (&mut scratch[..], scratch_length(length));
        let gather = |attended: &[f32], row: usize, input: &mut Activations| {
            let of_head = |head| &attended[rows.vector(row, head, heads) * partial..][..partial];
            gather(*kernels, length, input, (0..heads).map(of_head));
        };
        let m_block = rows.m_block(pool.workers());
        let out = (delta.n_block(count), delta.begin(count, m_block));
        let project = |inner: &[Activations], first: usize, out: &mut [f32]| {
            multiply(*kernels, &layer.attention_output, first, (inner, m_block), out);
        };
        let inner = (count, &mut inner[..]);
        let Some(seen) = many_blocks else {
            let attend = |first: usize, out: &mut [f32], scratch: &mut [f32]| {
                attention.rows(slots, queries, first, out, scratch)
            };
            let attended = pool.stage_at((attended, partial, rows.bounds()), scratch, attend);
            return run_to_product(attended, inner, gather, out, project);
        };
        let sequence = &slots[rows.span(0).slot].as_ref().sequence;
        // From a query's partial of one block to that of the next.
        let stride = attended.len();
        let blocks = &mut blocks[..by_block(seen.clone()).count() * stride];
        let each_block =
            pool.stage_at((blocks, partial, rows.block_bounds()), scratch, |first, out, scratch| {
                attention.one_row(sequence, queries, seen.clone(), first, out, scratch);
            });
        let merged = each_block.then(attended, partial, |blocks, first, attended| {
            for (first, attended) in (first..).step_by(partial).zip(attended.chunks_exact_mut(partial)) {
                kernels.merge_partials(&blocks[first..], stride, attended);
            }
        });
        run_to_product(merged, inner, gather, out, project);
    }
}

/// Gathers the partials of each row, and multiplies a matrix with the rows.
fn run_to_product<J: Fn(usize) + Sync>(
    partials: Stages<'_, f32, J>,
    (count, inner): (usize, &mut [Activations]),
    gather: impl Fn(&[f32], usize, &mut Activations) + Sync,
    (n_block, out): (usize, &mut [f32]),
    project: impl Fn(&[Activations], usize, &mut [f32]) + Sync,
) {
    partials.then_each(inner, count, gather).then(out, n_block, project).run();
}

/// Sets a row's input to the finished partials of its heads, in order.
fn gather<'f>(
    kernels: Kernels,
    length: usize,
    input: &mut Activations,
    partials: impl ExactSizeIterator<Item = &'f [f32]>,
) {
    input.set(kernels, partials.len() * length, |out| {
        for (partial, out) in partials.zip(out.chunks_exact_mut(length)) {
            kernels.finish_partial(partial, out);
        }
    });
}
