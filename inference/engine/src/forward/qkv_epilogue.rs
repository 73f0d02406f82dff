//! The epilogue of the q, k and v products: bias, norm and rotary embedding; keys and values are then stored.

use embodios_kernels::Kernels;
use embodios_kernels::tiles::Tiles;
use embodios_pool::Pool;

use super::rows::{Rows, Vector};
use super::{Forward, Slot};
use crate::model::{Config, Layer};
use crate::rope::Rope;

/// The heads of one product, with their bias, norm and rotary embedding.
#[derive(Clone, Copy)]
struct Heads<'a> {
    tiles: &'a Tiles,
    bias: Option<&'a [f32]>,
    norm: Option<&'a [f32]>,
    rope: Option<&'a Rope>,
}

/// The epilogue of one layer.
pub(super) struct QkvEpilogue<'a> {
    config: &'a Config,
    kernels: Kernels,
    rows: &'a Rows,
    query: Heads<'a>,
    key: Heads<'a>,
    value: Heads<'a>,
}

impl<'a> QkvEpilogue<'a> {
    /// The epilogue of the products `query`, `key` and `value`.
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
            query: Heads { tiles: query, bias: bias(0), norm: norms.map(|norms| norms.0), rope },
            key: Heads { tiles: key, bias: bias(queries), norm: norms.map(|norms| norms.1), rope },
            value: Heads { tiles: value, bias: bias(queries + keys), norm: None, rope: None },
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

    fn heads(&self, source: Heads<'_>, out: &mut [f32], vector: impl Fn(usize) -> Vector) {
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
    pub(super) fn qkv_epilogue<P: AsMut<Slot> + Send>(
        &mut self,
        pool: &mut Pool,
        slots: &mut [P],
        index: usize,
        layer: &Layer<'_>,
    ) {
        let Self { config, kernels, rows, ropes, query, key, value, queries, keys, values, .. } = self;
        let (length, count) = (config.head_length, rows.count());
        let epilogue = QkvEpilogue::new(config, *kernels, rows, ropes, [query, key, value], layer);
        let slices = [
            &mut queries[..count * config.heads * length],
            &mut keys[..count * config.kv_heads * length],
            &mut values[..count * config.kv_heads * length],
        ];
        let some = |which: usize, first: usize, run: &mut [f32]| match which {
            0 => epilogue.queries(first / length, run),
            1 => epilogue.keys(first / length, run),
            _ => epilogue.values(first / length, run),
        };
        // All heads of one row take less time than a dispatch.
        if count == 1 {
            slices.into_iter().enumerate().for_each(|(which, run)| some(which, 0, run));
        } else {
            pool.split_alike(slices, length, some);
        }
        self.store(pool, slots, index);
    }

    /// Stores keys and values: those of a sequence by one worker, most often the one that has computed them and will
    /// attend to them.
    fn store<P: AsMut<Slot> + Send>(&self, pool: &mut Pool, slots: &mut [P], index: usize) {
        let Self { config, kernels, rows, keys, values, .. } = self;
        let width = config.kv_heads * config.head_length;
        pool.split(slots, 1, |first, slots| {
            let end = first + slots.len();
            for span in rows.spans().iter().filter(|span| (first..end).contains(&span.slot)) {
                let sequence = &mut slots[span.slot - first].as_mut().sequence;
                for row in span.first..span.first + span.count {
                    let (keys, values) = (&keys[row * width..][..width], &values[row * width..][..width]);
                    sequence.store(*kernels, index, rows.position(row), keys, values);
                }
            }
        });
    }
}
