//! The words behind `bench`: its kinds, and the options of each.

use alloc::vec::Vec;

use embodios_bench::{batch, jitter, scaling, switch};

use crate::command::{ParseError, as_json, split_word};
use crate::options::number;

/// A bench, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bench<'l> {
    /// Print JSON.
    pub json: bool,
    /// The measurement.
    pub what: What<'l>,
}

/// A measurement to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What<'l> {
    /// Requests at once and one after another.
    Batch {
        /// Number of workers; `None` for all.
        workers: Option<usize>,
        /// The requests.
        options: batch::Options,
    },
    /// The same step many times.
    Jitter {
        /// Number of workers; `None` for all.
        workers: Option<usize>,
        /// Number of steps.
        steps: usize,
    },
    /// The same batch on more and more workers.
    Scaling(scaling::Options<'l>),
    /// Two threads that take turns.
    Switch {
        /// Number of rounds.
        rounds: u32,
    },
}

impl<'l> Bench<'l> {
    /// Understands what follows `bench`.
    ///
    /// # Errors
    /// [`ParseError`], which names the word at fault.
    pub fn parse(rest: &'l str) -> Result<Self, ParseError> {
        match split_word(rest) {
            ("batch", rest) => Self::batch(rest),
            ("jitter", rest) => Self::jitter(rest),
            ("scaling", rest) => Self::scaling(rest),
            ("switch", rest) => Self::switch(rest),
            (other, _) => Err(ParseError::Bench(other.into())),
        }
    }

    /// Understands `[--json] [-b SIZE] [-p PROMPT] [-n TOKENS] [-c WORKERS]`.
    fn batch(rest: &str) -> Result<Self, ParseError> {
        let (mut size, mut prompt, mut tokens, mut workers) = (None, None, None, None);
        let letters = &mut [('b', &mut size), ('p', &mut prompt), ('n', &mut tokens), ('c', &mut workers)];
        let json = flags("bench batch", rest, letters)?;
        let usual = batch::Options::default();
        let options = batch::Options {
            sizes: size.map_or(usual.sizes, |size| Vec::from([size])),
            prompt: prompt.unwrap_or(usual.prompt),
            tokens: tokens.unwrap_or(usual.tokens),
        };
        Ok(Self { json, what: What::Batch { workers, options } })
    }

    /// Understands `[--json] [-n STEPS] [-c WORKERS]`.
    fn jitter(rest: &str) -> Result<Self, ParseError> {
        let (mut steps, mut workers) = (None, None);
        let json = flags("bench jitter", rest, &mut [('n', &mut steps), ('c', &mut workers)])?;
        Ok(Self { json, what: What::Jitter { workers, steps: steps.unwrap_or(jitter::STEPS) } })
    }

    /// Understands `[--json] [--bound] [-r REPETITIONS] [-n TOKENS] [-c WORKERS,...] [PROMPTS,... [TEXT]]`.
    fn scaling(mut rest: &'l str) -> Result<Self, ParseError> {
        let (mut json, mut options) = (false, scaling::Options::default());
        while rest.starts_with('-') {
            let (word, after) = split_word(rest);
            let (value, behind) = split_word(after);
            rest = behind;
            match word {
                "--json" => (json, rest) = (true, after),
                "--bound" => (options.bound, rest) = (true, after),
                "-r" => options.repetitions = number('r', value, "a number of at least 1", |&n| n > 0)?,
                "-n" => options.tokens = number('n', value, "a number of at least 1", |&n| n > 0)?,
                "-c" => options.workers = Some(numbers('c', value)?),
                option => {
                    return Err(ParseError::Option { command: "bench scaling", option: option.into() });
                }
            }
        }
        let (sizes, text) = split_word(rest);
        if !sizes.is_empty() {
            options.sizes = list(sizes).ok_or_else(|| ParseError::Prompts(sizes.into()))?;
        }
        if !text.is_empty() {
            options.text = text;
        }
        Ok(Self { json, what: What::Scaling(options) })
    }

