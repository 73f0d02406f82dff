//! Reasons that a line is no command: each names the word at fault.

use alloc::string::String;
use core::fmt;

use embodios_pool::platform::ParseCoreSetError;

/// Reason that a line is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// No such command.
    Unknown(String),
    /// The command takes nothing after it.
    Excess { command: &'static str, text: String },
    /// The command wants text.
    NoText(&'static str),
    /// The command has no such option.
    Option { command: &'static str, option: String },
    /// The option's value is missing or not of its kind.
    Value { option: char, wanted: &'static str, found: String },
    /// An option that stands behind the text.
    Behind(String),
    /// An option that has no effect beside the others.
    Idle(char),
    /// An option that is there twice.
    Twice(char),
    /// A number that does not fit.
    TooLarge(String),
    /// An option of a command whose requests have their own.
    OwnOptions(String),
    /// More requests than a batch takes.
    TooMany { found: usize, most: usize },
    /// `batch` with something else than a number of requests in front of a text.
    Requests(String),
    /// `bench` with something else than a measurement.
    Bench(String),
    /// `bench` with something else than numbers of prompts.
    Prompts(String),
    /// `json` with something else than a task.
    Task(String),
    /// `stats` with something else than its options.
    Stats(String),
    /// `affinity` with something else than `workers=`.
    Affinity(String),
    /// `pin` with something else than a thread's number.
    Thread(String),
    /// `test` with something else than a number.
    Test(String),
    /// No set of cores.
    Cores(ParseCoreSetError),
    /// `crash` with something else than a fault.
    Fault(String),
    /// `crash` with something else than a core's index after the fault.
    Core(String),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "unknown command {word:?}; \"help\" lists them"),
            Self::Excess { command, text } => write!(f, "{command} takes no arguments, found {text:?}"),
            Self::NoText(command) => write!(f, "{command}: no text given"),
            Self::Option { command, option } => write!(f, "{command} has no option {option:?}"),
            Self::Value { option, wanted, found } => write!(f, "-{option} wants {wanted}, found {found:?}"),
            Self::Behind(word) => write!(
                f,
                "{word:?} stands behind the text; options go in front of it, and -- before a text with such words"
            ),
            Self::Idle(option) => {
                write!(f, "-{option} does nothing without -t: the likeliest token is taken")
            }
            Self::Twice(option) => write!(f, "-{option} is there twice"),
            Self::TooLarge(word) => write!(f, "{word} is too large a number"),
            Self::OwnOptions(word) => {
                write!(f, "{word:?} does nothing here: each line of JSON has its own options")
            }
            Self::TooMany { found, most } => write!(f, "batch takes up to {most} requests, found {found}"),
            Self::Stats(word) => write!(f, "stats takes --json, reset or nothing, found {word:?}"),
            Self::Affinity(word) => write!(f, "affinity takes workers=CORES or nothing, found {word:?}"),
            Self::Thread(word) => write!(f, "pin wants a thread's number, found {word:?}"),
            Self::Test(word) => {
                write!(f, "test takes a number of wakes, batches=N or nothing, found {word:?}")
            }
            Self::Cores(error) => error.fmt(f),
            Self::Core(word) => write!(f, "crash wants a core's number after the fault, found {word:?}"),
            Self::Requests(word) => {
                write!(
                    f,
                    "batch wants a number of requests of at least 1 and a text, or a module, found {word:?}"
                )
            }
            Self::Bench(word) => write!(f, "bench wants scaling, switch, jitter or batch, found {word:?}"),
            Self::Prompts(word) => {
                write!(f, "bench wants numbers of prompts with commas between, found {word:?}")
            }
            Self::Task(word) => {
                write!(f, "json wants tokenize, detokenize, logits, generate, chat or batch, found {word:?}")
            }
            Self::Fault(word) => {
                write!(f, "crash wants null, kernel, panic, stack, return or nmi, found {word:?}")
            }
        }
    }
}

impl core::error::Error for ParseError {}

impl From<ParseCoreSetError> for ParseError {
    fn from(error: ParseCoreSetError) -> Self {
        Self::Cores(error)
    }
}
