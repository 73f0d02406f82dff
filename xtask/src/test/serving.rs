//! The API of booted guests: every item of the list of what clients expect, and a request over every kind of device.

pub mod abuse;
mod connection;
mod crash;
pub mod document;
mod errors;
mod guest;
mod keys;
mod list;
mod load;
mod model;
mod random;
pub mod same;
mod semantics;
mod server;
mod side;
mod stream;

use anyhow::{Context, Result};
use serde_json::json;
use std::time::{Duration, Instant};

use super::report::{TestReport, TestRun};
use super::scenario;
use crate::accel::{Accelerator, Host};
use crate::arch::Arch;
use crate::boot::Setup;
use crate::build::{self, Built};
use crate::cli::ApiListOptions;
use crate::machine::MachineKind;
use crate::model::Model;
use crate::network::Network;
use crate::setup::{self, Consent, Tool};
use crate::topology::Topology;
use crate::workspace::Workspace;
use abuse::Abuse;
use document::Results;
use guest::{End, Guest, Loaded};
use list::{ITEMS, Item, Shown};
use server::{COMPLETIONS, Server, story};

/// Name of the built-in model, as it is served.
const BUILT_IN: &str = "tinystory-1.3M-q8_0";
/// The request of every boot: that of the console's tests (`guests`), which has the same bits.
const TOKENS: usize = 32;

/// Abuse of every boot of the tests: `cargo xtask abuse` does more of it.
const SHORT: Abuse = Abuse { seed: 1, first: 0, requests: 200, ordinary: 64, connections: 130 };
/// Requests whose answers are compared there: `cargo xtask bits --served` has more.
const FEW: usize = 12;

/// What came of an architecture's boots.
pub struct Served {
    /// Row of the table.
    pub row: TestRun,
    /// Hashes of all logits of one answer, by machine.
    pub bits: Vec<(String, Option<String>)>,
    /// Digest of a few answers.
    pub answers: Option<String>,
    /// Result of each item.
    pub items: Vec<bool>,
}

/// Boots the guests of `arch`.
///
/// # Errors
/// When QEMU cannot be started, or a guest does not come to serve.
pub fn run(
    workspace: &Workspace,
    built: &Built,
    arch: Arch,
    accel: Accelerator,
    timeout: Duration,
) -> Result<Served> {
    let guest = Guest { workspace, built, accel, timeout };
    let mut judge = Judge::new(arch);
    let (model, _) = model::write(workspace, arch)?;
    let open = Loaded { model: &model, name: model::NAME, modules: &[], words: &[] };
    let key_file = scenario::file(workspace, arch, "keys", keys::KEYS)?;
    let (modules, words) = ([key_file], ["api-key=keys".to_owned()]);
    let keyed = Loaded { model: &Model::Embedded, name: BUILT_IN, modules: &modules, words: &words };
    let plain = Loaded { model: &Model::Embedded, name: BUILT_IN, modules: &[], words: &[] };
    for Place { setup, part } in places(arch) {
        let (loaded, end) = match part {
            Part::Open | Part::Abuse => (&open, End::PowerOff),
            Part::Keys => (&keyed, End::Drained),
            Part::Request => (&plain, End::PowerOff),
            Part::Crash => (&plain, End::Crashed),
        };
        let name = setup.to_string();
        let boot = guest.serve(setup, loaded, end, |server| match part {
            Part::Open => {
                judge.request(&name, server);
                judge.items(server, |item| matches!(item.shown, Shown::Open(_) | Shown::Refused(_)));
            }
            Part::Keys => judge.items(server, |item| matches!(item.shown, Shown::Keys(_))),
            Part::Request => judge.request(&name, server),
            Part::Abuse => judge.abuse(&name, server),
            Part::Crash => judge.crash(&name, server),
        })?;
        let expected = if matches!(part, Part::Crash) { crash::CRASHES.len() } else { 0 };
        let restarts =
            (boot.restarts != expected).then(|| format!("{} restarts of the engine", boot.restarts));
        judge.note(&name, boot.wrong.or(restarts).map_or(Ok(()), Err));
    }
    Ok(judge.finish())
}

/// What is done with a guest.
#[derive(Clone, Copy)]
enum Part {
    /// All items that need no keys.
    Open,
    /// Those that do.
    Keys,
    /// One request.
    Request,
    /// Damaged requests and the same ones alone and among others.
    Abuse,
    /// Crashes of the engine.
    Crash,
}

/// A machine, and what is done with it.
struct Place {
    setup: Setup,
    part: Part,
}

/// Every kind of device and bus once, with different numbers of cores.
fn places(arch: Arch) -> Vec<Place> {
    let place = |kind, cores: u32, pci, part| {
        let network = Some(Network { forward: None, pci });
        Place { setup: Setup { network, ..Setup::new(kind, cores.into()) }, part }
    };
    match arch {
        Arch::X86_64 => vec![
            place(MachineKind::Microvm, 2, false, Part::Open),
            place(MachineKind::Q35, 2, false, Part::Keys),
            place(MachineKind::Pc, 1, false, Part::Request),
            place(MachineKind::Microvm, 3, true, Part::Request),
            place(MachineKind::Microvm, 2, false, Part::Abuse),
            place(MachineKind::Microvm, 2, false, Part::Crash),
        ],
        Arch::Aarch64 => vec![
            place(MachineKind::Virt, 2, false, Part::Open),
            place(MachineKind::Virt, 2, true, Part::Keys),
            place(MachineKind::Virt, 1, true, Part::Request),
            place(MachineKind::Virt, 2, false, Part::Abuse),
            place(MachineKind::Virt, 2, false, Part::Crash),
        ],
    }
}

