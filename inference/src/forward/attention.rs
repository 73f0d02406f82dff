//! Attention: queries, keys and values of every row, the latter two stored, and what each query finds.

use super::look::{Look, scratch_length, seen};
use super::rows::Vector;
use super::{Forward, Part, multiply};
use crate::activations::Activations;
use crate::cache::by_page;
use crate::found::BESIDE;
use crate::model::Layer;
use crate::pool::{Pool, Stages};

/// Up to so many pages are not shared out: adding up would have all workers wait for each other once more.
const FEW_PAGES: usize = 8;

impl Forward<'_> {
    /// Sets `queries`, and stores keys and values.
    pub(super) fn project<P: AsMut<Part> + Send>(
        &mut self,
        pool: &mut Pool,
        parts: &mut [P],
        index: usize,
        layer: &Layer<'_>,
    ) {
        let Self { kernels, rows, inputs, query, key, value, .. } = self;
        let count = rows.count();
        let inputs = &inputs[..count];
        let cells = [query.cell(count), key.cell(count), value.cell(count)];
        // All three are cut alike: into cells where all can be.
        let cell = cells.into_iter().max().unwrap_or(1);
        let out = [query.begin(count), key.begin(count), value.begin(count)];
        pool.split_each(out, cell, |part, first, out| {
            let matrix = [&layer.query, &layer.key, &layer.value][part];
            multiply(*kernels, matrix, first, inputs, out);
        });
        self.finish(pool, layer);
        self.store(pool, parts, index);
    }

    /// Finishes queries, keys and values: bias, norm, rotation.
    fn finish(&mut self, pool: &mut Pool, layer: &Layer<'_>) {
        let Self { config, kernels, rows, ropes, query, key, value, queries, keys, values, .. } = self;
        let (length, count) = (config.head_length, rows.count());
        let (of_query, of_key) = (config.heads * length, config.kv_heads * length);
        let (rope, norms) = (&ropes[layer.rotation], layer.head_norms.as_ref());
        // For queries, keys and values: where they come from, where their bias begins, and their norm.
        let sources = [
            (&*query, 0, norms.map(|norms| &norms.0)),
            (&*key, of_query, norms.map(|norms| &norms.1)),
            (&*value, of_query + of_key, None),
        ];
        let rows = &*rows;
        let finish = |part: usize, first: usize, run: &mut [f32]| {
            let (source, bias_start, norm) = sources[part];
            for (index, out) in (first / length..).zip(run.chunks_exact_mut(length)) {
                let Vector { row, head } = match part {
                    0 => rows.vectors()[index],
                    _ => Vector { row: index / config.kv_heads, head: index % config.kv_heads },
                };
                source.copy_rows(row, head * length, out);
                if let Some(bias) = &layer.qkv_bias {
                    kernels.add(out, &bias[bias_start + head * length..][..length]);
                }
                if let Some(norm) = norm {
                    kernels.rms_norm_each(out, norm, config.epsilon);
                }
                if part < 2 {
                    rope.rotate(row, out);
                }
            }
        };
        let slices =
            [&mut queries[..count * of_query], &mut keys[..count * of_key], &mut values[..count * of_key]];
        // All heads of one row take less time than a dispatch.
        if count == 1 {
            slices.into_iter().enumerate().for_each(|(part, run)| finish(part, 0, run));
        } else {
            pool.split_alike(slices, length, finish);
        }
    }

    /// Stores keys and values: those of a sequence by one worker, most often the one that has finished them and will look
    /// at them.
    fn store<P: AsMut<Part> + Send>(&self, pool: &mut Pool, parts: &mut [P], index: usize) {
        let Self { config, kernels, rows, keys, values, .. } = self;
        let width = config.kv_heads * config.head_length;
        pool.split(parts, 1, |first, parts| {
            let end = first + parts.len();
            for span in rows.spans().iter().filter(|span| (first..end).contains(&span.part)) {
                let sequence = &mut parts[span.part - first].as_mut().sequence;
                for row in span.first..span.first + span.count {
                    let (keys, values) = (&keys[row * width..][..width], &values[row * width..][..width]);
                    sequence.store(*kernels, index, rows.position(row), keys, values);
                }
            }
        });
    }

    /// Sets `delta` to what the queries find at the positions up to their rows'.
    ///
    /// Workers pass over pages in the order in which they lie in memory, with all the queries of a sequence that are
    /// theirs: queries are shared out. The queries of a single row are few, and its pages may be many; then these are
    /// shared out, and what was found on each is added up afterwards.
    pub(super) fn attend<P: AsRef<Part> + Sync>(
        &mut self,
        pool: &mut Pool,
        parts: &[P],
        index: usize,
        layer: &Layer<'_>,
    ) {
        let Self { config, kernels, rows, inner, queries, attended, pages, scratch, delta, .. } = self;
        let (heads, length, count) = (config.heads, config.head_length, rows.count());
        let found = length + BESIDE;
        let many_pages = (count == 1)
            .then(|| seen(layer, rows.position(0)))
            .filter(|seen| by_page(seen.clone()).count() > FEW_PAGES);
        if let Some(seen) = &many_pages {
            rows.share_out_pages(seen.clone(), heads, pool.workers());
        }
        let rows = &*rows;
        let look = Look {
            kernels: *kernels,
            rows,
            queries,
            length,
            group: heads / config.kv_heads,
            layer,
            index,
            scale: (config.architecture.score_scale)(config),
        };
        let attended = &mut attended[..rows.vectors().len() * found];
        let scratch = (&mut scratch[..], scratch_length(length));
        let gather = |attended: &[f32], row: usize, input: &mut Activations| {
            input.set(*kernels, heads * length, |out| {
                for (head, out) in out.chunks_exact_mut(length).enumerate() {
                    let vector = rows.vector(row, head, heads);
                    kernels.finish_found(&attended[vector * found..][..found], out);
                }
            });
        };
        let out = (delta.cell(count), delta.begin(count));
        let project = |inner: &[Activations], first: usize, out: &mut [f32]| {
            multiply(*kernels, &layer.attention_output, first, inner, out);
        };
        let inner = (count, &mut inner[..]);
        let Some(seen) = many_pages else {
            let look =
                |first: usize, out: &mut [f32], scratch: &mut [f32]| look.rows(parts, first, out, scratch);
            let looked = pool.stage_at((attended, found, rows.bounds()), scratch, look);
            return run_to_product(looked, inner, gather, out, project);
        };
        let sequence = &parts[rows.span(0).part].as_ref().sequence;
        // From one page to the next of what a query has found.
        let stride = attended.len();
        let pages = &mut pages[..by_page(seen.clone()).count() * stride];
        let looked = pool.stage_at((pages, found, rows.page_bounds()), scratch, |first, out, scratch| {
            look.one_row(sequence, seen.clone(), first, out, scratch);
        });
        let added = looked.then(attended, found, |pages, first, attended| {
            for (first, attended) in (first..).step_by(found).zip(attended.chunks_exact_mut(found)) {
                kernels.add_up(&pages[first..], stride, attended);
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
