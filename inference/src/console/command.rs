//! The console's language: a command word, options, then text to the end of the line.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

/// What `help` prints.
pub const HELP: &str = "\
generate [-n TOKENS] [-t TEMPERATURE] [-k TOP] [-p MASS] [-s SEED] [-c CORES] TEXT
                    continue TEXT; without -t, always the likeliest token
chat [same options] TEXT
                    answer TEXT through the model's chat template
hash [-n TOKENS] [-c CORES] TEXT
                    token ids and hash of the logits of a greedy continuation
ids TEXT            token ids of TEXT
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

/// How to continue a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// At most this many tokens.
    pub tokens: usize,
    /// 0 for greedy.
    pub temperature: f32,
    /// Only the likeliest so many tokens; 0 for all.
    pub top_k: usize,
    /// Only the likeliest tokens that together have this probability.
    pub top_p: f32,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Workers; `None` for one on every core.
    pub cores: Option<usize>,
}

/// Tokens that `generate` and `chat` make when nothing else is said.
const DEFAULT_TOKENS: usize = 128;
/// Tokens that `hash` makes when nothing else is said.
const HASH_TOKENS: usize = 64;

impl Options {
    /// Greedy, at most `tokens` tokens, on every core.
    pub const fn new(tokens: usize) -> Self {
        Self { tokens, temperature: 0.0, top_k: 0, top_p: 1.0, seed: 0, cores: None }
    }
}

/// A command, understood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command<'l> {
    Generate { options: Options, text: &'l str },
    Chat { options: Options, text: &'l str },
    Hash { options: Options, text: &'l str },
    Ids { text: &'l str },
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
                let (options, text) = options("generate", "ntkpsc", DEFAULT_TOKENS, rest)?;
                Ok(Self::Generate { options, text })
            }
            "chat" => {
                let (options, text) = options("chat", "ntkpsc", DEFAULT_TOKENS, rest)?;
                Ok(Self::Chat { options, text })
            }
            "hash" => {
                let (options, text) = options("hash", "nc", HASH_TOKENS, rest)?;
                Ok(Self::Hash { options, text })
            }
            "ids" if rest.is_empty() => Err(ParseError::NoText("ids")),
            "ids" => Ok(Self::Ids { text: rest }),
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
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    (word, rest.trim_start())
}

/// Reads options off the front of `rest`; what remains is the text. `--` ends the options, for text
/// that begins with a minus sign.
fn options<'l>(
    command: &'static str,
    allowed: &str,
    tokens: usize,
    mut rest: &'l str,
) -> Result<(Options, &'l str), ParseError> {
    let mut options = Options::new(tokens);
    while rest.starts_with('-') {
        let (word, after) = split_word(rest);
        if word == "--" {
            rest = after;
            break;
        }
        let letter = word[1..].chars().next().filter(|&letter| allowed.contains(letter));
        let Some(letter) = letter else {
            return Err(ParseError::Option { command, option: word.into() });
        };
        let joined = &word[1 + letter.len_utf8()..];
        let (value, after) = if joined.is_empty() { split_word(after) } else { (joined, after) };
        set(&mut options, letter, value)?;
        rest = after;
    }
    if rest.is_empty() { Err(ParseError::NoText(command)) } else { Ok((options, rest)) }
}

fn set(options: &mut Options, option: char, value: &str) -> Result<(), ParseError> {
    match option {
        'n' => options.tokens = number(option, value, "a number of at least 1", |&n| n > 0)?,
        't' => {
            options.temperature =
                number(option, value, "a number from 0 to 100", |n| (0.0..=100.0).contains(n))?;
        }
        'k' => options.top_k = number(option, value, "a whole number", |_| true)?,
        'p' => options.top_p = number(option, value, "a number above 0, to 1", |&n| n > 0.0 && n <= 1.0)?,
        's' => options.seed = number(option, value, "a whole number", |_| true)?,
        _ => options.cores = Some(number(option, value, "a number of at least 1", |&n| n > 0)?),
    }
    Ok(())
}

fn number<T: FromStr>(
    option: char,
    value: &str,
    wanted: &'static str,
    fits: impl FnOnce(&T) -> bool,
) -> Result<T, ParseError> {
    let parsed = value.parse().ok().filter(fits);
    parsed.ok_or_else(|| ParseError::Value { option, wanted, found: value.into() })
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
    fn options_stand_in_front() {
        let expected =
            Options { tokens: 5, temperature: 0.8, top_k: 40, top_p: 0.95, seed: 7, cores: Some(2) };
        assert_eq!(
            Command::parse("chat -n 5 -t0.8 -k 40 -p .95 -s 7 -c 2 -- -hi"),
            Ok(Command::Chat { options: expected, text: "-hi" })
        );
    }

    #[test]
    fn errors_name_what_is_wrong() {
        for (line, error) in [
            ("frobnicate now", "unknown command \"frobnicate\"; \"help\" lists them"),
            ("cpus all", "cpus takes no arguments, found \"all\""),
            ("generate", "generate: no text given"),
            ("chat -n 3 ", "chat: no text given"),
            ("generate -n 0 x", "-n wants a number of at least 1, found \"0\""),
            ("generate -n", "-n wants a number of at least 1, found \"\""),
            ("generate -t NaN x", "-t wants a number from 0 to 100, found \"NaN\""),
            ("hash -t 1 x", "hash has no option \"-t\""),
            ("generate - x", "generate has no option \"-\""),
            ("generate -ü x", "generate has no option \"-ü\""),
            ("crash", "crash wants null, kernel, panic or stack, found \"\""),
            ("crash null two", "crash wants a core's number after the fault, found \"two\""),
        ] {
            assert_eq!(Command::parse(line).unwrap_err().to_string(), error);
        }
    }
}
