//! What becomes of queries, keys and values between their products and attention: bias, norm and rotation; keys and
//! values are stored then.

use embodios_kernels::Kernels;
use embodios_kernels::tiles::Tiles;
use embodios_pool::Pool;

use super::rows::{Rows, Vector};
use super::{Forward, Part};
use crate::model::{Config, Layer};
use crate::rope::Rope;

/// Where heads come from, their bias and norm, and what turns them.
#[derive(Clone, Copy)]
struct Source<'a> {
    tiles: &'a Tiles,
    bias: Option<&'a [f32]>,
    norm: Option<&'a [f32]>,
    rope: Option<&'a Rope>,
}

/// What finishing takes.
pub(super) struct Finish<'a> {
    config: &'a Config,
    kernels: Kernels,
    rows: &'a Rows,
    query: Source<'a>,
    key: Source<'a>,
    value: Source<'a>,
}

impl<'a> Finish<'a> {
    /// Of the products for queries, keys and values.
    pub(super) fn new(
        config: &'a Config,
        kernels: Kernels,
        rows: &'a Rows,
        ropes: &'a [Rope],
        [query, key, value]: [&'a Tiles; 3],
        layer: &'a Layer<'_>,
    ) -> Self {
        let (queries, keys) = (config.heads * config.head_length, config.kv_heads * config.head_length);
        let bias = |start: usize| layer.qkv_bias.as_ref().map(|bias| &bias[start..]);
        let norms = layer.head_norms.as_ref().map(|(query, key)| (&**query, &**key));
        let rope = Some(&ropes[layer.rotation]);
        Self {
            config,
            kernels,
            rows,
            query: Source { tiles: query, bias: bias(0), norm: norms.map(|norms| norms.0), rope },
            key: Source { tiles: key, bias: bias(queries), norm: norms.map(|norms| norms.1), rope },
            value: Source { tiles: value, bias: bias(queries + keys), norm: None, rope: None },
        }
    }

    /// A run of queries from number `first`, in the order of [`Rows::vectors`].
    pub(super) fn queries(&self, first: usize, out: &mut [f32]) {
        self.heads(self.query, out, |index| self.rows.vectors()[first + index]);
    }

    /// A run of keys from number `first`: for each row those of all heads.
    pub(super) fn keys(&self, first: usize, out: &mut [f32]) {
        self.heads(self.key, out, |index| self.of_row(first + index));
    }

    /// The same of values.
    pub(super) fn values(&self, first: usize, out: &mut [f32]) {
        self.heads(self.value, out, |index| self.of_row(first + index));
    }

    const fn of_row(&self, index: usize) -> Vector {
        Vector { row: index / self.config.kv_heads, head: index % self.config.kv_heads }
    }

    fn heads(&self, source: Source<'_>, out: &mut [f32], vector: impl Fn(usize) -> Vector) {
        let length = self.config.head_length;
        for (index, out) in out.chunks_exact_mut(length).enumerate() {
            let Vector { row, head } = vector(index);
            source.tiles.copy_rows(row, head * length, out);
            if let Some(bias) = source.bias {
                self.kernels.add(out, &bias[head * length..][..length]);
            }
            if let Some(norm) = source.norm {
                self.kernels.rms_norm_each(out, norm, self.config.epsilon);
            }
            if let Some(rope) = source.rope {
                rope.rotate(row, out);
            }
        }
    }
}

impl Forward<'_> {
    /// Sets `queries`, and stores keys and values.
    pub(super) fn finish<P: AsMut<Part> + Send>(
        &mut self,
        pool: &mut Pool,
        parts: &mut [P],
        index: usize,
        layer: &Layer<'_>,
    ) {
        let Self { config, kernels, rows, ropes, query, key, value, queries, keys, values, .. } = self;
        let (length, count) = (config.head_length, rows.count());
        let finish = Finish::new(config, *kernels, rows, ropes, [query, key, value], layer);
        let slices = [
            &mut queries[..count * config.heads * length],
            &mut keys[..count * config.kv_heads * length],
            &mut values[..count * config.kv_heads * length],
        ];
        let some = |part: usize, first: usize, run: &mut [f32]| match part {
            0 => finish.queries(first / length, run),
            1 => finish.keys(first / length, run),
            _ => finish.values(first / length, run),
        };
        // All heads of one row take less time than a dispatch.
        if count == 1 {
            slices.into_iter().enumerate().for_each(|(part, run)| some(part, 0, run));
        } else {
            pool.split_alike(slices, length, some);
        }
        self.store(pool, parts, index);
    }

    /// Stores keys and values: those of a sequence by one worker, most often the one that has finished them and will
    /// look at them.
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
}
