//! The command `bench WHAT`: what the engine measures of itself, a file for each.

mod scaling;
mod switch;

use super::Console;
use super::command::{ParseError, split_word};
use super::error::CommandError;
use scaling::Scaling;
use switch::Switch;

/// What to measure.
#[derive(Clone, Debug, PartialEq)]
pub enum Bench<'l> {
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
            Bench::Scaling(scaling) => self.scaling(scaling),
            Bench::Switch(switch) => self.switch(*switch),
        }
    }
}
