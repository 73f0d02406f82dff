//! The console's language: a command word, options, then text to the end of the line.

mod error;
mod help;

use core::num::NonZero;

use embodios_engine::json::Task;
use embodios_pool::platform::{CoreSet, ThreadId};

use super::batch::{BatchSource, groups};
use super::bench::Bench;
use super::chat::Turn;
use super::options::{BATCH_OPTIONS, HASH_OPTIONS, Options, TEXT_OPTIONS, is_number};
pub use error::ParseError;
pub use help::help_on;

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
    /// Have the kernel return to a state that the processor refuses.
    Return,
    /// Have the kernel interrupted by an event that it cannot mask.
    NonMaskable,
}

/// Every command.
pub const NAMES: [&str; 18] = [
    "affinity", "batch", "bench", "chat", "cpus", "crash", "generate", "hash", "help", "ids", "json", "mem",
    "model", "pin", "poweroff", "reboot", "stats", "test",
];
/// Behind a command, asks for help on it.
const HELP_OPTION: &str = "--help";
/// Most requests of `batch N`.
const MOST_REQUESTS: usize = 1 << 16;

/// Tokens that `generate` and `chat` make when nothing else is said.
const DEFAULT_TOKENS: usize = 128;
/// Tokens that `hash` makes when nothing else is said.
const HASH_TOKENS: usize = 64;
/// Wakes of two threads by each other in `test` when nothing else is said.
const DEFAULT_WAKES: u32 = 3000;

/// A command, understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Command<'l> {
    Generate {
        options: Options,
        text: &'l str,
    },
    Chat(Turn<'l>),
    Hash {
        json: bool,
        options: Options,
        text: &'l str,
    },
    Ids {
        text: &'l str,
    },
    Batch {
        json: bool,
        source: BatchSource<'l>,
    },
    Bench(Bench<'l>),
    Json {
        task: Task,
    },
    Model,
    Cpus,
    Mem,
    Stats(Stats),
    Affinity,
    Workers(CoreSet),
    Pin {
        thread: ThreadId,
        cores: CoreSet,
    },
    Test {
        wakes: u32,
        batches: Option<NonZero<u32>>,
    },
    Crash {
        fault: Fault,
        core: usize,
    },
    Reboot,
    PowerOff,
    /// On one command, or all.
    Help(Option<&'l str>),
}

/// An action on the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stats {
    /// Show them as text.
    Text,
    /// Show them as JSON.
    Json,
    /// Begin anew.
    Reset,
}

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
        if rest.trim_end() == HELP_OPTION {
            return help(word);
        }
        match word {
            "generate" => {
                let (options, text) = Options::parse("generate", TEXT_OPTIONS, DEFAULT_TOKENS, rest)?;
                Ok(Self::Generate { options, text })
            }
            "chat" => Turn::parse(rest, DEFAULT_TOKENS).map(Self::Chat),
            "hash" => {
                let (json, rest) = as_json(rest);
                let (options, text) = Options::parse("hash", HASH_OPTIONS, HASH_TOKENS, rest)?;
                Ok(Self::Hash { json, options, text })
            }
            "ids" if rest.is_empty() => Err(ParseError::NoText("ids")),
            "ids" => Ok(Self::Ids { text: rest }),
            "batch" => batch(rest),
            "bench" => Bench::parse(rest).map(Self::Bench),
            "json" => {
                let task = Task::from_name(rest).ok_or_else(|| ParseError::Task(rest.into()))?;
                Ok(Self::Json { task })
            }
            "crash" => crash(rest),
            "model" => alone("model", Self::Model),
            "cpus" => alone("cpus", Self::Cpus),
            "mem" => alone("mem", Self::Mem),
            "stats" => stats(rest),
            "affinity" => affinity(rest),
            "pin" => pin(rest),
            "test" => test(rest),
            "reboot" => alone("reboot", Self::Reboot),
            "poweroff" => alone("poweroff", Self::PowerOff),
            "help" | HELP_OPTION => help(rest.trim_end()),
            other => Err(ParseError::Unknown(other.into())),
        }
    }
}

/// Nothing, or a command.
fn help(rest: &str) -> Result<Command<'_>, ParseError> {
    match rest {
        "" => Ok(Command::Help(None)),
        name if NAMES.contains(&name) => Ok(Command::Help(Some(name))),
        other => Err(ParseError::Unknown(other.into())),
    }
}

