//! Boots with injected faults, their expected output and ending.

use anyhow::{Context, Result};
use std::fs;

use super::scenario::{Scenario, file};
use crate::arch::Arch;
use crate::guest::Ending;
use crate::model::Model;
use crate::workspace::Workspace;

/// The scenarios, some with damaged models in files that this writes.
///
/// # Errors
/// When a file cannot be read or written.
pub fn scenarios(workspace: &Workspace, arch: Arch) -> Result<(&'static str, Vec<Scenario>)> {
    let story = fs::read(workspace.story_model()).context("cannot read the story model")?;
    let half = file(workspace, arch, "cut-short.gguf", &story[..story.len() / 2])?;
    let foreign = file(workspace, arch, "foreign.gguf", &with_architecture(&story, b"zebra"))?;
    let lines = file(workspace, arch, "asked.jsonl", b"{\"text\": \"Once upon a time\", \"tokens\": 4}\n")?;
    let scenarios = vec![
        Scenario::new(
            "engine crashes are contained on any core",
            "crash null 3; crash kernel 1; crash panic 2; crash null; mem; generate -n 3 Once upon",
            &[
                "engine fault on core 3",
                "read of unmapped address 0x0",
                "engine restarted (1)",
                "engine fault on core 1",
                "write to protected address",
                "engine restarted (2)",
                "engine failed on core 2",
                "engine restarted (3)",
                "engine fault on core 0",
                "engine restarted (4)",
                "> mem",
                "[3 tokens",
            ],
            Ending::Success,
        ),
        Scenario::new(
            "a kernel stack overflow is reported with its core",
            "crash stack 2",
            &["kernel fault on core 2", "kernel stack overflow: guard page hit"],
            Ending::Panic,
        ),
        Scenario {
            words: vec!["allow=power".to_owned()],
            ..Scenario::new(
                "what the command line does not allow is refused",
                "crash stack 1; mem",
                &["the kernel refused OverflowStack: NotAllowed", "engine restarted (1)", "> mem"],
                Ending::Success,
            )
        },
        Scenario {
            words: vec!["hook.absent=2".to_owned()],
            ..Scenario::new(
                "a core that never starts is named and the boot goes on",
                "generate -n 3 Once upon",
                &[
                    "core 2 (hardware id 0x2) did not start",
                    "cores: 3 of 4 online (0x0 0x1 0x3)",
                    "[3 tokens",
                ],
                Ending::Success,
            )
        },
        Scenario {
            model: Model::None,
            ..Scenario::new(
                "without a model the console answers",
                "generate Once; mem",
                &["error: no model loaded", "> mem", "memory "],
                Ending::Failure,
            )
        },
        Scenario {
            modules: vec![lines],
            ..Scenario::new(
                "a batch is read from a file beside the model",
                "batch asked.jsonl; batch missing.jsonl",
                &[
                    "model tinystory",
                    "\"line\":1,",
                    "\"text\":\", there was a\"",
                    "error: no module is called \"missing.jsonl\"",
                ],
                Ending::Failure,
            )
        },
        Scenario {
            model: Model::File(half),
            ..Scenario::new(
                "a model cut short is refused by tensor and offset",
                "generate Once; mem",
                &[
                    "cut-short.gguf: tensor ",
                    " does not fit the file",
                    "error: no model loaded",
                    "> mem",
                    "memory ",
                ],
                Ending::Failure,
            )
        },
        Scenario {
            model: Model::File(foreign),
            ..Scenario::new(
                "an unknown architecture is named with those supported",
                "generate Once; mem",
                &[
                    "foreign.gguf: architecture \"zebra\" is not supported; supported: llama",
                    "> mem",
                    "memory ",
                ],
                Ending::Failure,
            )
        },
    ];
    Ok(("faults", scenarios))
}

/// Replaces the name of a GGUF file's architecture, `llama`, by another word of five letters.
fn with_architecture(file: &[u8], word: &[u8; 5]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    let position = |from: usize, text: &[u8]| {
        bytes[from..].windows(text.len()).position(|window| window == text).map(|at| from + at)
    };
    let place = position(0, b"general.architecture").and_then(|key| position(key, b"llama"));
    if let Some(place) = place {
        bytes[place..place + word.len()].copy_from_slice(word);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_architecture_is_changed() {
        let file = b"llama general.architecture....llama.llama.context";
        assert_eq!(with_architecture(file, b"zebra"), b"llama general.architecture....zebra.llama.context");
    }
}
