//! The model in use: chosen among the modules, its parts read from one file.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use embodios_engine::json::Responder;
use embodios_engine::logits_hash::LogitsHash;
use embodios_engine::model::{Model, ModelError, repack};
use embodios_gguf::memory::{OutOfMemory, filled};
use embodios_gguf::sizing::Needs;
use embodios_gguf::{Gguf, GgufError};
use embodios_kernels::Kernels;
use embodios_kernels::matrix::Layout;
use embodios_pool::platform::Platform;
use embodios_text::chat::{ChatError, ChatTemplate};
use embodios_text::terminal::Line;
use embodios_text::tokenizer::{Tokenizer, TokenizerError};

use super::module::{Content, Module, ModuleError, named, names};
use super::report::Bytes;
use super::start::{Start, StartOptions};

/// Value of `model=` for no model at all.
const NO_MODEL: &str = "none";

/// Reason that no model is loaded.
#[derive(Clone, Debug)]
pub enum LoadError {
    /// It was asked for.
    NotWanted,
    /// Nothing that is there is a model: the names of what is.
    NoModels(String),
    /// There are several, and none is asked for: their names.
    Several(String),
    /// No module has the name asked for, or it is no model.
    Module(ModuleError),
    /// An engine died of it.
    Died(&'static str),
    /// The machine has too little memory for it.
    Memory {
        /// The module's name.
        name: &'static str,
        /// Needs of the model.
        needs: Needs,
        /// Bytes that are free.
        free: u64,
    },
    /// This processor has no kernels of the name asked for.
    NoSuchKernels {
        /// The name asked for.
        wanted: String,
        /// The names there are.
        names: String,
    },
    /// The file is damaged.
    Gguf(&'static str, GgufError),
    /// The file's weights cannot be used.
    Model(&'static str, ModelError),
    /// The file's tokenizer cannot be used.
    Tokenizer(&'static str, TokenizerError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWanted => write!(f, "started with model={NO_MODEL}"),
            Self::NoModels(names) if names.is_empty() => {
                write!(f, "the machine was started without a model")
            }
            Self::NoModels(names) => write!(f, "no module is a model (GGUF); there are: {names}"),
            Self::Several(names) => {
                write!(f, "there are several, choose with model=NAME on the command line: {names}")
            }
            Self::Module(error) => error.fmt(f),
            Self::NoSuchKernels { wanted, names } => {
                write!(f, "no kernels are called {wanted:?}; there are: {names}")
            }
            Self::Died(name) => {
                write!(
                    f,
                    "{name} is left out: the engine before this one died while it was loaded (see above)"
                )
            }
            Self::Memory { name, needs, free } => write!(
                f,
                "{name} needs {needs}; {:.1} MiB are free: give the machine more (--memory)",
                *free as f64 / (1 << 20) as f64
            ),
            Self::Gguf(name, error) => write!(f, "{name}: {error}"),
            Self::Model(name, error) => write!(f, "{name}: {error}"),
            Self::Tokenizer(name, error) => write!(f, "{name}: {error}"),
        }
    }
}

impl core::error::Error for LoadError {}

/// A model with all that belongs to it.
pub struct Loaded {
    /// The module's.
    pub name: &'static str,
    /// The module's.
    pub bytes: &'static [u8],
    /// The file.
    pub file: Gguf<'static>,
    /// The weights.
    pub model: Model<'static>,
    /// Text to tokens.
    pub tokenizer: Tokenizer<'static>,
    /// Conversations to prompts, where the model has a template for that.
    pub chat: Result<ChatTemplate, ChatError>,
    /// The kernels.
    pub kernels: Kernels,
}

impl Loaded {
    /// Loads the module that the options name, by default the only model, where `free` bytes suffice; not if an engine
    /// died of that.
    pub fn new(
        platform: &dyn Platform,
        start: &Start<'_>,
        options: &StartOptions<'_>,
        free: u64,
    ) -> Result<Self, LoadError> {
        let &Module { name, bytes } = choose(start.modules, options.model)?;
        if start.died_loading {
            return Err(LoadError::Died(name));
        }
        let bad = |error: ModelError| LoadError::Model(name, error);
        let file = Gguf::parse(bytes).map_err(|error| LoadError::Gguf(name, error))?;
        let model = Model::load(&file, Layout::Rows).map_err(bad)?;
        let kernels = match options.kernels {
            Some(wanted) => Kernels::named(wanted)
                .map_err(|names| LoadError::NoSuchKernels { wanted: wanted.into(), names })?,
            None => model.fastest_kernels(&|| platform.now_ns()).map_err(|error| bad(error.into()))?,
        };
        let copy = kernels.layout() != Layout::Rows;
        let needs = Needs::of(&file, bytes.len(), copy, platform.cores().len());
        if needs.total() > free {
            return Err(LoadError::Memory { name, needs, free });
        }
        let (file, model) = match kernels.layout() {
            Layout::Rows => (file, model),
            // The module itself is for the next engine too, if this one dies.
            layout => {
                let what = "model in the kernels' layout";
                let lacking = OutOfMemory { what, bytes: bytes.len() };
                let copy = platform.model_memory(bytes.len()).ok_or_else(|| bad(lacking.into()))?;
                repacked(bytes, layout, copy).map_err(bad)?
            }
        };
        let tokenizer = Tokenizer::new(&file).map_err(|error| LoadError::Tokenizer(name, error))?;
        let chat = ChatTemplate::new(&file, &tokenizer);
        Ok(Self { name, bytes, file, model, tokenizer, chat, kernels })
    }

    /// The weights in another layout than the kernels' in use, in memory of their own.
    pub fn in_layout<'c>(&self, layout: Layout, copy: &'c mut Vec<u8>) -> Result<Model<'c>, LoadError> {
        let bad = |error: ModelError| LoadError::Model(self.name, error);
        *copy = filled(self.bytes.len(), 0, "model in another layout").map_err(|error| bad(error.into()))?;
        repacked(self.bytes, layout, copy).map(|(_, model)| model).map_err(bad)
    }

