//! `bench scaling`: the same batch on one worker, on two, on four and so on up to all of them. Equal bits are part of
//! the measurement. With `--bound`, beside each what the cores make of as many batches that share nothing: no batch
//! that is shared among them can be expected to do better.

mod run;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_engine::batch::Request;
use embodios_text::tokenizer::ParseSpecial;
use serde_json::json;

use crate::Console;
use crate::command::{ParseError, split_word};
use crate::error::CommandError;
use crate::options::number;
use run::{Run, run};

/// What the prompts are made of when nothing else is said: an opening that a story model knows how to go on from.
const OPENING: &str = "Once upon a time there was a little girl named Lily who loved to play";
/// Tokens of each request when nothing else is said.
const TOKENS: usize = 16;
/// Numbers of prompts when nothing else is said: one sequence alone, and a batch.
const SIZES: [usize; 2] = [1, 8];

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaling<'l> {
    /// Print JSON.
    json: bool,
    /// Run also as many batches at once as there are workers, on one each.
    bound: bool,
    /// How often to run all.
    repetitions: usize,
    /// Tokens of each request.
    tokens: usize,
    /// Numbers of workers; `None` for 1, 2, 4 and so on, and all.
    workers: Option<Vec<usize>>,
    /// Numbers of prompts.
    sizes: Vec<usize>,
    /// Whose words the prompts are.
    text: &'l str,
}

impl<'l> Scaling<'l> {
    /// Understands `[--json] [--bound] [-r REPETITIONS] [-n TOKENS] [-c WORKERS,...] [PROMPTS,... [TEXT]]`.
    pub fn parse(mut rest: &'l str) -> Result<Self, ParseError> {
        let mut parsed = Self {
            json: false,
            bound: false,
            repetitions: 1,
            tokens: TOKENS,
            workers: None,
            sizes: SIZES.into(),
            text: OPENING,
        };
        while rest.starts_with('-') {
            let (word, after) = split_word(rest);
            let (value, behind) = split_word(after);
            rest = behind;
            match word {
                "--json" => (parsed.json, rest) = (true, after),
                "--bound" => (parsed.bound, rest) = (true, after),
                "-r" => parsed.repetitions = number('r', value, "a number of at least 1", |&n| n > 0)?,
                "-n" => parsed.tokens = number('n', value, "a number of at least 1", |&n| n > 0)?,
                "-c" => parsed.workers = Some(numbers('c', value)?),
                option => {
                    return Err(ParseError::Option { command: "bench scaling", option: option.into() });
                }
            }
        }
        let (sizes, text) = split_word(rest);
        if !sizes.is_empty() {
            parsed.sizes = list(sizes).ok_or_else(|| ParseError::Prompts(sizes.into()))?;
        }
        if !text.is_empty() {
            parsed.text = text;
        }
        Ok(parsed)
    }
}

/// Numbers of at least 1, separated by commas.
fn list(text: &str) -> Option<Vec<usize>> {
    text.split(',').map(|word| word.parse().ok().filter(|&number| number > 0)).collect()
}

fn numbers(option: char, value: &str) -> Result<Vec<usize>, ParseError> {
    let wanted = "numbers of at least 1 with commas between";
    list(value).ok_or_else(|| ParseError::Value { option, wanted, found: value.into() })
}

/// 1, 2, 4 and so on below `all`, and `all`.
fn doubling(all: usize) -> Vec<usize> {
    let mut counts: Vec<usize> =
        core::iter::successors(Some(1), |count| Some(2 * count)).take_while(|&count| count < all).collect();
    counts.push(all);
    counts
}

/// The words of `text`, beginning with word `index`.
fn rotated(text: &str, index: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (last, first) = words.split_at(index % words.len().max(1));
    [first, last].concat().join(" ")
}

