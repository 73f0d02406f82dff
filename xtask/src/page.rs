//! `cargo xtask page`: the server's page in a browser, with the server on this host.
//!
//! Owns the server's start and end, and the tools. The checks are in `ci/page/test.mjs`.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::build;
use crate::cli::PageOptions;
use crate::model::Model;
use crate::process::{self, End, Running};
use crate::serve;
use crate::setup::{self, Consent, Tool};
use crate::terminal;
use crate::test::FAILED;
use crate::test::report::TestRun;
use crate::workspace::Workspace;

/// Time that the server may take to load its model.
const LOADING: Duration = Duration::from_secs(120);

/// Runs the checks against a server of its own, with any model.
///
/// # Errors
/// When a tool is missing, or the server does not start; checks that fail are the returned status.
pub fn run(workspace: &Workspace, consent: Consent, options: &PageOptions) -> Result<u8> {
    let pictures = options.out.clone().unwrap_or_else(|| pictures(workspace));
    let pictures = std::path::absolute(pictures).context("--out")?;
    let model = Model::resolve(workspace, consent, &options.model)?;
    let row = check(workspace, consent, model, &pictures)?;
    Ok(if row.failed == 0 { 0 } else { FAILED })
}

/// Runs the checks with the model in the image, as a row of the report.
///
/// # Errors
/// When a tool is missing, or the server does not start.
pub fn test(workspace: &Workspace, consent: Consent) -> Result<TestRun> {
    check(workspace, consent, Model::Embedded, &pictures(workspace))
}

fn pictures(workspace: &Workspace) -> PathBuf {
    workspace.reports().join("page")
}

fn check(workspace: &Workspace, consent: Consent, model: Model, pictures: &Path) -> Result<TestRun> {
    let begun = Instant::now();
    let directory = workspace.root.join("ci/page");
    let browser = tools(&directory, consent)?;
    let model = model.on_host(workspace)?;
    let program = build::quick_host_program(workspace, "serve")?;
    let address = serve::free_address()?;
    let mut server =
        Running::spawn(Command::new(program).arg(model).args(["--port", &address.port().to_string()]))?;
    ensure!(serve::comes_up(&mut server, address, LOADING), "the server at {address} does not serve");
    let mut test = Command::new("node");
    test.current_dir(&directory).env(setup::CHROMIUM, browser);
    test.arg("test.mjs").arg(format!("http://{address}/")).arg(pictures);
    let mut output = Vec::new();
    let end = process::stream(&mut test, None, &mut |bytes| {
        output.extend_from_slice(bytes);
        terminal::write(bytes)
    })?;
    let (passed, mut failed) = count(&String::from_utf8_lossy(&output));
    let mut notes = Vec::new();
    if !matches!(end, End::Exited(status) if status.success()) && failed == 0 {
        failed = 1;
        notes.push(format!("`{}` failed", process::shown(&test)));
    }
    Ok(TestRun { name: "page in Chromium".to_owned(), passed, failed, time: begun.elapsed(), notes })
}

/// Lines of checks that passed, and that failed.
fn count(output: &str) -> (u32, u32) {
    let lines = |word: &str| output.lines().filter(|line| line.starts_with(word)).count() as u32;
    (lines("ok    "), lines("FAIL  "))
}

/// Installs what is missing; the path of the browser.
fn tools(directory: &Path, consent: Consent) -> Result<PathBuf> {
    for tool in [Tool::Node, Tool::Npm, Tool::Chromium] {
        setup::require(tool, consent)?;
    }
    if !directory.join("node_modules/playwright-core").is_dir() {
        let mut install = Command::new("npm");
        install.args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--prefix"]).arg(directory);
        process::run(&mut install).context("playwright-core could not be installed")?;
    }
    setup::chromium().context("Chromium is missing")
}
