//! Piped standard input: every byte reaches the console, on every machine, and its end ends the machine.

use anyhow::Result;
use std::io::{Cursor, Write};
use std::time::{Duration, Instant};

use super::report::TestRun;
use crate::accel::Accelerator;
use crate::arch::Arch;
use crate::boot::{self, Plan, Setup};
use crate::build::Built;
use crate::frames::Frames;
use crate::guest::Ending;
use crate::input::InputSource;
use crate::machine::MachineKind;
use crate::memory::MemorySize;
use crate::model::Model;
use crate::workspace::Workspace;

/// Commands without `poweroff`, the last without a line end: a story, and token ids of a text with a tab.
const COMMANDS: &str = "generate -n 12 Once upon a time\nids a\tb";
/// Answers to the commands.
const ANSWERS: &str = ", there was a little boy named Ben. Ben loved to\n";

/// Input that ends an engine, and the next engine's answers: it neither loses an unread line of the one before it nor
/// executes the rest of a line.
const ENDINGS: [(&str, &str); 3] = [
    ("crash null\nids a\n", "ids 0 65\n"),
    ("generate -n 200 Once\n\x03\x03ids a\n", "ids 0 65\n"),
    ("crash panic\n", ""),
];

/// Number of Ctrl-C sent before there is an engine to receive them; a command follows.
const INTERRUPTS: usize = 3001;

/// Requests of a batch, and bytes of each with its line end: some 100 KiB, many times the kernel's input buffer.
const REQUESTS: usize = 1000;
const REQUEST: usize = 100;

/// Boots the machines of `arch` that differ in their serial line and firmware.
///
/// # Errors
/// When QEMU cannot be started.
pub fn run(workspace: &Workspace, built: &Built, arch: Arch, timeout: Duration) -> Result<TestRun> {
    let start = Instant::now();
    let kinds: &[MachineKind] = match arch {
        Arch::X86_64 => &[MachineKind::Q35, MachineKind::Pc, MachineKind::Microvm],
        Arch::Aarch64 => &[MachineKind::Virt],
    };
    let mut row = TestRun {
        name: format!("{arch} piped input"),
        passed: 0,
        failed: 0,
        time: Duration::ZERO,
        notes: Vec::new(),
    };
    let mut judge = |name: &str, wrong: Option<String>, console: &str| {
        row.passed += u32::from(wrong.is_none());
        row.failed += u32::from(wrong.is_some());
        if let Some(wrong) = wrong {
            println!("--- console of {name} ---\n{console}\n--- end of console ---");
            row.notes.push(format!("{name}: {wrong}"));
        }
    };
    for &kind in kinds {
        let (answers, console, ending) = pipe(workspace, built, kind, COMMANDS.into(), timeout)?;
        let ids = answers.strip_prefix(ANSWERS).and_then(|rest| rest.strip_prefix("ids 0 "));
        // A tab is a token of its own.
        let all = ids.is_some_and(|ids| ids.split_whitespace().count() == 3);
        judge(kind.name(), shortfall(all, &answers, &ending), &console);
    }
    let kind = MachineKind::default_of(arch);
    let (answers, console, ending) = pipe(workspace, built, kind, batch(), timeout)?;
    let all = (1..=REQUESTS).all(|number| answers.contains(&format!("\"line\":{number},")));
    judge("batch of 100 KiB", shortfall(all, &answers, &ending), &console);
    let interrupts = ["\x03".repeat(INTERRUPTS), "\nids a\n".to_owned()].concat();
    for (input, answer) in ENDINGS.into_iter().chain([(interrupts.as_str(), "ids 0 65\n")]) {
        let (answers, console, ending) = pipe(workspace, built, kind, input.into(), timeout)?;
        // The exit status reports the failure.
        let wrong = match ending {
            Ending::Failure if answers.ends_with(answer) => None,
            ending => Some(format!("{ending:?}, answers: {answers:.200}")),
        };
        judge(&format!("{input:.24?}"), wrong, &console);
    }
    row.time = start.elapsed();
    println!("{}: {} passed, {} failed", row.name, row.passed, row.failed);
    Ok(row)
}

/// The fault of a boot, unless `all` of its answers are there and it succeeded.
fn shortfall(all: bool, answers: &str, ending: &Ending) -> Option<String> {
    match all {
        true if *ending == Ending::Success => None,
        true => ending.reason().or_else(|| Some("QEMU was closed".to_owned())),
        false => Some(format!("{} answers: {:.200}", answers.lines().count(), answers)),
    }
}

/// Input `batch -` with its requests.
fn batch() -> Vec<u8> {
    let line = |number: usize| format!("{{\"ids\": [490, 528], \"tokens\": 1, \"seed\": {number}}}");
    let lines = (0..REQUESTS).map(|number| format!("{:<1$}\n", line(number), REQUEST - 1));
    format!("batch -\n{}", lines.collect::<String>()).into_bytes()
}

/// Boots with `input` at the console. Returns answers, all output, and the ending.
fn pipe(
    workspace: &Workspace,
    built: &Built,
    kind: MachineKind,
    input: Vec<u8>,
    timeout: Duration,
) -> Result<(String, String, Ending)> {
    let setup = Setup::new(kind, 2.into());
    let plan = Plan {
        name: "piped",
        setup: &setup,
        accel: Accelerator::Tcg,
        memory: MemorySize::DEFAULT,
        model: &Model::Embedded,
        modules: &[],
        words: &[],
        script: "",
        keep_going: false,
        timeout,
        pinned: false,
    };
    let mut frames = Frames::default();
    let (mut answers, mut console) = (Vec::new(), Vec::new());
    let source = InputSource::Reader(Box::new(Cursor::new(input)));
    let ending = boot::run_with_input(workspace, built, &plan, source, &mut |bytes| {
        console.write_all(bytes)?;
        frames.take(bytes, &mut |bytes| answers.write_all(bytes), &mut |_| Ok(()))
    })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(&answers), text(&console), ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_is_as_long_as_it_should_be() {
        let batch = batch();
        assert_eq!(batch.len(), "batch -\n".len() + REQUESTS * REQUEST);
        assert!(
            batch.split(|&byte| byte == b'\n').skip(1).all(|line| [0, REQUEST - 1].contains(&line.len()))
        );
    }
}