    /// Understands `[--json] [-n ROUNDS]`.
    fn switch(rest: &str) -> Result<Self, ParseError> {
        let (json, rest) = as_json(rest);
        let rounds = match split_word(rest) {
            ("", _) => switch::ROUNDS,
            ("-n", value) => number('n', value.trim_end(), "a number of at least 1", |&n| n > 0)?,
            _ => return Err(ParseError::Excess { command: "bench switch", text: rest.into() }),
        };
        Ok(Self { json, what: What::Switch { rounds } })
    }
}

/// Understands `--json`, and letters of `options`, each with a number of at least 1 that is stored with it. Result:
/// whether there was a `--json`.
fn flags(
    command: &'static str,
    mut rest: &str,
    options: &mut [(char, &mut Option<usize>)],
) -> Result<bool, ParseError> {
    let mut json = false;
    while !rest.is_empty() {
        let (word, after) = split_word(rest);
        if word == "--json" {
            (json, rest) = (true, after);
            continue;
        }
        let known = word.strip_prefix('-').and_then(|name| name.parse::<char>().ok());
        let Some((letter, place)) = options.iter_mut().find(|(letter, _)| known == Some(*letter)) else {
            return Err(ParseError::Option { command, option: word.into() });
        };
        let (value, after) = split_word(after);
        **place = Some(number(*letter, value, "a number of at least 1", |&n| n > 0)?);
        rest = after;
    }
    Ok(json)
}

/// Numbers of at least 1, separated by commas.
fn list(text: &str) -> Option<Vec<usize>> {
    text.split(',').map(|word| word.parse().ok().filter(|&number| number > 0)).collect()
}

/// The same as the value of an option.
fn numbers(option: char, value: &str) -> Result<Vec<usize>, ParseError> {
    let wanted = "numbers of at least 1 with commas between";
    list(value).ok_or_else(|| ParseError::Value { option, wanted, found: value.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn options_stand_in_front_of_sizes_and_text() {
        let options = scaling::Options {
            bound: true,
            repetitions: 3,
            tokens: 4,
            workers: Some([1, 8].into()),
            sizes: [8, 16].into(),
            text: "a b",
        };
        let expected = Bench { json: true, what: What::Scaling(options) };
        assert_eq!(Bench::parse("scaling --json --bound -r 3 -n 4 -c 1,8 8,16 a b"), Ok(expected));
        let usual = What::Scaling(scaling::Options::default());
        assert_eq!(Bench::parse("scaling"), Ok(Bench { json: false, what: usual }));
    }

    #[test]
    fn what_is_not_said_is_as_usual() {
        let options = batch::Options { sizes: [3].into(), ..batch::Options::default() };
        let expected = Bench { json: true, what: What::Batch { workers: Some(2), options } };
        assert_eq!(Bench::parse("batch -c 2 --json -b 3"), Ok(expected));
        let jitter = What::Jitter { workers: None, steps: jitter::STEPS };
        assert_eq!(Bench::parse("jitter"), Ok(Bench { json: false, what: jitter }));
        let switch = |rounds| What::Switch { rounds };
        assert_eq!(Bench::parse("switch"), Ok(Bench { json: false, what: switch(switch::ROUNDS) }));
        assert_eq!(Bench::parse("switch --json -n 7 "), Ok(Bench { json: true, what: switch(7) }));
    }

    #[test]
    fn errors_name_the_word_at_fault() {
        for (rest, error) in [
            ("scaling -r 0", "-r wants a number of at least 1, found \"0\""),
            ("scaling -n 0", "-n wants a number of at least 1, found \"0\""),
            ("scaling -c 1,,2", "-c wants numbers of at least 1 with commas between, found \"1,,2\""),
            ("scaling -t 1", "bench scaling has no option \"-t\""),
            ("scaling 8,x", "bench wants numbers of prompts with commas between, found \"8,x\""),
            ("batch 3", "bench batch has no option \"3\""),
            ("switch -n x", "-n wants a number of at least 1, found \"x\""),
            ("switch fast", "bench switch takes no arguments, found \"fast\""),
        ] {
            assert_eq!(Bench::parse(rest).unwrap_err().to_string(), error);
        }
    }
}
