//! `bench scaling`: the same batch on one worker, on two, on four and so on up to all of them. Equal bits are part of
//! the measurement. With `--bound`, beside each what the cores make of as many batches that share nothing: no batch
//! that is shared among them can be expected to do better.

mod run;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_engine::batch::Request;
use embodios_text::tokenizer::ParseSpecial;
use serde_json::{Value, json};

use crate::{BenchError, Pools, Report, Subject};
use run::{Run, run};

/// Text of the prompts when nothing else is said: an opening that a story model knows how to go on from.
const OPENING: &str = "Once upon a time there was a little girl named Lily who loved to play";
/// Tokens of each request when nothing else is said.
const TOKENS: usize = 16;
/// Numbers of prompts when nothing else is said: one sequence alone, and a batch.
const SIZES: [usize; 2] = [1, 8];

/// Options of the bench.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options<'l> {
    /// Run also as many batches at once as there are workers, on one each.
    pub bound: bool,
    /// Repetitions of all runs.
    pub repetitions: usize,
    /// Tokens of each request.
    pub tokens: usize,
    /// Numbers of workers; `None` for 1, 2, 4 and so on, and all.
    pub workers: Option<Vec<usize>>,
    /// Numbers of prompts.
    pub sizes: Vec<usize>,
    /// Text whose words make the prompts.
    pub text: &'l str,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            bound: false,
            repetitions: 1,
            tokens: TOKENS,
            workers: None,
            sizes: SIZES.into(),
            text: OPENING,
        }
    }
}

/// Runs all as often as asked for and shows each run, then puts the workers back where they were.
///
/// # Errors
/// When there are too few workers, there is no memory for it, a request does not reach its limit of tokens, or bits
/// differ.
pub fn measure<P: Pools>(
    subject: Subject<'_>,
    pools: &mut P,
    options: &Options<'_>,
    show: &mut dyn FnMut(&dyn Report),
) -> Result<(), P::Error> {
    let counts = options.workers.clone().unwrap_or_else(|| doubling(pools.most()));
    let mut sizes = (0..options.repetitions).flat_map(|_| &options.sizes);
    let measured =
        sizes.try_for_each(|&prompts| batch_on_each(subject, pools, options, prompts, &counts, show));
    pools.pool(None)?;
    measured
}

/// Runs a batch on each number of workers in `counts`.
fn batch_on_each<P: Pools>(
    subject: Subject<'_>,
    pools: &mut P,
    options: &Options<'_>,
    prompts: usize,
    counts: &[usize],
    show: &mut dyn FnMut(&dyn Report),
) -> Result<(), P::Error> {
    let request = |index: usize| {
        let prompt = subject.tokenizer.prompt(&rotated(options.text, index), ParseSpecial::No).ids;
        Request::greedy(prompt, options.tokens)
    };
    let requests: Vec<Request> = (0..prompts).map(request).collect();
    let mut first: Option<Run> = None;
    counts.iter().try_for_each(|&workers| {
        let beside = (options.bound && workers > 1).then_some(workers);
        core::iter::once(1).chain(beside).try_for_each(|batches| {
            let run = run(subject, pools.pool(Some(workers))?, &requests, batches)?;
            show(&Compared { run: &run, first: first.as_ref() });
            let expected = &first.get_or_insert_with(|| run.clone()).hashes[0];
            match run.hashes.into_iter().find(|hash| hash != expected) {
                None => Ok(()),
                Some(hash) => Err(P::Error::from(BenchError::OtherBits {
                    what: format!("{prompts} prompts on {workers} workers"),
                    hashes: [hash, expected.clone()],
                })),
            }
        })
    })
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

/// A run beside the first one of its batch.
struct Compared<'r> {
    run: &'r Run,
    first: Option<&'r Run>,
}

impl Report for Compared<'_> {
    fn text(&self) -> String {
        let Run { prompts, workers, tokens, seconds, plan, hashes, .. } = self.run;
        let rate = *tokens as f64 / seconds;
        let faster = self.first.map_or(1.0, |first| rate / (first.tokens as f64 / first.seconds));
        format!(
            "{prompts} prompts, {workers} workers: {rate:.1} tokens/s, {faster:.2} times; {plan}; logits hash {}\n",
            hashes[0],
        )
    }

    fn json(&self) -> Value {
        let Run { prompts, workers, batches, tokens, seconds, plan, hashes } = self.run;
        json!({
            "prompts": prompts,
            "workers": workers,
            "batches": batches,
            "tokens": tokens,
            "seconds": seconds,
            "plan": plan,
            "hash": hashes[0],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn prompts_and_workers_differ() {
        assert_eq!([0, 1, 4].map(|index| rotated("a b  c", index)), ["a b c", "b c a", "b c a"]);
        assert_eq!([1, 2, 6, 8].map(doubling), [vec![1], vec![1, 2], vec![1, 2, 4, 6], vec![1, 2, 4, 8]]);
    }
}
