//! Boots with placement of console and workers on the command line or at the console, valid and invalid.

use anyhow::Result;

use super::scenario::{Scenario, file};
use crate::arch::Arch;
use crate::guest::Ending;
use crate::workspace::Workspace;

/// The scenarios, one with requests in a file that this writes.
///
/// # Errors
/// When the file cannot be written.
pub fn scenarios(workspace: &Workspace, arch: Arch) -> Result<(&'static str, Vec<Scenario>)> {
    let lines = file(workspace, arch, "placed.jsonl", b"{\"text\": \"Once upon a time\", \"tokens\": 4}\n")?;
    let with = |words: &[&str], scenario: Scenario| Scenario {
        words: words.iter().map(|&word| word.to_owned()).collect(),
        ..scenario
    };
    let scenarios = vec![
        with(
            &["housekeeping=1"],
            Scenario::new(
                "the console keeps house on another core and workers keep off it",
                "affinity; test; affinity; generate -n 3 Once upon",
                &[
                    "thread 0 (console): cores 1",
                    "housekeeping: 1",
                    "workers: 0,2-3, ",
                    " passed, 0 failed",
                    "(worker 0): cores 0",
                    "(worker 1): cores 2",
                    "(worker 2): cores 3",
                    "[3 tokens",
                ],
                Ending::Success,
            ),
        ),
        with(
            &["workers=1-3"],
            Scenario::new(
                "workers go to the cores that the command line names",
                "test; affinity; generate -n 3 Once upon",
                &[
                    " passed, 0 failed",
                    "(worker 0): cores 1",
                    "(worker 1): cores 2",
                    "(worker 2): cores 3",
                    "workers: 1-3, as asked, running",
                    "[3 tokens",
                ],
                Ending::Success,
            ),
        ),
        with(
            &["hook.absent=2", "workers=1,3"],
            Scenario::new(
                "a core for workers that is offline is named and the console answers",
                "affinity; generate -n 3 Once upon",
                &[
                    "cores: 3 of 4 online",
                    "error: workers=1,3 on the command line: core 3 is not online",
                    "workers: 0-2, ",
                    "[3 tokens",
                ],
                Ending::Failure,
            ),
        ),
        with(
            &["workers=1-x", "housekeeping=9"],
            Scenario::new(
                "words for places that make no sense are named and the console answers",
                "affinity; generate -n 3 Once upon",
                &[
                    "`housekeeping=9` names core 9, but of 4 cores the last is 3",
                    "error: workers=1-x on the command line: \"1-x\" is no core or range of cores",
                    "housekeeping: 0",
                    "[3 tokens",
                ],
                Ending::Failure,
            ),
        ),
        Scenario::new(
            "workers and threads move by a command, in effect before it returns; no core and an offline one are errors",
            "generate -n 3 Once upon; affinity workers=2-3; generate -n 3 Once upon; affinity; pin 0 3; affinity; \
             affinity workers=9; affinity workers=; pin 0 9",
            &[
                "[3 tokens",
                "workers: 2-3, as asked, ",
                "[3 tokens",
                "(worker 0): cores 2",
                "(worker 1): cores 3",
                "thread 0: cores 3",
                "warning: worker thread ",
                " is on core 3 too: they take turns there",
                "(worker 0): cores 3",
                "error: core 9 is not online",
                "error: \"\" is no core or range of cores",
                "error: core 9 is not online",
            ],
            Ending::Failure,
        ),
        Scenario {
            modules: vec![lines],
            ..Scenario::new(
                "two batches run at the same time on cores of their own",
                "batch 0-1=placed.jsonl 2-3=placed.jsonl",
                &[
                    "\"text\":\", there was a\"",
                    "[placed.jsonl on cores 0-1, ",
                    "\"text\":\", there was a\"",
                    "[placed.jsonl on cores 2-3, ",
                ],
                Ending::Success,
            )
        },
    ];
    Ok(("placement", scenarios))
}
