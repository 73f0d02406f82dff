//! Reasons that a command failed.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;

use embodios_bench::BenchError;
use embodios_engine::batch::{Failure, Refusal};
use embodios_engine::cache::CacheError;
use embodios_engine::evaluate::EvaluateError;
use embodios_engine::model::ModelError;
use embodios_pool::PoolError;
use embodios_pool::platform::{CoreSet, Memory, PlatformError};
use embodios_text::chat::ChatError;

use super::command::ParseError;
use super::loaded::LoadError;
use super::module::ModuleError;
use super::report::Bytes;
use super::script::ScriptError;
use super::serve::ServeError;

/// A failed command.
#[derive(Debug)]
pub enum CommandError {
    /// The line is no command.
    Parse(ParseError),
    /// The command needs a model, and there is none.
    NoModel(Box<LoadError>),
    /// The model has no (known) chat template.
    Chat(ChatError),
    /// The cores asked for cannot work.
    Platform(PlatformError),
    /// The workers cannot do that.
    Pool(PoolError),
    /// More workers than cores that they may have.
    TooFewCores {
        /// Workers asked for.
        wanted: usize,
        /// The cores they may have.
        cores: CoreSet,
    },
    /// No worker is on the core.
    NoWorker {
        /// The core.
        core: usize,
        /// The workers' cores.
        cores: CoreSet,
    },
    /// A word of the command line with a bad value.
    Word {
        /// The word, with what it was set to.
        word: String,
        /// The fault of the value.
        reason: String,
    },
    /// Generation did not begin or go on.
    Failed(Failure),
    /// A batch has no room for keys and values.
    Cache(CacheError),
    /// A batch does not take a request.
    Refused(Refusal),
    /// A bench has no figures.
    Bench(BenchError),
    /// Batches whose cores are not apart.
    NotApart,
    /// A module does not serve.
    Module(ModuleError),
    /// The machine does not serve.
    Serve(ServeError),
    /// There are no commands to run.
    Script(ScriptError),
    /// Requests of a batch failed: how many.
    Requests(usize),
    /// A line of input is longer than so many bytes, or than there is memory for.
    LongLine(usize),
    /// A kernel is not there to contain faults.
    NoFaults,
    /// A Ctrl-C stopped it.
    Interrupted,
    /// Tests failed: how many.
    Tests(u32),
    /// The engine crashed where the script had not asked for it.
    Crashed {
        /// Number of crashes.
        restarts: u64,
        /// The script.
        script: String,
    },
}

impl CommandError {
    /// Free memory and a remedy, where memory is lacking.
    pub fn advice(&self, memory: Memory) -> String {
        if !self.lacks_memory() {
            return String::new();
        }
        format!(
            "; {} of {} are free: more memory for the machine helps (--memory SIZE)",
            Bytes(memory.free),
            Bytes(memory.total)
        )
    }