    /// The responder to JSON lines, at the time `now`, seconds since 1970.
    pub const fn requests(&self, now: Option<u64>) -> Responder<'_> {
        let Self { model, tokenizer, chat, kernels, .. } = self;
        Responder { model, tokenizer, chat, kernels: *kernels, now }
    }

    /// The name by which requests call the model: the file's, without its ending.
    pub fn served_name(&self) -> &'static str {
        self.name.strip_suffix(".gguf").unwrap_or(self.name)
    }

    /// What the bits of an answer depend on: the file, by name and digest, arithmetic, build.
    pub fn fingerprint(&self) -> String {
        let digest = digest(self.bytes);
        format!("{} {digest:016x} precise embodios-{}", self.served_name(), env!("CARGO_PKG_VERSION"))
    }

    /// One line: name, architecture, size, context, kernels.
    pub fn summary(&self) -> String {
        let config = &self.model.config;
        format!(
            "{}: {}, {} parameters, context {}, {} kernels",
            Line(self.name),
            config.architecture.name,
            Count(self.parameters()),
            config.context,
            self.kernels
        )
    }

    /// Several lines: [`Self::summary`], shape, types, tokenizer.
    pub fn description(&self) -> String {
        let config = &self.model.config;
        let title = match self.file.get("general.name") {
            Ok(Some(name)) => Line(name),
            _ => Line("(no name)"),
        };
        let chat = match &self.chat {
            Ok(_) => "by the file's template".to_string(),
            Err(error) => Line(&error.to_string()).to_string(),
        };
        format!(
            "{}\nname {title}, file {}, weights {}\n\
             {} layers of {}, {} heads, {} key/value heads of {}, feed-forward {}\n\
             {} tokens, chat: {chat}\nkernels for this processor: {}\n",
            self.summary(),
            Bytes(self.bytes.len() as u64),
            self.types(),
            config.layers,
            config.embedding,
            config.heads,
            config.kv_heads,
            config.head_length,
            config.feed_forward,
            self.tokenizer.vocabulary_size(),
            Kernels::available().map(|kernels| kernels.to_string()).collect::<Vec<_>>().join(", "),
        )
    }

    fn parameters(&self) -> u64 {
        self.file.tensors().map(|tensor| tensor.shape().iter().product::<u64>()).sum()
    }

    /// The element types in the file, each with its number of tensors.
    fn types(&self) -> String {
        let mut counts = Vec::new();
        for tensor in self.file.tensors() {
            match counts.iter_mut().find(|(kind, _)| *kind == tensor.kind) {
                Some((_, count)) => *count += 1,
                None => counts.push((tensor.kind, 1)),
            }
        }
        let shown: Vec<String> = counts.iter().map(|(kind, count)| format!("{kind} ({count})")).collect();
        shown.join(", ")
    }
}

/// A digest of a file's length and of a word of each of its pages: a file of gigabytes costs milliseconds, and two sets
/// of weights of one shape differ in nearly every page.
fn digest(bytes: &[u8]) -> u64 {
    const PAGE: usize = 4096;
    let mut hash = LogitsHash::new();
    hash.combine(bytes.len() as u64);
    let words = bytes.chunks(PAGE).filter_map(|page| page.first_chunk());
    words.chain(bytes.last_chunk()).for_each(|&word| hash.combine(u64::from_le_bytes(word)));
    hash.value()
}

/// Makes `copy`, which is as long, a copy of a file with its matrices in `layout`.
fn repacked<'a>(
    bytes: &[u8],
    layout: Layout,
    copy: &'a mut [u8],
) -> Result<(Gguf<'a>, Model<'a>), ModelError> {
    copy.copy_from_slice(bytes);
    repack(copy, layout)?;
    let file = Gguf::parse(copy)?;
    let model = Model::load(&file, layout)?;
    Ok((file, model))
}

fn choose<'m>(modules: &'m [Module], wanted: Option<&str>) -> Result<&'m Module, LoadError> {
    let is_model = |module: &&Module| module.content() == Content::Model;
    match wanted {
        Some(NO_MODEL) => Err(LoadError::NotWanted),
        Some(wanted) => {
            let module = named(modules, wanted).map_err(LoadError::Module)?;
            let other = |content| ModuleError::Other { name: wanted.into(), content, wanted: "a model" };
            match module.content() {
                Content::Model => Ok(module),
                content => Err(LoadError::Module(other(content))),
            }
        }
        None => {
            let mut models = modules.iter().filter(is_model);
            match (models.next(), models.next()) {
                (None, _) => Err(LoadError::NoModels(names(modules))),
                (Some(only), None) => Ok(only),
                _ => Err(LoadError::Several(names(modules.iter().filter(is_model)))),
            }
        }
    }
}

/// A large number, in millions or billions.
struct Count(u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            count @ 0..1_000_000 => count.fmt(f),
            count @ 1_000_000..1_000_000_000 => write!(f, "{:.1} M", count as f64 / 1e6),
            count => write!(f, "{:.2} G", count as f64 / 1e9),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart() {
        let mut file = alloc::vec![7; 10_000];
        let whole = digest(&file);
        assert_eq!(digest(&file.clone()), whole);
        assert_ne!(digest(&file[..9_999]), whole);
        for place in [0, 4096, 8199, 9_999] {
            file[place] ^= 1;
            assert_ne!(digest(&file), whole, "{place}");
            file[place] ^= 1;
        }
        assert_ne!(digest(&[]), digest(&[0]));
    }
}