impl Console<'_> {
    /// Runs all as often as asked for, and puts the workers back where they were.
    pub(super) fn scaling(&mut self, scaling: &Scaling<'_>) -> Result<(), CommandError> {
        let all = self.workers.cores().len();
        let counts = scaling.workers.clone().unwrap_or_else(|| doubling(all));
        let measured = (0..scaling.repetitions).try_for_each(|_| {
            scaling.sizes.iter().try_for_each(|&prompts| self.batch_on_each(scaling, prompts, &counts))
        });
        self.workers.pool(None)?;
        measured
    }

    /// Runs a batch on each number of workers in `counts`.
    fn batch_on_each(
        &mut self,
        scaling: &Scaling<'_>,
        prompts: usize,
        counts: &[usize],
    ) -> Result<(), CommandError> {
        let mut first: Option<Run> = None;
        counts.iter().try_for_each(|&workers| {
            let beside = (scaling.bound && workers > 1).then_some(workers);
            core::iter::once(1).chain(beside).try_for_each(|batches| {
                let run = self.run_batches(scaling, prompts, workers, batches)?;
                self.show(scaling.json, &run, first.as_ref());
                let expected = &first.get_or_insert_with(|| run.clone()).hashes[0];
                match run.hashes.into_iter().find(|hash| hash != expected) {
                    None => Ok(()),
                    Some(hash) => Err(CommandError::OtherBits {
                        what: format!("{prompts} prompts on {workers} workers"),
                        hashes: [hash, expected.clone()],
                    }),
                }
            })
        })
    }

    fn run_batches(
        &mut self,
        &Scaling { tokens, text, .. }: &Scaling<'_>,
        prompts: usize,
        workers: usize,
        batches: usize,
    ) -> Result<Run, CommandError> {
        let (loaded, pool) = self.loaded_and_pool(Some(workers))?;
        let request = |index: usize| {
            let prompt = loaded.tokenizer.prompt(&rotated(text, index), ParseSpecial::No).ids;
            Request::greedy(prompt, tokens)
        };
        let requests: Vec<Request> = (0..prompts).map(request).collect();
        run(loaded, pool, &requests, batches)
    }

    /// Prints a run; as text, beside the `first` one of its batch.
    fn show(&self, json: bool, run: &Run, first: Option<&Run>) {
        let Run { prompts, workers, batches, tokens, seconds, plan, hashes } = run;
        if json {
            let line = json!({
                "prompts": prompts,
                "workers": workers,
                "batches": batches,
                "tokens": tokens,
                "seconds": seconds,
                "plan": plan,
                "hash": hashes[0],
            });
            return self.say(format_args!("{line}\n"));
        }
        let rate = *tokens as f64 / seconds;
        let faster = first.map_or(1.0, |first| rate / (first.tokens as f64 / first.seconds));
        self.say(format_args!(
            "{prompts} prompts, {workers} workers: {rate:.1} tokens/s, {faster:.2} times; {plan}; logits hash {}\n",
            hashes[0],
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn options_stand_in_front_of_sizes_and_text() {
        let parsed = Scaling::parse("--json --bound -r 3 -n 4 -c 1,8 8,16 a b").unwrap();
        let expected = Scaling {
            json: true,
            bound: true,
            repetitions: 3,
            tokens: 4,
            workers: Some([1, 8].into()),
            sizes: [8, 16].into(),
            text: "a b",
        };
        assert_eq!(parsed, expected);
        assert_eq!(Scaling::parse("").unwrap().sizes, SIZES);
        for (rest, error) in [
            ("-r 0", "-r wants a number of at least 1, found \"0\""),
            ("-n 0", "-n wants a number of at least 1, found \"0\""),
            ("-c 1,,2", "-c wants numbers of at least 1 with commas between, found \"1,,2\""),
            ("-t 1", "bench scaling has no option \"-t\""),
            ("8,x", "bench wants numbers of prompts with commas between, found \"8,x\""),
        ] {
            assert_eq!(Scaling::parse(rest).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn prompts_and_workers_differ() {
        assert_eq!([0, 1, 4].map(|index| rotated("a b  c", index)), ["a b c", "b c a", "b c a"]);
        assert_eq!([1, 2, 6, 8].map(doubling), [vec![1], vec![1, 2], vec![1, 2, 4, 6], vec![1, 2, 4, 8]]);
    }
}
