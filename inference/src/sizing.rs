//! How much memory a model needs beside its file: the engine asks before it loads one, and so does whoever sizes a machine.
//!
//! Upper bounds from the file's own numbers; `tests/sizing.rs` holds them against what is allocated.

use core::fmt;

use crate::cache::{CacheError, PAGE, Pages};
use crate::gguf::{Gguf, Scalars, Strings};
use crate::matrix::Layout;
use crate::model::{Config, Layer, Model, ModelError};
use crate::session::CHUNK;

/// Positions that a model has to have room for to be of use, if it was trained for so many.
pub const POSITIONS: usize = 256;

/// Bytes of an entry of a hash table, with its byte of state.
const SLOT: usize = 25;
/// Bytes of a token in lists, of a special one's entry while its list grows, and of a key or tensor in the directory.
const TOKEN: usize = 24;
const SPECIAL: usize = 96;
const ENTRY: usize = 256;
/// Bytes that a byte of a chat template's text becomes, parsed and tried out.
const TEMPLATE: usize = 64;
/// Bytes of a vector's element, with its quantised form, and of what comes beside it.
const ACTIVATION: usize = 8;
const VECTOR: usize = 1 << 10;
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
    /// What the model in `file`, of `bytes` bytes, needs with kernels that want `layout`, on so many workers.
    ///
    /// # Errors
    /// As [`Model::load`], and when a page of keys and values has more bytes than there are addresses.
    pub fn of(file: &Gguf<'_>, bytes: usize, layout: Layout, workers: usize) -> Result<Self, ModelError> {
        let model = Model::load(file, Layout::Rows)?;
        let copies = match layout {
            Layout::Rows => 1,
            Layout::Tiles => 2,
        };
        let vectors: usize =
            file.tensors().filter(|tensor| tensor.shape().len() == 1).map(|tensor| tensor.data.len()).sum();
        let directory = (file.entries().count() + file.tensors().len()) * ENTRY;
        let loaded = directory + vectors + model.layers.len() * size_of::<Layer<'_>>() * 2;
        Ok(Self {
            copy: if copies > 1 { bytes as u64 } else { 0 },
            tables: (loaded * copies + tokenizer(file)) as u64,
            session: session(&model, workers)? as u64,
        })
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
        let [total, copy, tables, session] =
            [self.total(), self.copy, self.tables, self.session].map(mebibytes);
        write!(f, "{total:.1} MiB beside its file")?;
        let copy_shown = if self.copy > 0 {
            alloc::format!("{copy:.1} for a copy in the kernels' layout, ")
        } else {
            "".into()
        };
        write!(f, " ({copy_shown}{tables:.1} for its tables, {session:.1} for a session)")
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

/// Of a session of [`POSITIONS`] positions.
fn session(model: &Model<'_>, workers: usize) -> Result<usize, ModelError> {
    let config = &model.config;
    let no_pages = |error| match error {
        CacheError::OutOfMemory(error) => ModelError::OutOfMemory(error),
        other => unreachable!("no limit is asked for: {other}"),
    };
    let page = Pages::new(model, usize::MAX).map_err(no_pages)?.page_bytes();
    let pages = POSITIONS.min(config.context).div_ceil(PAGE);
    let logits = config.vocabulary * (size_of::<f32>() + 2 * size_of::<u64>());
    Ok(pages * page
        + CHUNK * row(config)
        + config.heads * config.head_length * pages * 8
        + logits
        + workers * WORKER)
}

/// Of a row of a step.
const fn row(config: &Config) -> usize {
    let Config { embedding, feed_forward, heads, kv_heads, head_length, rotated, .. } = *config;
    let (queries, keys) = (heads * head_length, kv_heads * head_length);
    let inner = if feed_forward > queries { feed_forward } else { queries };
    let floats = 3 * embedding + 3 * queries + 2 * heads + 4 * keys + 2 * feed_forward + 2 * rotated;
    floats * size_of::<f32>() + (embedding + inner) * ACTIVATION + 2 * VECTOR + heads * 2 * size_of::<usize>()
}