/// Whether `--json` stands in front, and the text behind it.
pub fn as_json(rest: &str) -> (bool, &str) {
    match split_word(rest) {
        ("--json", rest) => (true, rest),
        _ => (false, rest),
    }
}

/// `--json`, then a number of requests and their prompt with its options, or where lines come from.
fn batch(rest: &str) -> Result<Command<'_>, ParseError> {
    let (json, rest) = as_json(rest);
    if let "-" = rest.trim_end() {
        return Ok(Command::Batch { json, source: BatchSource::Typed });
    }
    if split_word(rest).0.contains('=') {
        return Ok(Command::Batch { json, source: BatchSource::Groups(groups::parse(rest)?) });
    }
    let options_of = |rest| Options::parse("batch", BATCH_OPTIONS, DEFAULT_TOKENS, rest);
    // The number stands in front of its options or behind them.
    let (options, (word, text)) = match split_word(rest) {
        (count, after) if is_number(count) && !after.is_empty() => {
            let (options, text) = options_of(after)?;
            (options, (count, text))
        }
        _ => {
            let (options, text) = options_of(rest)?;
            (options, split_word(text))
        }
    };
    let source = match word.parse() {
        Ok(0) => return Err(ParseError::Requests(word.into())),
        Ok(found) if found > MOST_REQUESTS => {
            return Err(ParseError::TooMany { found, most: MOST_REQUESTS });
        }
        Ok(count) if !text.is_empty() => BatchSource::Prompt { count, options, text },
        Ok(_) => return Err(ParseError::NoText("batch")),
        Err(_) if is_number(word) => return Err(ParseError::TooLarge(word.into())),
        Err(_) if text.is_empty() && rest.starts_with('-') => {
            return Err(ParseError::OwnOptions(split_word(rest).0.into()));
        }
        Err(_) if text.is_empty() => BatchSource::Module(word),
        Err(_) => return Err(ParseError::Requests(word.into())),
    };
    Ok(Command::Batch { json, source })
}

/// Nothing, `--json` or `reset`.
fn stats(rest: &str) -> Result<Command<'_>, ParseError> {
    Ok(Command::Stats(match rest.trim_end() {
        "" => Stats::Text,
        "--json" => Stats::Json,
        "reset" => Stats::Reset,
        other => return Err(ParseError::Stats(other.into())),
    }))
}

/// Nothing, or `workers=CORES`.
fn affinity(rest: &str) -> Result<Command<'_>, ParseError> {
    match (rest.trim_end(), rest.trim_end().strip_prefix("workers=")) {
        ("", _) => Ok(Command::Affinity),
        (_, Some(cores)) => Ok(Command::Workers(cores.parse()?)),
        (other, None) => Err(ParseError::Affinity(other.into())),
    }
}

/// The number of wakes of threads by each other, `batches=N`, both or nothing.
fn test(rest: &str) -> Result<Command<'_>, ParseError> {
    let (mut wakes, mut batches) = (DEFAULT_WAKES, None);
    for word in rest.split_whitespace() {
        let number = word.strip_prefix("batches=");
        let wrong = || match is_number(number.unwrap_or(word)) && word != "batches=0" {
            true => ParseError::TooLarge(word.into()),
            false => ParseError::Test(word.into()),
        };
        match number {
            Some(number) => batches = Some(number.parse().map_err(|_| wrong())?),
            None => wakes = word.parse().map_err(|_| wrong())?,
        }
    }
    Ok(Command::Test { wakes, batches })
}

/// A thread's number and a set of cores.
fn pin(rest: &str) -> Result<Command<'_>, ParseError> {
    let (word, cores) = split_word(rest);
    let wrong = |_| match is_number(word) {
        true => ParseError::TooLarge(word.into()),
        false => ParseError::Thread(word.into()),
    };
    let number = word.parse().map_err(wrong)?;
    Ok(Command::Pin { thread: ThreadId(number), cores: cores.trim_end().parse()? })
}

