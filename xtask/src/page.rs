//! `cargo xtask page`: the server's page in a browser, with the server on this host.
//!
//! Owns the server's start and end, and what is said when a tool is missing. The checks are in `ci/page/test.mjs`.

use anyhow::{Context, Result, ensure};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::build;
use crate::cli::PageOptions;
use crate::model::Model;
use crate::process::{self, End, Running};
use crate::serve::is_healthy;
use crate::setup::Consent;
use crate::terminal;
use crate::test::FAILED;
use crate::workspace::Workspace;

/// Time that the server may take to load its model.
const LOADING: Duration = Duration::from_secs(120);
/// Time between two questions whether it has.
const ASK: Duration = Duration::from_millis(50);

/// Runs the checks against a server of its own.
///
/// # Errors
/// When a tool is missing, or the server does not start; checks that fail are the returned status.
pub fn run(workspace: &Workspace, consent: Consent, options: &PageOptions) -> Result<u8> {
    let directory = workspace.root.join("ci/page");
    require_tools(&directory)?;
    let pictures = options.out.clone().unwrap_or_else(|| workspace.reports().join("page"));
    let pictures = std::path::absolute(pictures).context("--out")?;
    let model = Model::resolve(workspace, consent, &options.model)?.on_host(workspace)?;
    let program = build::quick_host_program(workspace, "serve")?;
    let address = free_address()?;
    let mut server =
        Running::spawn(Command::new(program).arg(model).args(["--port", &address.port().to_string()]))?;
    let begun = Instant::now();
    while !is_healthy(address) {
        let is_loading = !server.has_ended() && begun.elapsed() < LOADING;
        ensure!(is_loading, "the server at {address} does not serve");
        thread::sleep(ASK);
    }
    let mut test = Command::new("node");
    test.current_dir(&directory).arg("test.mjs").arg(format!("http://{address}/")).arg(pictures);
    match process::stream(&mut test, None, &mut |bytes| terminal::write(bytes))? {
        End::Exited(status) if status.success() => Ok(0),
        _ => Ok(FAILED),
    }
}

/// Says what to install where something is missing. `test.mjs` itself looks for the browser.
fn require_tools(directory: &Path) -> Result<()> {
    ensure!(
        process::find_program("node").is_some(),
        "node is missing: install Node.js 20 or later, npm and Chromium"
    );
    ensure!(
        directory.join("node_modules/playwright-core").is_dir(),
        "playwright-core is missing; to install it: npm install --no-package-lock --prefix {}",
        directory.display()
    );
    Ok(())
}

/// An address of this host that nobody listens at.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    listener.local_addr().context("no port is free")
}
