//! `bench scaling`: the same batch on one worker, on two, on four and so on up to all of them. Equal bits are part of
//! the measurement. With `--bound`, beside each what the cores make of as many batches that share nothing: no batch
//! that is shared among them can be expected to do better.
//!
//! Each run stands between two marks, for who counts instructions; its time is from the first submission to the
//! last token.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use serde_json::json;

use crate::batch::{Batch, Finish, Outcome, Request, Settings};
use crate::console::Console;
use crate::console::batch::budget;
use crate::console::command::{ParseError, split_word};
use crate::console::error::CommandError;
use crate::console::loaded::Loaded;
use crate::console::options::number;
use crate::generate::Stop;
use crate::platform::Mark;
use crate::pool::Pool;
use crate::sample::Sampling;
use crate::tokenizer::ParseSpecial;

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
    /// Tokens of each request.
    tokens: usize,
    /// Numbers of workers; `None` for 1, 2, 4 and so on, and all.
    workers: Option<Vec<usize>>,
    /// Numbers of prompts.
    sizes: Vec<usize>,
    /// Whose words the prompts are.
    text: &'l str,
}

/// A batch on some workers, or a copy of it on each.
#[derive(Clone, Debug)]
struct Run {
    prompts: usize,
    workers: usize,
    /// Batches at once: 1, or one for each worker.
    batches: usize,
    /// Tokens that passed through the model, of all batches.
    tokens: usize,
    seconds: f64,
    /// How the last step used the cores.
    plan: String,
    /// For each batch, of all its requests' logits.
    hashes: Vec<String>,
}

/// A batch with what it is for and what it came to.
struct Task<'m> {
    batch: Batch<'m>,
    requests: Vec<Request>,
    outcomes: Vec<Outcome>,
}

impl Task<'_> {
    fn run(&mut self, pool: &mut Pool) {
        self.outcomes = self.batch.run(pool, self.requests.drain(..));
    }
}

impl<'l> Scaling<'l> {
    /// Understands `[--json] [--bound] [-n TOKENS] [-c WORKERS,...] [PROMPTS,... [TEXT]]`.
    pub fn parse(mut rest: &'l str) -> Result<Self, ParseError> {
        let mut parsed = Self {
            json: false,
            bound: false,
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
    /// Runs each batch on each number of workers, and puts the workers back where they were.
    pub(super) fn scaling(&mut self, scaling: &Scaling<'_>) -> Result<(), CommandError> {
        let all = self.workers.cores().len();
        let counts = scaling.workers.clone().unwrap_or_else(|| doubling(all));
        let measured = scaling.sizes.iter().try_for_each(|&prompts| {
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
        });
        self.workers.pool(None)?;
        measured
    }

    /// Runs a batch on all of so many workers, or as many `batches` at once on one each.
    fn run_batches(
        &mut self,
        &Scaling { tokens, text, .. }: &Scaling<'_>,
        prompts: usize,
        workers: usize,
        batches: usize,
    ) -> Result<Run, CommandError> {
        let platform = self.platform;
        let (Loaded { model, tokenizer, kernels, .. }, pool) = self.loaded_and_pool(Some(workers))?;
        let request = |index: usize| Request {
            prompt: tokenizer.prompt(&rotated(text, index), ParseSpecial::No).ids,
            limit: tokens,
            end: Vec::new(),
            sampling: Sampling::GREEDY,
            stops: Vec::new(),
            log_probabilities: false,
        };
        let settings = Settings::new(budget(platform) / batches);
        let task = |_| {
            let batch = Batch::new(model, tokenizer, *kernels, settings)?;
            Ok(Task { batch, requests: (0..prompts).map(request).collect(), outcomes: Vec::new() })
        };
        let mut tasks = (0..batches).map(task).collect::<Result<Vec<_>, CommandError>>()?;
        let begun = platform.now_ns();
        platform.mark(Mark::Begin);
        match &mut *tasks {
            [only] => only.run(pool),
            all => {
                let nothing = (&mut [(); 0][..], &*vec![0; batches + 1]);
                pool.groups_at(&vec![1; batches], all, nothing, |task, _, pool| task.run(pool))?;
            }
        }
        platform.mark(Mark::End);
        let nanoseconds = platform.now_ns() - begun;
        let mut passed = 0;
        let mut hashes = Vec::new();
        for Task { outcomes, .. } in &tasks {
            let mut hash = crate::generate::LogitsHash::new();
            for (index, outcome) in outcomes.iter().enumerate() {
                if outcome.finish != Finish::Done(Stop::Limit) {
                    return Err(CommandError::Unfinished { request: index + 1, finish: outcome.finish });
                }
                hash.combine(outcome.logits_hash);
                // The last token made is not taken any more.
                passed += outcome.prompt_tokens - outcome.shared_tokens + tokens - 1;
            }
            hashes.push(format!("{:016x}", hash.value()));
        }
        let plan = tasks[0].batch.plan().map(|plan| format!("{}", plan.way)).unwrap_or_default();
        Ok(Run {
            prompts,
            workers,
            batches,
            tokens: passed,
            seconds: nanoseconds as f64 / 1e9,
            plan: if batches == 1 { plan } else { format!("{batches} batches, each on a worker of its own") },
            hashes,
        })
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

    #[test]
    fn options_stand_in_front_of_sizes_and_text() {
        let parsed = Scaling::parse("--json --bound -n 4 -c 1,8 8,16 a b").unwrap();
        let expected = Scaling {
            json: true,
            bound: true,
            tokens: 4,
            workers: Some([1, 8].into()),
            sizes: [8, 16].into(),
            text: "a b",
        };
        assert_eq!(parsed, expected);
        assert_eq!(Scaling::parse("").unwrap().sizes, SIZES);
        for (rest, error) in [
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
