//! Attention: queries, keys and values of every row, the latter two stored, and what each query finds.

use super::rows::Vector;
use super::{Forward, Part, multiply};
use crate::cache::Sequence;
use crate::kernels::{SHARING, Vectors};
use crate::model::Layer;
use crate::pool::Pool;
use crate::vector::{add, rms_norm_each, softmax};

/// Runs of scores that a worker needs room for: queries that share keys are taken so many at a time.
pub(super) const SCORES: usize = SHARING;

impl Forward<'_> {
    /// Sets `delta` to what attention finds.
    pub(super) fn attention<P: AsRef<Part> + AsMut<Part> + Sync>(
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
        self.store(parts, index);
        self.attend(pool, parts, index, layer);
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
                    add(out, &bias[bias_start + head * length..][..length]);
                }
                if let Some(norm) = norm {
                    rms_norm_each(out, norm, config.epsilon);
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
            kernels.widest(|| slices.into_iter().enumerate().for_each(|(part, run)| finish(part, 0, run)));
        } else {
            pool.split_each(slices, length, |part, first, run| kernels.widest(|| finish(part, first, run)));
        }
    }

    /// Stores keys and values. Pages are the caller's to write; it is little work.
    fn store<P: AsMut<Part>>(&self, parts: &mut [P], index: usize) {
        let Self { config, kernels, rows, keys, values, .. } = self;
        let width = config.kv_heads * config.head_length;
        for span in rows.spans() {
            let sequence = &mut parts[span.part].as_mut().sequence;
            for row in span.first..span.first + span.count {
                let (keys, values) = (&keys[row * width..][..width], &values[row * width..][..width]);
                kernels.widest(|| sequence.store(index, rows.position(row), keys, values));
            }
        }
    }

    /// Sets `delta` to what the queries find at the positions up to their rows'. Queries that share keys are taken a few
    /// at a time: scores past what one of them sees become weights of 0.
    fn attend<P: AsRef<Part> + Sync>(
        &mut self,
        pool: &mut Pool,
        parts: &[P],
        index: usize,
        layer: &Layer<'_>,
    ) {
        let Self { config, kernels, rows, inner, queries, attended, scores, stride, delta, .. } = self;
        let (length, stride, rows, count) = (config.head_length, *stride, &*rows, rows.count());
        let group = config.heads / config.kv_heads;
        let scale = (config.architecture.score_scale)(config);
        let attended = &mut attended[..rows.vectors().len() * length];
        let shares = (attended, length, rows.bounds());
        let (out_cell, out) = (delta.cell(count), delta.begin(count));
        pool.stage_at(shares, (scores, SCORES * stride), |first, mut out, scores| {
            let mut first = first;
            while !out.is_empty() {
                let Vector { row, head } = rows.vectors()[first];
                let (span, kv_head) = (rows.span(row), head / group);
                let end_of_group = span.first * config.heads + (kv_head + 1) * group * span.count;
                let sharing = (end_of_group - first).min(SHARING).min(out.len() / length);
                let (results, rest) = out.split_at_mut(sharing * length);
                let seen = |index: usize| {
                    let end = rows.position(rows.vectors()[first + index].row) + 1;
                    end.saturating_sub(layer.window.unwrap_or(end))..end
                };
                let start = (0..sharing).map(|index| seen(index).start).min().unwrap_or(0);
                let end = (0..sharing).map(|index| seen(index).end).max().unwrap_or(0);
                let sequence: &Sequence = &parts[span.part].as_ref().sequence;
                let precision = sequence.precision();
                let queries = &queries[first * length..][..sharing * length];
                // Where many queries pass over the same keys, these are near already for all but the first.
                let fetch = span.count * group <= SHARING;
                sequence.pieces(index, kv_head, start..end, |positions, [bytes, _], [next, _]| {
                    let keys = Vectors { precision, bytes, next: if fetch { next } else { &[] } };
                    kernels.score(
                        queries,
                        length,
                        &keys,
                        scale,
                        &mut scores[positions.start - start..],
                        stride,
                    );
                });
                for (index, scores) in scores.chunks_exact_mut(stride).take(sharing).enumerate() {
                    let seen = seen(index).start - start..seen(index).end - start;
                    scores[..seen.start].fill(0.0);
                    scores[seen.end..end - start].fill(0.0);
                    kernels.widest(|| softmax(&mut scores[seen]));
                }
                results.fill(0.0);
                sequence.pieces(index, kv_head, start..end, |positions, [_, bytes], [_, next]| {
                    let values = Vectors { precision, bytes, next: if fetch { next } else { &[] } };
                    kernels.mix(&scores[positions.start - start..], stride, &values, length, results);
                });
                (first, out) = (first + sharing, rest);
            }
        })
        .then_each(inner, count, |attended, row, input| {
            let gather = |out: &mut [f32]| {
                for (head, out) in out.chunks_exact_mut(length).enumerate() {
                    let vector = rows.vector(row, head, config.heads);
                    out.copy_from_slice(&attended[vector * length..][..length]);
                }
            };
            kernels.widest(|| input.set(config.heads * length, gather));
        })
        .then(out, out_cell, |inner, first, out| {
            multiply(*kernels, &layer.attention_output, first, inner, out);
        })
        .run();
    }
}
