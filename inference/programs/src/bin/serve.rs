//! The server on this host, on one port of the machine itself: `serve MODEL [--port N] [--threads N] [--api-key FILE]`.
//! The file has a key a line. `POST /admin/drain` ends it, once what runs is over.

use std::error::Error;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::Path;
use std::thread::{self, available_parallelism};
use std::time::{Duration, SystemTime};

use embodios_api::Served;
use embodios_engine::batch::{self, Batch};
use embodios_engine::cache;
use embodios_engine::json::Responder;
use embodios_engine::model::Model;
use embodios_gguf::Gguf;
use embodios_host::Host;
use embodios_host::network::TcpNetwork;
use embodios_kernels::Kernels;
use embodios_net::Network as _;
use embodios_pool::platform::{CoreSet, Platform as _};
use embodios_pool::{Pool, PoolSettings};
use embodios_serve::{Clock, Feed, Figures, Server, Settings};
use embodios_text::chat::{ChatError, ChatTemplate};
use embodios_text::tokenizer::Tokenizer;

const USAGE: &str = "usage: serve MODEL [--port N] [--threads N] [--api-key FILE]";

/// Longest sleep without an event.
const LONGEST: Duration = Duration::from_secs(60);
/// Sleep between two looks whether the model is loaded.
const LOADING: Duration = Duration::from_millis(20);

struct Options {
    model: String,
    port: u16,
    threads: usize,
    keys: Vec<Vec<u8>>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut model = None;
        let threads = available_parallelism()?.get();
        let mut options = Self { model: String::new(), port: 8080, threads, keys: Vec::new() };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} has no value; {USAGE}"));
            match argument.as_str() {
                "--port" => options.port = value()?.parse()?,
                "--threads" => options.threads = value()?.parse::<usize>()?.max(1),
                "--api-key" => options.keys = keys(&value()?)?,
                _ if model.is_none() && !argument.starts_with('-') => model = Some(argument),
                _ => return Err(format!("{argument}: unknown; {USAGE}").into()),
            }
        }
        Ok(Self { model: model.ok_or(USAGE)?, ..options })
    }
}

/// The keys in a file, a line each.
fn keys(path: &str) -> Result<Vec<Vec<u8>>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let keys: Vec<Vec<u8>> = lines.map(|line| line.as_bytes().to_vec()).collect();
    // Without one, everybody could ask.
    if keys.is_empty() { Err(format!("{path}: there is no key in it")) } else { Ok(keys) }
}

/// A model for the rest of the process.
struct Loaded {
    model: Model<'static>,
    tokenizer: Tokenizer<'static>,
    chat: Result<ChatTemplate, ChatError>,
    kernels: Kernels,
    name: String,
    /// Bytes of its file.
    bytes: usize,
}

fn load(path: &str) -> Result<&'static Loaded, String> {
    let bad = |error: &dyn Error| format!("{path}: {error}");
    let (file, kernels) = embodios_programs::load(path)?;
    let file: &'static [u8] = Box::leak(Box::new(file));
    let gguf = Gguf::parse(file).map_err(|error| bad(&error))?;
    let model = Model::load(&gguf, kernels.layout()).map_err(|error| bad(&error))?;
    let tokenizer = Tokenizer::new(&gguf).map_err(|error| bad(&error))?;
    let chat = ChatTemplate::new(&gguf, &tokenizer);
    let name = Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Box::leak(Box::new(Loaded { model, tokenizer, chat, kernels, name, bytes: file.len() })))
}

fn main() -> Result<(), Box<dyn Error>> {
    let Options { model, port, threads, keys } = Options::parse(std::env::args().skip(1))?;
    let mut network = TcpNetwork::listen(port)?;
    println!("listening at http://{}", network.address()?);
    let seed = RandomState::new().build_hasher().finish();
    let mut server = Server::new(Settings { keys, seed, ..Settings::default() });
    // It starts ahead of the workers, to whose processors this thread is confined then.
    let loading = thread::spawn(move || load(&model));
    let host = Host::leak(threads);
    while !loading.is_finished() {
        server.poll(&mut network, clock(host));
        if server.wants_figures() {
            server.figures(Figures::default());
        }
        network.wait(LOADING);
    }
    let loaded = loading.join().map_err(|_| "the model's loading has failed")??;
    serve(host, threads, loaded, &mut server, &mut network)
}

/// Serves a model until the server has drained.
fn serve(
    host: &'static Host,
    threads: usize,
    loaded: &'static Loaded,
    server: &mut Server<'static>,
    network: &mut TcpNetwork,
) -> Result<(), Box<dyn Error>> {
    let Loaded { model, tokenizer, chat, kernels, name, bytes } = loaded;
    let mut pool = Pool::start(host, &CoreSet::first(threads), PoolSettings::default())?;
    let settings = batch::Settings::new(cache::budget(&host.memory()));
    let mut batch = Batch::new(model, tokenizer, *kernels, settings)?;
    batch.prepare(&pool)?;
    let mut feed = Feed::default();
    server.set_ready(Some(Served {
        responder: Responder { model, tokenizer, chat, kernels: *kernels, now: None },
        name,
        fingerprint: format!("embodios-{}-{name}-{bytes}", env!("CARGO_PKG_VERSION")),
        since: clock(host).unix.unwrap_or(0),
        context: model.config.context,
    }));
    println!("{name} is ready: context {}, {kernels} kernels", model.config.context);
    while !server.is_drained(network) {
        server.poll(network, clock(host));
        feed.exchange(server, &mut batch, &mut pool, 0);
        if feed.step(&mut batch, &mut pool, &mut |_| {}) {
            feed.exchange(server, &mut batch, &mut pool, 0);
        } else {
            let until = server.deadline().min(network.deadline());
            let most = Duration::from_nanos(until.saturating_sub(host.now_ns()));
            network.wait(most.min(LONGEST));
        }
    }
    Ok(())
}

fn clock(host: &Host) -> Clock {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Clock { now: host.now_ns(), unix: unix.ok().map(|time| time.as_secs()) }
}