    fn lacks_memory(&self) -> bool {
        let cache = |error: &CacheError| !matches!(error, CacheError::Context { .. });
        match self {
            Self::NoModel(error) => matches!(&**error, LoadError::Model(_, ModelError::OutOfMemory(_))),
            Self::Platform(error) | Self::Bench(BenchError::Platform(error)) => {
                *error == PlatformError::OutOfMemory
            }
            Self::Failed(Failure::OutOfMemory(_))
            | Self::Bench(BenchError::Evaluate(EvaluateError::OutOfMemory(_))) => true,
            Self::Cache(error)
            | Self::Refused(Refusal::Budget(error))
            | Self::Bench(
                BenchError::Evaluate(EvaluateError::Cache(error))
                | BenchError::Cache(error)
                | BenchError::Refused(Refusal::Budget(error)),
            ) => cache(error),
            _ => false,
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parse(error) => error.fmt(f),
            Self::NoModel(error) => write!(f, "no model loaded: {error}"),
            Self::Chat(error) => error.fmt(f),
            Self::Platform(error) => error.fmt(f),
            Self::Pool(error) => error.fmt(f),
            Self::TooFewCores { wanted, cores } => {
                write!(f, "{wanted} workers: they may have cores {cores} only, which are {}", cores.len())
            }
            Self::NoWorker { core, cores } => write!(f, "core {core} has no worker, cores {cores} have"),
            Self::Word { word, reason } => write!(f, "{word} on the command line: {reason}"),
            Self::Failed(failure) => failure.fmt(f),
            Self::Cache(error) => error.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Bench(error) => error.fmt(f),
            Self::NotApart => {
                write!(f, "each batch wants cores of its own, and no other's between them")
            }
            Self::Serve(error) => write!(f, "not serving: {error}"),
            Self::Module(error) => error.fmt(f),
            Self::Script(error) => write!(f, "script: {error}"),
            Self::Requests(failed) => write!(f, "{failed} requests failed (see above)"),
            Self::LongLine(limit) => {
                write!(f, "a line of input exceeds {limit} bytes or the memory there is")
            }
            Self::NoFaults => write!(f, "no kernel here contains faults"),
            Self::Interrupted => write!(f, "interrupted"),
            Self::Tests(failed) => write!(f, "{failed} failed"),
            Self::Crashed { restarts, script } => {
                write!(
                    f,
                    "the engine crashed {restarts} times, more often than the commands ask for: {script}"
                )
            }
        }
    }
}

impl core::error::Error for CommandError {}

impl From<&LoadError> for CommandError {
    fn from(error: &LoadError) -> Self {
        Self::NoModel(Box::new(error.clone()))
    }
}

macro_rules! from {
    ($($source:ty => $variant:ident,)*) => {$(
        impl From<$source> for CommandError {
            fn from(error: $source) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

from! {
    ParseError => Parse,
    ChatError => Chat,
    PlatformError => Platform,
    PoolError => Pool,
    BenchError => Bench,
    Failure => Failed,
    CacheError => Cache,
    Refusal => Refused,
    ModuleError => Module,
    ScriptError => Script,
    ServeError => Serve,
}

#[cfg(test)]
mod tests {
    use super::*;
    use embodios_engine::prompt::PromptError;
    use embodios_gguf::memory::OutOfMemory;

    #[test]
    fn where_memory_lacks_what_is_free_and_what_helps_is_said() {
        let memory = Memory { total: 16 << 20, free: 3 << 20, engine: 0, idle: 0 };
        let lacking = OutOfMemory { what: "model", bytes: 5 };
        let advice = "; 3.0 MiB of 16.0 MiB are free: more memory for the machine helps (--memory SIZE)";
        for error in [
            CommandError::Cache(CacheError::OutOfMemory(lacking)),
            CommandError::Failed(Failure::OutOfMemory(lacking)),
            CommandError::NoModel(Box::new(LoadError::Model("a", ModelError::OutOfMemory(lacking)))),
            CommandError::Refused(Refusal::Budget(CacheError::OutOfMemory(lacking))),
            CommandError::Platform(PlatformError::OutOfMemory),
            CommandError::Bench(BenchError::Evaluate(EvaluateError::OutOfMemory(lacking))),
            CommandError::Bench(BenchError::Evaluate(EvaluateError::Cache(CacheError::OutOfMemory(lacking)))),
            CommandError::Bench(BenchError::Cache(CacheError::OutOfMemory(lacking))),
            CommandError::Bench(BenchError::Refused(Refusal::Budget(CacheError::OutOfMemory(lacking)))),
            CommandError::Bench(BenchError::Platform(PlatformError::OutOfMemory)),
        ] {
            assert_eq!(error.advice(memory), advice, "{error}");
        }
        for error in [
            CommandError::Interrupted,
            CommandError::Refused(Refusal::Prompt(PromptError::Empty)),
            CommandError::Cache(CacheError::Context { asked: 9, trained: 8 }),
        ] {
            assert_eq!(error.advice(memory), "", "{error}");
        }
    }
}