/// The machine of one architecture that serves with the fewest devices.
pub fn machine(arch: Arch, smp: Topology) -> Setup {
    let kind = match arch {
        Arch::X86_64 => MachineKind::Microvm,
        Arch::Aarch64 => MachineKind::Virt,
    };
    Setup { network: Some(Network::default()), ..Setup::new(kind, smp) }
}

/// Counts results.
struct Judge {
    row: TestRun,
    begun: Instant,
    bits: Vec<(String, Option<String>)>,
    answers: Option<String>,
    items: Vec<bool>,
}

impl Judge {
    fn new(arch: Arch) -> Self {
        let name = format!("{arch} serving");
        let row = TestRun { name, passed: 0, failed: 0, time: Duration::ZERO, notes: Vec::new() };
        // What is shown on the host is tested there.
        let items = ITEMS.iter().map(|item| matches!(item.shown, Shown::Host)).collect();
        Self { row, begun: Instant::now(), bits: Vec::new(), answers: None, items }
    }

    fn note(&mut self, name: &str, result: Result<(), String>) {
        match result {
            Ok(()) => self.row.passed += 1,
            Err(wrong) => {
                self.row.failed += 1;
                self.row.notes.push(format!("{name}: {wrong}"));
            }
        }
    }

    /// Checks those items that are `wanted`.
    fn items(&mut self, server: &Server, wanted: impl Fn(&Item) -> bool) {
        for item in ITEMS.iter().filter(|item| wanted(item)) {
            let (Shown::Open(check) | Shown::Keys(check) | Shown::Refused(check)) = item.shown else {
                continue;
            };
            let begun = Instant::now();
            let result = check(server).map_err(|error| format!("{error:#}"));
            let (name, seconds) = (&self.row.name, begun.elapsed().as_secs_f64());
            let outcome = result.as_ref().map_or_else(|wrong| wrong.as_str(), |()| "ok");
            println!("{name}, item {}: {outcome} ({seconds:.1} s)", item.number);
            let shown = |other: &Item| matches!(other.shown, Shown::With(number) if number == item.number);
            for other in ITEMS.iter().filter(|other| other.number == item.number || shown(other)) {
                self.items[usize::from(other.number) - 1] = result.is_ok();
                self.note(&format!("{} {}", other.number, other.what), result.clone());
            }
        }
    }

    /// Asks for the answer whose bits are compared.
    fn request(&mut self, name: &str, server: &Server) {
        let answer = server.choice(COMPLETIONS, &story(TOKENS, json!({ "logits_hash": true })));
        let hash = answer.and_then(|choice| {
            choice["logits_hash"].as_str().map(str::to_owned).with_context(|| format!("no hash: {choice}"))
        });
        self.bits.push((format!("{name}, served"), hash.as_ref().ok().cloned()));
        self.note(name, hash.map(drop).map_err(|error| format!("{error:#}")));
    }

    /// Abuses it for a while, with what must have the same bits on all machines behind it.
    fn abuse(&mut self, name: &str, server: &Server) {
        let held = SHORT.run(server).map(|held| println!("{held}"));
        self.note(&format!("{name}, abuse"), held.map_err(|error| format!("{error:#}")));
        let few = same::few(server, FEW);
        self.answers = few.as_ref().ok().cloned();
        self.note(
            &format!("{name}, alone and among others"),
            few.map(drop).map_err(|error| format!("{error:#}")),
        );
    }

    /// Crashes its engine.
    fn crash(&mut self, name: &str, server: &Server) {
        let times =
            crash::crash(server).map(|times| times.iter().for_each(|back| println!("{name}: {back}")));
        self.note(&format!("{name}, crashes"), times.map_err(|error| format!("{error:#}")));
    }

    fn finish(mut self) -> Served {
        self.row.time = self.begun.elapsed();
        println!("{}: {} passed, {} failed", self.row.name, self.row.passed, self.row.failed);
        Served { row: self.row, bits: self.bits, answers: self.answers, items: self.items }
    }
}

/// Runs all items on all architectures, and writes their results to `docs/api.md`.
///
/// # Errors
/// When they cannot be run, or the file not written; failed items are the returned status.
pub fn api_list(workspace: &Workspace, consent: Consent, options: &ApiListOptions) -> Result<u8> {
    let mut report = TestReport::default();
    let mut results: Vec<Results> = Vec::new();
    for arch in options.arch.map_or(Arch::ALL.to_vec(), |arch| vec![arch]) {
        setup::require(Tool::Qemu(arch), consent)?;
        let accel = Host::detect().choose(options.accel, arch)?;
        let served = run(workspace, &build::build(workspace, arch)?, arch, accel, options.timeout)?;
        report.add(served.row);
        results.push((arch, served.items));
    }
    if options.arch.is_none() {
        document::write(workspace, &results)?;
    }
    print!("{report}");
    Ok(if report.passed() { 0 } else { super::FAILED })
}
