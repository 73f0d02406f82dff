//! The console's language: a command word, options, then text to the end of the line.

use alloc::string::String;
use core::fmt;

use super::options::{HASH_OPTIONS, Options, TEXT_OPTIONS};
use crate::json::Task;

/// What `help` prints.
pub const HELP: &str = "\
generate [-n TOKENS] [-t TEMPERATURE] [-k TOP] [-p MASS] [-m SHARE] [-r PENALTY]
         [-s SEED] [-x STOP]... [-l COUNT] [-c CORES] TEXT
                    continue TEXT; without -t, always the likeliest token.
                    -m: only tokens with this share of the likeliest one's
                    probability; -r: for tokens of the text so far;
                    -x: end before this text (in quotes: \\n for a line break);
                    -l: show probabilities of this and the likeliest tokens
chat [same options] TEXT
                    answer TEXT through the model's chat template
hash [-n TOKENS] [-c CORES] [-v KERNELS] [-d TOKENS] TEXT
                    token ids and hash of the logits of a greedy continuation;
                    -v: by these kernels; -d: with the prompt so many tokens
                    at a time
ids TEXT            token ids of TEXT
json TASK           answer JSON objects, one a line, until an empty line; TASK:
                    tokenize, detokenize, logits, generate or chat
model | cpus | mem | stats
                    what is loaded, running, used and done
test                test the kernel and the engine
crash null | kernel | panic | stack [CORE]
                    fault on purpose, on core 0 unless another is given: the
                    kernel starts a fresh engine
                    (stack: a kernel stack, which stops the machine)
reboot | poweroff
help
";

/// A deliberate fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Read address 0.
    Null,
    /// Write to the kernel's memory.
    Kernel,
    /// Panic.
    Panic,
    /// Overflow the kernel's stack.
    Stack,
}

/// Tokens that `generate` and `chat` make when nothing else is said.
const DEFAULT_TOKENS: usize = 128;
/// Tokens that `hash` makes when nothing else is said.
const HASH_TOKENS: usize = 64;

/// A command, understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Command<'l> {
    Generate { options: Options, text: &'l str },
    Chat { options: Options, text: &'l str },
    Hash { options: Options, text: &'l str },
    Ids { text: &'l str },
    Json { task: Task },
    Model,
    Cpus,
    Mem,
    Stats,
    Test,
    Crash { fault: Fault, core: usize },
    Reboot,
    PowerOff,
    Help,
}

/// Why a line is no command.
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
    /// `json` with something else than a task.
    Task(String),
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
            Self::Core(word) => write!(f, "crash wants a core's number after the fault, found {word:?}"),
            Self::Task(word) => {
                write!(f, "json wants tokenize, detokenize, logits, generate or chat, found {word:?}")
            }
            Self::Fault(word) => write!(f, "crash wants null, kernel, panic or stack, found {word:?}"),
        }
    }
}

impl core::error::Error for ParseError {}

impl<'l> Command<'l> {
    /// Understands `line`, which is not blank.
    ///
    /// # Errors
    /// [`ParseError`], which names the word at fault.
    pub fn parse(line: &'l str) -> Result<Self, ParseError> {
        let (word, rest) = split_word(line);
        let alone = |command: &'static str, parsed| match rest {
            "" => Ok(parsed),
            text => Err(ParseError::Excess { command, text: text.into() }),
        };
        match word {
            "generate" => {
                let (options, text) = Options::parse("generate", TEXT_OPTIONS, DEFAULT_TOKENS, rest)?;
                Ok(Self::Generate { options, text })
            }
            "chat" => {
                let (options, text) = Options::parse("chat", TEXT_OPTIONS, DEFAULT_TOKENS, rest)?;
                Ok(Self::Chat { options, text })
            }
            "hash" => {
                let (options, text) = Options::parse("hash", HASH_OPTIONS, HASH_TOKENS, rest)?;
                Ok(Self::Hash { options, text })
            }
            "ids" if rest.is_empty() => Err(ParseError::NoText("ids")),
            "ids" => Ok(Self::Ids { text: rest }),
            "json" => {
                let task = Task::from_name(rest).ok_or_else(|| ParseError::Task(rest.into()))?;
                Ok(Self::Json { task })
            }
            "crash" => crash(rest),
            "model" => alone("model", Self::Model),
            "cpus" => alone("cpus", Self::Cpus),
            "mem" => alone("mem", Self::Mem),
            "stats" => alone("stats", Self::Stats),
            "test" => alone("test", Self::Test),
            "reboot" => alone("reboot", Self::Reboot),
            "poweroff" => alone("poweroff", Self::PowerOff),
            "help" => alone("help", Self::Help),
            other => Err(ParseError::Unknown(other.into())),
        }
    }
}

/// A fault's name, and a core's index after it or nothing.
fn crash(rest: &str) -> Result<Command<'_>, ParseError> {
    let (name, core) = split_word(rest);
    let fault = match name {
        "null" => Fault::Null,
        "kernel" => Fault::Kernel,
        "panic" => Fault::Panic,
        "stack" => Fault::Stack,
        other => return Err(ParseError::Fault(other.into())),
    };
    let core = match core.trim_end() {
        "" => 0,
        number => number.parse().map_err(|_| ParseError::Core(number.into()))?,
    };
    Ok(Command::Crash { fault, core })
}

/// The first word of `text`, and what follows the white space after it.
pub fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    (word, rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn text_is_the_rest_of_the_line() {
        let parsed = Command::parse("generate Once  upon -n 3");
        assert_eq!(
            parsed,
            Ok(Command::Generate { options: Options::new(DEFAULT_TOKENS), text: "Once  upon -n 3" })
        );
        assert_eq!(Command::parse("  ids  -x "), Ok(Command::Ids { text: "-x " }));
        assert_eq!(Command::parse("poweroff"), Ok(Command::PowerOff));
    }

    #[test]
    fn errors_name_what_is_wrong() {
        for (line, error) in [
            ("frobnicate now", "unknown command \"frobnicate\"; \"help\" lists them"),
            ("cpus all", "cpus takes no arguments, found \"all\""),
            ("generate", "generate: no text given"),
            ("hash -t 1 x", "hash has no option \"-t\""),
            ("json all", "json wants tokenize, detokenize, logits, generate or chat, found \"all\""),
            ("crash", "crash wants null, kernel, panic or stack, found \"\""),
            ("crash null two", "crash wants a core's number after the fault, found \"two\""),
        ] {
            assert_eq!(Command::parse(line).unwrap_err().to_string(), error);
        }
    }
}
