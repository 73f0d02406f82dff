//! The host tests, by `cargo test`.

use anyhow::Result;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::report::TestRun;
use crate::process::{self, End};
use crate::terminal;
use crate::workspace::Workspace;

/// Variable with the model's path, for ignored tests.
const MODEL_VARIABLE: &str = "EMBODIOS_SMOLLM2";

/// Variable with the path of llama.cpp's vocabulary files, which no package of ours provides, and the one ignored
/// test that needs them.
const VOCABULARIES_VARIABLE: &str = "EMBODIOS_LLAMA_VOCABS";
const VOCABULARIES_TEST: &str = "ids_equal_llama_cpp";

/// Runs all host tests; those that need the model only if it is given.
///
/// # Errors
/// When cargo cannot be started.
pub fn run(workspace: &Workspace, model: Option<&Path>) -> Result<TestRun> {
    let start = Instant::now();
    let mut row =
        TestRun { name: "host".to_owned(), passed: 0, failed: 0, time: start.elapsed(), notes: Vec::new() };
    // Arithmetic is optimised as in the engine; xtask is tested in the profile it was just built in.
    let mut optimised = workspace.cargo();
    optimised.args(["test", "--no-fail-fast", "--profile", "quick", "--workspace", "--exclude", "xtask"]);
    if let Some(model) = model {
        optimised.env(MODEL_VARIABLE, model).args(["--", "--include-ignored"]);
        if std::env::var_os(VOCABULARIES_VARIABLE).is_none() {
            optimised.args(["--skip", VOCABULARIES_TEST]);
            row.notes
                .push(format!("{VOCABULARIES_TEST} left out: {VOCABULARIES_VARIABLE} names no directory"));
        }
    } else {
        row.notes.push("tests with SmolLM2 left out: it is not fetched".to_owned());
    }
    let mut front_door = workspace.cargo();
    front_door.args(["test", "--no-fail-fast", "--package", "xtask"]);
    for command in [&mut optimised, &mut front_door] {
        run_cargo(command, &mut row)?;
    }
    row.time = start.elapsed();
    Ok(row)
}

fn run_cargo(command: &mut Command, row: &mut TestRun) -> Result<()> {
    let mut output = Vec::new();
    let end = process::stream(command, None, &mut |bytes| {
        output.extend_from_slice(bytes);
        terminal::write(bytes)
    })?;
    let (passed, failed) = count(&String::from_utf8_lossy(&output));
    row.passed += passed;
    row.failed += failed;
    let success = matches!(end, End::Exited(status) if status.success());
    if !success && failed == 0 {
        // It did not compile, or a test program ended before its result line.
        row.failed += 1;
        row.notes.push(format!("`{}` failed", process::shown(command)));
    }
    Ok(())
}

/// Adds up the `test result:` lines of all test programs.
fn count(output: &str) -> (u32, u32) {
    let results = output.lines().filter_map(|line| line.strip_prefix("test result: "));
    results.fold((0, 0), |(passed, failed), result| {
        let number = |label: &str| -> u32 {
            let field = result.split([';', '.']).find_map(|field| field.trim().strip_suffix(label));
            field.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
        };
        (passed + number("passed"), failed + number("failed"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_programs_add_up() {
        let output = "running 3 tests\ntest a ... ok\n\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\n\
            test result: FAILED. 11 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n";
        assert_eq!(count(output), (14, 2));
        assert_eq!(count("error: could not compile"), (0, 0));
    }

    #[test]
    fn a_run_that_dies_is_a_failure() {
        let mut row = TestRun {
            name: String::new(),
            passed: 0,
            failed: 0,
            time: Default::default(),
            notes: Vec::new(),
        };
        run_cargo(Command::new("sh").args(["-c", "exit 101"]), &mut row).expect("sh runs");
        assert_eq!((row.passed, row.failed, row.notes.len()), (0, 1, 1));
    }
}
