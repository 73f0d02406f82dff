//! Memory that a model needs beside its file: the engine asks before it loads one, and so does a program that sizes a
//! machine.
//!
//! Upper bounds from the file's keys and shapes; `inference/console/tests/sizing.rs` holds them against what is
//! allocated.

use core::fmt;

use crate::Gguf;
use crate::Scalars;
use crate::Strings;
use crate::TensorType;

/// Positions that a model has to have room for to be of use.
pub const POSITIONS: usize = 256;

/// Positions whose keys and values are allocated together, and rows of a step.
const PAGE: usize = 32;
const ROWS: usize = 64;
/// Bytes of an entry of a hash table, with its byte of state.
const SLOT: usize = 25;
/// Bytes of a token in lists, of a special one's entry while its list grows, of a key or tensor in the directory, and
/// of a layer's own.
const TOKEN: usize = 24;
const SPECIAL: usize = 96;
const ENTRY: usize = 256;
const LAYER: usize = 1 << 10;
/// Bytes that a byte of a chat template's text becomes, parsed and tried out.
const TEMPLATE: usize = 64;
/// Bytes of a vector's element, with its quantised form, and of what comes beside it.
const ACTIVATION: usize = 8;
const VECTOR: usize = 1 << 10;
/// Bytes that a token of the vocabulary takes in logits and in what is chosen from.
const CHOICE: usize = 20;
/// Bytes of a worker's stack and lists.
const WORKER: usize = 192 << 10;

/// Bytes that a model needs beside its file, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The copy with its matrices in the kernels' layout.
    pub copy: u64,
    /// Directory, norms, tokenizer and chat template.
    pub tables: u64,
    /// A session of [`POSITIONS`] positions, with all that steps need.
    pub session: u64,
}

impl Needs {
    /// Needs of the model in `file`, of `bytes` bytes, on so many workers, with kernels that want their matrices as the
    /// file has them, or else in a `copy`.
    #[must_use]
    pub fn of(file: &Gguf<'_>, bytes: usize, copy: bool, workers: usize) -> Self {
        let vectors = file.tensors().filter(|tensor| tensor.shape().len() == 1);
        let vectors: usize = vectors.map(|tensor| tensor.data.len()).sum();
        let entries = file.entries().count() + file.tensors().len();
        let loaded = entries * ENTRY + vectors + Shapes::of(file).layers * LAYER;
        // The file is read before it is known whether a copy has to be made and read.
        let times = if copy { 2 } else { 1 };
        Self {
            copy: if copy { bytes as u64 } else { 0 },
            tables: (loaded * times + tokenizer(file)) as u64,
            session: Shapes::of(file).session().saturating_add(workers.saturating_mul(WORKER) as u64),
        }
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.copy.saturating_add(self.tables).saturating_add(self.session)
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: u64| bytes as f64 / (1 << 20) as f64;
        write!(f, "{:.1} MiB beside its file: ", mebibytes(self.total()))?;
        if self.copy > 0 {
            write!(f, "{:.1} for a copy in the kernels' layout, ", mebibytes(self.copy))?;
        }
        let (tables, session) = (mebibytes(self.tables), mebibytes(self.session));
        write!(f, "{tables:.1} for its tables, {session:.1} for a session")
    }
}

/// Of the tokenizer's tables and the chat template.
fn tokenizer(file: &Gguf<'_>) -> usize {
    let strings = |key| file.get::<Strings<'_>>(key).ok().flatten().map_or(0, |strings| strings.len());
    let (tokens, merges) = (strings("tokenizer.ggml.tokens"), strings("tokenizer.ggml.merges"));
    let types = file.get::<Scalars<'_, i32>>("tokenizer.ggml.token_type").ok().flatten();
    let special = types.map_or(0, |types| types.iter().filter(|&kind| kind != 1).count());
    let template = file.get::<&str>("tokenizer.chat_template").ok().flatten().map_or(0, str::len);
    tokens * TOKEN
        + (table(tokens) + table(merges) + table(special)) * SLOT
        + special * SPECIAL
        + template * TEMPLATE
}

/// Slots of a hash table of so many entries.
const fn table(entries: usize) -> usize {
    (entries * 8 / 7 + 8).next_power_of_two()
}

/// Lengths that tensors' shapes tell.
#[derive(Default)]
struct Shapes {
    vocabulary: u64,
    embedding: u64,
    layers: usize,
    /// Of the widest layer.
    queries: u64,
    keys: u64,
    feed_forward: u64,
    /// Bytes of a position's keys and values in all layers.
    position: u64,
}

impl Shapes {
    fn of(file: &Gguf<'_>) -> Self {
        let mut shapes = Self::default();
        let rows = |shape: &[u64]| shape.get(1).copied().unwrap_or(1);
        if let Some(embedding) = file.tensor("token_embd.weight") {
            shapes.embedding = embedding.shape()[0];
            shapes.vocabulary = rows(embedding.shape());
        }
        for tensor in file.tensors() {
            let rows = rows(tensor.shape());
            let floats = matches!(tensor.kind, TensorType::F32 | TensorType::F16 | TensorType::BF16);
            match part(tensor.name) {
                "attn_q.weight" => {
                    shapes.layers += 1;
                    shapes.queries = shapes.queries.max(rows);
                }
                "attn_k.weight" | "attn_v.weight" => {
                    shapes.keys = shapes.keys.max(rows);
                    shapes.position =
                        shapes.position.saturating_add(rows.saturating_mul(if floats { 4 } else { 2 }));
                }
                "ffn_up.weight" => shapes.feed_forward = shapes.feed_forward.max(rows),
                _ => {}
            }
        }
        shapes
    }

    /// Bytes of a session of [`POSITIONS`] positions.
    fn session(&self) -> u64 {
        let Self { vocabulary, embedding, queries, keys, feed_forward, position, .. } = *self;
        let sum = |terms: &[(u64, u64)]| {
            terms.iter().fold(0u64, |sum, (count, each)| sum.saturating_add(count.saturating_mul(*each)))
        };
        // A head is no shorter than two elements, for which it has two more beside it.
        let floats = sum(&[(3, embedding), (5, queries), (4, keys), (2, feed_forward)]);
        let activations = embedding.saturating_add(queries.max(feed_forward));
        let row = sum(&[(floats, 4), (activations, ACTIVATION as u64), (2, VECTOR as u64)]);
        let pages = POSITIONS.div_ceil(PAGE) as u64;
        sum(&[
            (pages * PAGE as u64, position),
            (ROWS as u64, row),
            (pages.saturating_mul(queries), 8),
            (vocabulary, CHOICE as u64),
        ])
    }
}

/// A layer's tensor's name without the layer.
fn part(name: &str) -> &str {
    let below = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    below.map_or(name, |(_, part)| part)
}