/// A fault's name, and a core's index after it or nothing.
fn crash(rest: &str) -> Result<Command<'_>, ParseError> {
    let (name, core) = split_word(rest);
    let fault = match name {
        "null" => Fault::Null,
        "kernel" => Fault::Kernel,
        "panic" => Fault::Panic,
        "stack" => Fault::Stack,
        "return" => Fault::Return,
        "nmi" => Fault::NonMaskable,
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
        let parsed = Command::parse("generate Once  upon a");
        assert_eq!(
            parsed,
            Ok(Command::Generate { options: Options::new(DEFAULT_TOKENS), text: "Once  upon a" })
        );
        assert_eq!(Command::parse("  ids  -x "), Ok(Command::Ids { text: "-x " }));
        assert_eq!(Command::parse("poweroff"), Ok(Command::PowerOff));
        let hash = Command::Hash { json: true, options: Options::new(3), text: "a" };
        assert_eq!(Command::parse("hash --json -n 3 a"), Ok(hash));
        assert_eq!(Command::parse("batch 8 -n 3 a b"), Command::parse("batch -n 3 8 a b"));
        assert_eq!(Command::parse("affinity workers=1-3 "), Ok(Command::Workers("1-3".parse().unwrap())));
        let pin = Command::Pin { thread: ThreadId(7), cores: "0,2".parse().unwrap() };
        assert_eq!(Command::parse("pin 7  0,2"), Ok(pin));
        let test = |wakes, batches| Ok(Command::Test { wakes, batches: NonZero::new(batches) });
        assert_eq!(Command::parse("test"), test(DEFAULT_WAKES, 0));
        assert_eq!(Command::parse("test 1000000 "), test(1_000_000, 0));
        assert_eq!(Command::parse("test batches=50"), test(DEFAULT_WAKES, 50));
        assert_eq!(Command::parse("test 5 batches=50"), test(5, 50));
    }

    #[test]
    fn every_command_has_help() {
        assert_eq!(Command::parse("help"), Ok(Command::Help(None)));
        for name in NAMES {
            for line in [alloc::format!("help {name}"), alloc::format!("{name} --help ")] {
                assert_eq!(Command::parse(&line), Ok(Command::Help(Some(name))), "{line}");
            }
            let help = help_on(Some(name));
            assert!(help.contains(name) && help.len() < help_on(None).len(), "{name}: {help}");
        }
        let batch = help_on(Some("batch"));
        assert!(
            batch.starts_with("batch [--json]") && batch.contains("batch CORES=") && !batch.contains("bench"),
            "{batch}"
        );
    }

    #[test]
    fn errors_name_what_is_wrong() {
        for (line, error) in [
            ("frobnicate now", "unknown command \"frobnicate\"; \"help\" lists them"),
            ("cpus all", "cpus takes no arguments, found \"all\""),
            ("generate", "generate: no text given"),
            ("hash -t 1 x", "hash has no option \"-t\""),
            ("json all", "json wants tokenize, detokenize, logits, generate, chat or batch, found \"all\""),
            ("batch", "batch: no text given"),
            ("batch 3", "batch: no text given"),
            (
                "batch 0 x",
                "batch wants a number of requests of at least 1 and a text, or a module, found \"0\"",
            ),
            ("batch -l 1 2 x", "batch has no option \"-l\""),
            ("batch -n 3 a.jsonl", "\"-n\" does nothing here: each line of JSON has its own options"),
            (
                "batch 8 x -n 3",
                "\"-n\" stands behind the text; options go in front of it, and -- before a text with such words",
            ),
            ("generate -n 3 -n 4 x", "-n is there twice"),
            ("batch 70000 x", "batch takes up to 65536 requests, found 70000"),
            ("batch 99999999999999999999 x", "99999999999999999999 is too large a number"),
            ("test 99999999999", "99999999999 is too large a number"),
            ("pin 99999999999999999999 0", "99999999999999999999 is too large a number"),
            ("help frob", "unknown command \"frob\"; \"help\" lists them"),
            ("frob --help", "unknown command \"frob\"; \"help\" lists them"),
            ("stats all", "stats takes --json, reset or nothing, found \"all\""),
            ("affinity 1", "affinity takes workers=CORES or nothing, found \"1\""),
            ("affinity workers=1-x", "\"1-x\" is no core or range of cores (as in 0,2-3; below 65536)"),
            ("test all", "test takes a number of wakes, batches=N or nothing, found \"all\""),
            ("test 1 batches=0", "test takes a number of wakes, batches=N or nothing, found \"batches=0\""),
            ("pin", "pin wants a thread's number, found \"\""),
            ("pin 3 2-1", "\"2-1\" is no core or range of cores (as in 0,2-3; below 65536)"),
            ("crash", "crash wants null, kernel, panic, stack, return or nmi, found \"\""),
            ("crash null two", "crash wants a core's number after the fault, found \"two\""),
        ] {
            assert_eq!(Command::parse(line).unwrap_err().to_string(), error);
        }
    }
}
