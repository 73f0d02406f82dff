//! The command `bench WHAT`: what the engine measures of itself, a file for each.

mod batch;
mod jitter;
mod scaling;
mod spread;
mod switch;

use super::Console;
use super::command::{ParseError, split_word};
use super::error::CommandError;
use super::options::number;
use batch::BatchBench;
use jitter::Jitter;
use scaling::Scaling;
use switch::Switch;

/// What to measure.
#[derive(Clone, Debug, PartialEq)]
pub enum Bench<'l> {
    /// Requests at once and one after another.
    Batch(BatchBench),
    /// The same step many times.
    Jitter(Jitter),
    /// The same batch on more and more workers.
    Scaling(Scaling<'l>),
    /// Two threads that take turns.
    Switch(Switch),
}

impl<'l> Bench<'l> {
    /// Understands what follows `bench`.
    ///
    /// # Errors
    /// [`ParseError`], which names the word at fault.
    pub fn parse(rest: &'l str) -> Result<Self, ParseError> {
        match split_word(rest) {
            ("batch", rest) => BatchBench::parse(rest).map(Self::Batch),
            ("jitter", rest) => Jitter::parse(rest).map(Self::Jitter),
            ("scaling", rest) => Scaling::parse(rest).map(Self::Scaling),
            ("switch", rest) => Switch::parse(rest).map(Self::Switch),
            (other, _) => Err(ParseError::Bench(other.into())),
        }
    }
}

impl Console<'_> {
    /// Measures, and prints the figures.
    ///
    /// # Errors
    /// When there is no model or no memory, or what must be equal is not.
    pub(super) fn bench(&mut self, bench: &Bench<'_>) -> Result<(), CommandError> {
        match bench {
            Bench::Batch(batch) => self.batch_bench(batch),
            Bench::Jitter(jitter) => self.jitter(jitter),
            Bench::Scaling(scaling) => self.scaling(scaling),
            Bench::Switch(switch) => self.switch(*switch),
        }
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
