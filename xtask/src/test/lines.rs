//! JSON lines of a booted guest, compared with those of the same engine on the host.

use anyhow::{Context, Result};
use std::io::{self, Cursor};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::report::TestRun;
use crate::accel::Accelerator;
use crate::arch::Arch;
use crate::boot::Setup;
use crate::build::{self, Built};
use crate::cli::EngineTask;
use crate::engine::guest::Guest;
use crate::guest::Ending;
use crate::memory::MemorySize;
use crate::model::Model;
use crate::process;
use crate::workspace::Workspace;

/// Requests for each task: answers of every form, errors, blank lines, and a line longer than the kernel's input
/// buffer.
fn requests() -> [(EngineTask, String); 5] {
    let long = "The sun was warm. ".repeat(600);
    let lines = |lines: &[&str]| lines.join("\n");
    [
        (
            EngineTask::Tokenize,
            lines(&[
                r#"{"text": "Once upon a time", "add_begin": true}"#,
                "",
                r#"{"text": "caf\u00e9 \ud83d\ude00 über", "parse_special": true}"#,
                r#"{"text": "a	tab"}"#,
                &format!("{{\"text\": \"{long}\"}}"),
                "not an object",
                r#"{"text": "a", "txet": 1}"#,
            ]),
        ),
        (EngineTask::Detokenize, lines(&[r#"{"ids": [490, 528, 260, 410]}"#, r#"{"ids": [70000]}"#])),
        (
            EngineTask::Logits,
            lines(&[
                r#"{"text": "Once upon a time"}"#,
                r#"{"ids": [490, 528, 260, 410, 12], "positions": "all"}"#,
                &format!("{{\"text\": \"{long}\", \"positions\": \"all\"}}"),
            ]),
        ),
        (
            EngineTask::Generate,
            lines(&[
                r#"{"text": "Once upon a time", "tokens": 12, "logprobs": 3}"#,
                r#"{"text": "The princess", "tokens": 20, "temperature": 1, "top_k": 40, "seed": 7, "stop": ["."]}"#,
            ]),
        ),
        (
            EngineTask::Chat,
            lines(&[r#"{"messages": [{"role": "user", "content": "Hello"}], "reply": true}"#]),
        ),
    ]
}

/// Runs every task in a guest of `arch` with two cores and on the host.
///
/// # Errors
/// When the engine does not build, or QEMU or the host's engine cannot be started.
pub fn run(workspace: &Workspace, built: &Built, arch: Arch, timeout: Duration) -> Result<TestRun> {
    let start = Instant::now();
    let program = build::host_program(workspace, "engine")?;
    let setup = Setup::plain(arch, 2);
    let mut row = TestRun {
        name: format!("{arch} JSON lines"),
        passed: 0,
        failed: 0,
        time: Duration::ZERO,
        notes: Vec::new(),
    };
    for (task, requests) in requests() {
        let host = on_host(workspace, &program, task, &requests)?;
        let guest = Guest {
            workspace,
            built,
            setup: &setup,
            accel: Accelerator::Tcg,
            memory: MemorySize::DEFAULT,
            model: &Model::Embedded,
            timeout,
        };
        let (mut answers, mut notes) = (Vec::new(), Vec::new());
        let ending = guest.answer(
            task,
            Cursor::new(requests),
            &mut |bytes| {
                answers.extend_from_slice(bytes);
                Ok(())
            },
            &mut |text| {
                notes.extend_from_slice(text);
                Ok(())
            },
        )?;
        let wrong = match difference(&host, &String::from_utf8_lossy(&answers)) {
            None if ending == Ending::Success => None,
            None => ending.reason(),
            found => found,
        };
        row.passed += u32::from(wrong.is_none());
        row.failed += u32::from(wrong.is_some());
        if let Some(wrong) = wrong {
            println!(
                "--- console of {} ---\n{}\n--- end of console ---",
                row.name,
                String::from_utf8_lossy(&notes)
            );
            row.notes.push(format!("{}: {wrong}", task.name()));
        }
    }
    row.time = start.elapsed();
    println!("{}: {} passed, {} failed", row.name, row.passed, row.failed);
    Ok(row)
}

fn on_host(workspace: &Workspace, program: &Path, task: EngineTask, requests: &str) -> Result<String> {
    let mut file = tempfile::tempfile_in(workspace.root.join("target")).context("cannot make a file")?;
    io::Write::write_all(&mut file, requests.as_bytes())?;
    io::Seek::rewind(&mut file)?;
    let mut command = Command::new(program);
    command.arg("1").arg(workspace.story_model()).arg(task.name()).stdin(file);
    process::output(&mut command, None)
}

/// The first difference between two answers.
fn difference(host: &str, guest: &str) -> Option<String> {
    if host.is_empty() {
        return Some("the host did not answer".to_owned());
    }
    let short = |line: Option<&str>| match line {
        None => "nothing".to_owned(),
        Some(line) => line.chars().take(200).collect(),
    };
    let (mut host, mut guest) = (host.split('\n'), guest.split('\n'));
    for number in 1.. {
        match (host.next(), guest.next()) {
            (None, None) => break,
            (ours, theirs) if ours == theirs => {}
            (ours, theirs) => {
                return Some(format!("line {number} is {}, on the host {}", short(theirs), short(ours)));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(difference("a\nb\n", "a\n").as_deref(), Some("line 2 is , on the host b"));
        assert_eq!(difference("a\n", "a\nb\n").as_deref(), Some("line 2 is b, on the host "));
        assert!(difference("", "").is_some());
    }
}
