//! A booted guest that serves at a port of the host while a test works with it.

use anyhow::{Context, Result, ensure};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use super::server::Server;
use crate::accel::Accelerator;
use crate::attack::judgement;
use crate::boot::{self, Plan, Setup};
use crate::build::Built;
use crate::client::{Client, get};
use crate::guest::Ending;
use crate::input::InputSource;
use crate::memory::MemorySize;
use crate::model::Model;
use crate::network::Network;
use crate::workspace::Workspace;
use crate::{serve, threads};

/// Time for the answer to a question whether a guest that boots is there yet, and between two of them.
const ANSWER: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// A guest to boot.
pub struct Guest<'g> {
    /// The workspace.
    pub workspace: &'g Workspace,
    /// Engine and kernel.
    pub built: &'g Built,
    /// Accelerator.
    pub accel: Accelerator,
    /// Time limit.
    pub timeout: Duration,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By `poweroff` at its console.
    PowerOff,
    /// By itself, since the work has it drained.
    Drained,
    /// By `poweroff`, with the status that says that its engine has crashed.
    Crashed,
}

/// A guest's boot, from its start to its end.
pub struct Boot<T> {
    /// What the work came to.
    pub result: T,
    /// How often the engine was started afresh, by the kernel's words.
    pub restarts: usize,
    /// What is wrong with its ending.
    pub wrong: Option<String>,
}

/// Files and words beside the machine.
pub struct Loaded<'l> {
    /// Model, and the name by which it is served.
    pub model: &'l Model,
    pub name: &'l str,
    /// Further files.
    pub modules: &'l [PathBuf],
    /// Further words of the command line.
    pub words: &'l [String],
}

impl Guest<'_> {
    /// Boots, waits until it serves, has `work` done, and ends it.
    ///
    /// # Errors
    /// When QEMU cannot be started, or the guest ends before it serves.
    pub fn serve<T>(
        &self,
        mut setup: Setup,
        loaded: &Loaded<'_>,
        end: End,
        work: impl FnOnce(&Server) -> T,
    ) -> Result<Boot<T>> {
        let address = serve::free_address()?;
        let pci = setup.network.is_some_and(|network| network.pci);
        setup.network = Some(Network { forward: Some(address), pci });
        let plan = Plan {
            name: "test serving",
            setup: &setup,
            accel: self.accel,
            memory: MemorySize::DEFAULT,
            model: loaded.model,
            modules: loaded.modules,
            words: loaded.words,
            script: "",
            keep_going: true,
            timeout: self.timeout,
            pinned: false,
        };
        let (typing, lines) = mpsc::channel();
        let input = InputSource::Reader(Box::new(Input { lines, rest: b"" }));
        let mut console = Vec::new();
        let (result, ending) = thread::scope(|scope| {
            let guest = scope.spawn(|| {
                let mut sink = |bytes: &[u8]| {
                    console.extend_from_slice(bytes);
                    Ok(())
                };
                boot::run_with_input(self.workspace, self.built, &plan, input, &mut sink)
            });
            let first = loop {
                if guest.is_finished() {
                    break None;
                }
                if let Ok(status) = first_answer(address) {
                    break Some(status);
                }
                thread::sleep(PAUSE);
            };
            let result = first.map(|first| {
                let (model, typing) = (loaded.name.to_owned(), typing.clone());
                work(&Server { address, first, model, typing })
            });
            if end != End::Drained {
                // Nobody listens once the guest has ended.
                let _ = typing.send("poweroff\n");
            }
            let ending = threads::join(guest)?;
            drop(typing);
            anyhow::Ok((result, ending))
        })?;
        let console = String::from_utf8_lossy(&console);
        let wrong = match (ending, end) {
            (Ending::Success, End::PowerOff | End::Drained) | (Ending::Failure, End::Crashed) => None,
            (Ending::Success, End::Crashed) => Some("its status says nothing of a crash".to_owned()),
            (other, _) => Some(other.reason().unwrap_or_else(|| "QEMU was closed".to_owned())),
        };
        if wrong.is_some() || result.is_none() {
            println!("--- console of {setup} ---\n{console}\n--- end of console ---");
        }
        let result = result.with_context(|| format!("{setup}: it ended before it served"))?;
        Ok(Boot { result, restarts: judgement::restarts(&console), wrong })
    }
}

/// The status of the first thing that a guest says.
fn first_answer(address: SocketAddr) -> Result<u16> {
    let answer = Client::connect_for(address, ANSWER)?.ask(get("/health", ""))?;
    ensure!(answer.header("x-request-id").is_some(), "somebody else answers");
    Ok(answer.status)
}

/// A guest's input: what is typed while it serves.
struct Input {
    lines: Receiver<&'static str>,
    rest: &'static [u8],
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty()
            && let Ok(line) = self.lines.recv()
        {
            self.rest = line.as_bytes();
        }
        let count = self.rest.len().min(buffer.len());
        let (now, later) = self.rest.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.rest = later;
        Ok(count)
    }
}
