//! `batch CORES=FILE[@MODEL] ...`: batches at the same time, each on cores of its own and, where one is named, with a
//! model of its own.

use alloc::vec::Vec;

use embodios_engine::batch::Settings;
use embodios_engine::cache::{self, CacheError};
use embodios_engine::json::{JsonBatch, Responder, Tally};
use embodios_pool::platform::CoreSet;
use embodios_text::terminal::Line;

use super::{all_well, lines_of};
use crate::Console;
use crate::command::ParseError;
use crate::error::CommandError;
use crate::loaded::Loaded;
use crate::start::StartOptions;

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'l> {
    cores: CoreSet,
    /// The module with its lines.
    lines: &'l str,
    /// The module with its model; `None` for the one in use.
    model: Option<&'l str>,
}

/// Input and output of a group's first worker.
struct Work<'m> {
    requests: Responder<'m>,
    lines: JsonBatch,
    answers: Vec<u8>,
    nanoseconds: u64,
    /// Lines that were no requests.
    bad: usize,
    result: Result<Tally, CacheError>,
}

impl<'l> Group<'l> {
    /// Understands `CORES=FILE` or `CORES=FILE@MODEL`.
    pub fn parse(word: &'l str) -> Result<Self, ParseError> {
        let (cores, file) = word.split_once('=').ok_or_else(|| ParseError::Requests(word.into()))?;
        let (lines, model) = match file.split_once('@') {
            Some((lines, model)) => (lines, Some(model)),
            None => (file, None),
        };
        Ok(Self { cores: cores.parse()?, lines, model })
    }
}

impl Console<'_> {
    /// Runs them; the answers of each are shown together when all are over.
    ///
    /// # Errors
    /// When cores are not apart, a module is missing or wrong, or there is no memory.
    pub(super) fn batch_groups(&mut self, groups: &[Group<'_>]) -> Result<(), CommandError> {
        let mut groups: Vec<&Group<'_>> = groups.iter().collect();
        groups.sort_by_key(|group| group.cores.iter().next());
        let in_order: Vec<usize> = groups.iter().flat_map(|group| group.cores.iter()).collect();
        if !in_order.is_sorted_by(|one, next| one < next) {
            return Err(CommandError::NotApart);
        }
        let (platform, start, now) = (self.platform, self.start, self.unix_time());
        let own = |group: &&Group<'_>| {
            let options = StartOptions { model: group.model, ..StartOptions::default() };
            group.model.map(|_| Loaded::new(platform, start, &options, platform.memory().free)).transpose()
        };
        let own = groups.iter().map(own).collect::<Result<Vec<_>, _>>();
        let own = own.map_err(|error| CommandError::from(&error))?;
        let shared = self.loaded.as_ref().copied();
        let mut works = Vec::new();
        for (group, own) in groups.iter().zip(&own) {
            let loaded = own.as_ref().map_or(shared, Ok)?;
            let requests = loaded.requests(now);
            let mut answers = Vec::new();
            let (lines, bad) = lines_of(start.modules, group.lines, &requests, &mut |bytes| {
                answers.extend_from_slice(bytes)
            })?;
            works.push(Work { requests, lines, answers, nanoseconds: 0, bad, result: Ok(Tally::default()) });
        }
        let settings = Settings::new(cache::budget(&platform.memory()) / groups.len().max(1));
        let sizes: Vec<usize> = groups.iter().map(|group| group.cores.len()).collect();
        let none = Vec::from_iter((0..=sizes.len()).map(|_| 0));
        let pool = self.workers.pool_on(&in_order.into_iter().collect())?;
        pool.groups_at::<_, ()>(&sizes, &mut works, (&mut [], &none), |work, _, pool| {
            let begun = platform.now_ns();
            let lines = core::mem::take(&mut work.lines);
            let answers = &mut work.answers;
            work.result =
                lines.answer(&work.requests, pool, settings, &mut |bytes| answers.extend_from_slice(bytes));
            work.nanoseconds = platform.now_ns() - begun;
        })?;
        let mut failed = 0;
        for (Group { cores, lines, .. }, work) in groups.iter().zip(works) {
            let model = work.requests.model.config.architecture.name;
            let seconds = work.nanoseconds as f64 / 1e9;
            self.output.answer(&work.answers);
            self.output.note(format_args!("[{} on cores {cores}, {model}: {seconds:.2} s]\n", Line(lines)));
            let tally = work.result?;
            failed += work.bad + tally.failed;
            self.totals.add_batch(&tally);
        }
        all_well(failed)
    }
}

/// Understands words of which each is a batch.
pub fn parse(rest: &str) -> Result<Vec<Group<'_>>, ParseError> {
    rest.split_whitespace().map(Group::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_cores_and_files() {
        let groups = parse("0-1=a.jsonl  2=b.jsonl@c.gguf").unwrap();
        let group = |cores: &str, lines, model| Group { cores: cores.parse().unwrap(), lines, model };
        assert_eq!(groups, [group("0-1", "a.jsonl", None), group("2", "b.jsonl", Some("c.gguf"))]);
        assert_eq!(parse("0=a b"), Err(ParseError::Requests("b".into())));
        assert!(matches!(parse("x=a"), Err(ParseError::Cores(_))));
    }
}
