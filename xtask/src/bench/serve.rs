//! `cargo xtask bench serve`: the speed of serving over HTTP, by turns in one run with the same work at the console of
//! a guest without a network and, where there is one, with llama.cpp's server on this host.
//!
//! The host's cores are the guest's, QEMU's and the clients' at once, as they are llama-server's and its clients'.

mod console;
mod figures;
mod idle;
mod llama_server;
mod load;
mod plot;
mod report;
mod served;
mod start;
mod table;

use anyhow::{Context, Result, ensure};
use embodios_gguf::Gguf;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::median;
use crate::accel::AccelChoice;
use crate::acceptance::provenance;
use crate::cli::{ServeBenchOptions, ServedGuestOptions};
use crate::client::Client;
use crate::model::Model;
use crate::serve::check_free;
use crate::serve::plan::Plan;
use crate::setup::Consent;
use crate::target::GuestTarget;
use crate::workspace::Workspace;
use console::ConsoleFigures;
use figures::{LoadFigures, milliseconds};
use llama_server::LlamaServer;
use load::Prompts;
use report::{BatchBeside, FirstToken, LoadRow, ServeReport};
use start::StartTimes;

/// Time between two loads, in which every server's threads go to sleep.
const REST: Duration = Duration::from_millis(200);
/// Positions of a slot of llama-server beyond prompt and answer.
const SPARE: u32 = 32;

/// Figures of a load on the guest, and on llama-server.
type Loads = (LoadFigures, Option<LoadFigures>);

/// Figures of one round.
struct Round {
    /// Loads in the order of the numbers of clients.
    loads: Vec<Loads>,
    /// Milliseconds to the first token of a short prompt on an idle machine, of both.
    first_ms: (f64, Option<f64>),
    console: ConsoleFigures,
}

/// Measures, prints a table, and writes JSON and a plot.
///
/// # Errors
/// When a guest or llama-server cannot be started or fails, or a file cannot be written.
pub fn run(workspace: &Workspace, consent: Consent, options: &ServeBenchOptions) -> Result<u8> {
    let report = measure(workspace, consent, options)?;
    print!("{}", table::table(&report));
    let json = serde_json::to_vec_pretty(&report).context("the report cannot be written as JSON")?;
    super::keep(workspace, options.json.as_deref(), "serving.json", &json)?;
    super::keep(workspace, options.svg.as_deref(), "serving.svg", plot::svg(&report)?.as_bytes())?;
    Ok(0)
}

fn measure(workspace: &Workspace, consent: Consent, options: &ServeBenchOptions) -> Result<ServeReport> {
    let (machine, date) = (provenance::machine(), provenance::today());
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (own, other) = (at(options.port), at(options.port + 1));
    [own, other].into_iter().try_for_each(check_free)?;
    let model = Model::resolve(workspace, consent, &options.model)?;
    let file = model.clone().on_host(workspace)?;
    let served_options = guest_options(options, &options.model);
    let plan = Plan::new(workspace, consent, &served_options)?;
    let without = GuestTarget::new(workspace, consent, "bench serve", plan.machine(options.timeout), &model)?;
    let place = format!("{}, {}", without.setup(&options.smp), without.accel());
    let mut prompts = Prompts::new(vocabulary(&file)?, options.lengths.prompt as usize);
    let most = options.clients.iter().copied().max().unwrap_or(1);
    let (rounds, idle) = served::with(&plan, own, |served| {
        let start = |program| {
            let context = options.lengths.prompt + options.lengths.generate + SPARE;
            LlamaServer::start(program, &file, other, options.smp.cores(), most, context)
        };
        let llama_server = options.llama_server.as_deref().map(start).transpose()?;
        let servers = Servers { own, other: llama_server.as_ref().map(|server| server.address) };
        let mut rounds = Vec::new();
        // The first loads fetch memory.
        loads(options, &servers, &mut prompts)?;
        for number in 1..=options.rounds {
            let round = round(options, &servers, &without, &mut prompts)?;
            eprintln!("xtask: {number} of {}: {}", options.rounds, round.shown(options));
            rounds.push(round);
        }
        drop(llama_server);
        Ok((rounds, idle::measure(served, options.idle)?))
    })?;
    let story = guest_options(options, "tinystory");
    let boots = start::measure(&Plan::new(workspace, consent, &story)?, own, options.boots)?;
    let loads = options.clients.iter().enumerate().map(|(index, &clients)| {
        let engine: Vec<_> = rounds.iter().map(|round| round.loads[index].0).collect();
        let others: Vec<_> = rounds.iter().filter_map(|round| round.loads[index].1).collect();
        let llama_server = (!others.is_empty()).then(|| LoadFigures::medians(&others));
        LoadRow { clients, engine: LoadFigures::medians(&engine), llama_server }
    });
    Ok(ServeReport {
        model: options.model.clone(),
        place,
        machine,
        date,
        rounds: options.rounds,
        prompt: options.lengths.prompt,
        generated: options.lengths.generate,
        loads: loads.collect(),
        batch: beside(options, &rounds),
        first: first(&rounds),
        idle,
        boots: options.boots,
        start: StartTimes::medians(&boots),
    })
}

/// Options of a guest that serves `model`.
fn guest_options(options: &ServeBenchOptions, model: &str) -> ServedGuestOptions {
    ServedGuestOptions {
        model: model.to_owned(),
        arch: None,
        machine: None,
        smp: Some(options.smp.clone()),
        api_key: None,
        accel: AccelChoice::Auto,
        memory: None,
        append: Vec::new(),
        release: true,
        qemu_args: Vec::new(),
    }
}

/// Number of tokens that the model's tokenizer has.
fn vocabulary(file: &Path) -> Result<usize> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let gguf = Gguf::parse(&bytes).with_context(|| file.display().to_string())?;
    let tokens = gguf.entries().find(|(key, _)| *key == "tokenizer.ggml.tokens");
    let count = tokens.map_or(0, |(_, tokens)| tokens.elements().count());
    ensure!(count > 0, "{} has no tokens", file.display());
    Ok(count)
}

/// Addresses of both servers.
struct Servers {
    own: SocketAddr,
    other: Option<SocketAddr>,
}

/// Measures everything once, in turns.
fn round(
    options: &ServeBenchOptions,
    servers: &Servers,
    without: &GuestTarget<'_>,
    prompts: &mut Prompts,
) -> Result<Round> {
    let ServeBenchOptions { smp, lengths, firsts, .. } = options;
    let console = console::measure(without, smp, *lengths, *firsts)?;
    let loads = loads(options, servers, prompts)?;
    let first = |address| first_ms(address, *firsts);
    let other = |address| first(address).context("llama-server, idle");
    let own = first(servers.own).context("the guest, idle")?;
    Ok(Round { loads, first_ms: (own, servers.other.map(other).transpose()?), console })
}

/// Puts each load on both servers.
fn loads(options: &ServeBenchOptions, servers: &Servers, prompts: &mut Prompts) -> Result<Vec<Loads>> {
    let generate = options.lengths.generate;
    let load = |address, requests: &[String]| -> Result<LoadFigures> {
        thread::sleep(REST);
        Ok(LoadFigures::of(&load::run(address, requests, generate)?, generate))
    };
    let both = |&clients: &u32| {
        let requests = prompts.requests(clients as usize, generate);
        let own = load(servers.own, &requests).context("the guest")?;
        let other = |address| load(address, &requests).context("llama-server");
        Ok((own, servers.other.map(other).transpose()?))
    };
    options.clients.iter().map(both).collect()
}

/// The median time to the first token of short prompts, each on an idle machine.
fn first_ms(address: SocketAddr, firsts: u32) -> Result<f64> {
    let one = |number: u32| -> Result<f64> {
        // llama-server ends a connection after a stream.
        let mut client = Client::connect(address)?;
        thread::sleep(REST);
        let stream = load::stream(&mut client, &console::short_request(number), 2)?;
        Ok(milliseconds(stream.begun, stream.tokens[0]))
    };
    Ok(median((1..=firsts).map(one).collect::<Result<_>>()?))
}

/// The batch of 8 over HTTP and at the console, if there was one over HTTP.
fn beside(options: &ServeBenchOptions, rounds: &[Round]) -> Option<BatchBeside> {
    let index = options.clients.iter().position(|&clients| clients == console::SIZE)?;
    let figure = |select: &dyn Fn(&Round) -> f64| median(rounds.iter().map(select).collect());
    let http = |round: &Round| round.loads[index].0.tokens_per_second;
    Some(BatchBeside {
        http: figure(&http),
        console: figure(&|round| round.console.tokens_per_second),
        ratio: figure(&|round| http(round) / round.console.tokens_per_second),
    })
}

/// The first token over HTTP and at the console.
fn first(rounds: &[Round]) -> FirstToken {
    let figure = |select: &dyn Fn(&Round) -> f64| median(rounds.iter().map(select).collect());
    let others: Vec<f64> = rounds.iter().filter_map(|round| round.first_ms.1).collect();
    FirstToken {
        http_ms: figure(&|round| round.first_ms.0),
        console_ms: figure(&|round| round.console.first_ms),
        added_ms: figure(&|round| round.first_ms.0 - round.console.first_ms),
        llama_server_ms: (!others.is_empty()).then(|| median(others)),
    }
}

impl Round {
    /// Tokens a second of all loads, in words.
    fn shown(&self, options: &ServeBenchOptions) -> String {
        let load = |(clients, (own, other)): (&u32, &Loads)| {
            let other = other.map(|other| format!(" beside {:.0}", other.tokens_per_second));
            format!("{clients} clients {:.0}{} tokens/s", own.tokens_per_second, other.unwrap_or_default())
        };
        let loads: Vec<String> = options.clients.iter().zip(&self.loads).map(load).collect();
        let ConsoleFigures { tokens_per_second, first_ms } = self.console;
        format!(
            "{}; console {tokens_per_second:.0}; first token {:.1} ms, console {first_ms:.1} ms",
            loads.join(", "),
            self.first_ms.0
        )
    }
}
