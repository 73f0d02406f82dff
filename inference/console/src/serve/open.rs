//! The start of serving: the words of the command line, the network, the server, the second thread.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64};

use embodios_api::Served;
use embodios_engine::batch::{Batch, Settings};
use embodios_engine::cache::{self, CacheError};
use embodios_net::{Address, StackError};
use embodios_pool::platform::{Platform, PlatformError};
use embodios_pool::{Pool, start_thread};
use embodios_serve::{Clock, Feed, Numbers, Server};

use super::desk::Desk;
use super::{Service, Shared};
use crate::loaded::Loaded;
use crate::module::{ModuleError, named};
use crate::placement::housekeeping;
use crate::start::{OpenNetwork, Start, StartOptions};

/// The port of a machine that was told none.
const PORT: u16 = 8080;
/// The part of the network's connections that are not the server's: those that come, and those that are ending.
const SPARE: usize = 8;
/// Most requests that wait for a place in the batch.
const WAITING: usize = 256;

/// Reason that the machine does not serve.
#[derive(Clone, Debug)]
pub enum ServeError {
    /// A word of the command line, and what is wrong with it.
    Word(String, String),
    /// The module with keys.
    Keys(ModuleError),
    /// The module with keys has none, or one that no request can bring.
    NoKeys(String),
    /// The network.
    Network(StackError),
    /// No memory for the batch.
    Batch(CacheError),
    /// No thread.
    Thread(PlatformError),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word, reason) => write!(f, "{word}: {reason}"),
            Self::Keys(error) => error.fmt(f),
            Self::NoKeys(name) => {
                write!(f, "{name} has no keys: one a line, of printable characters without blanks")
            }
            Self::Network(error) => error.fmt(f),
            Self::Batch(error) => error.fmt(f),
            Self::Thread(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ServeError {}

impl Service {
    /// Opens the network and begins to serve `loaded`, on a machine whose time 0 is at `wall_clock`.
    ///
    /// # Errors
    /// [`ServeError`]; nothing is served then.
    pub fn open(
        platform: &'static dyn Platform,
        start: &Start<'_>,
        options: &StartOptions<'_>,
        wall_clock: Option<u64>,
        network: OpenNetwork,
        loaded: &'static Loaded,
        pool: &Pool,
    ) -> Result<Self, ServeError> {
        let now = platform.now_ns();
        let port = match options.port {
            None => PORT,
            Some(text) => text.parse().ok().filter(|&port| port > 0).ok_or_else(|| {
                ServeError::Word(format!("port={text}"), "a port is a number from 1 to 65535".into())
            })?,
        };
        let keys = options.keys.map_or(Ok(Vec::new()), |name| keys(start, name))?;
        let is_open = keys.is_empty();
        let seed = start.seed.unwrap_or_else(|| Numbers::new(wall_clock.unwrap_or(0) ^ now).next());
        let mut settings = embodios_net::Settings::new(port, seed);
        for text in &options.addresses {
            let address = Address::parse(text);
            let bad = |error| ServeError::Word(format!("ip={text}"), format!("{error}"));
            settings.addresses.push(address.map_err(bad)?);
        }
        // The server gives an idle connection up for a new one, which the network needs a place for until then.
        let connections = settings.connections - settings.connections.div_ceil(SPARE);
        let link = network(settings, now).map_err(ServeError::Network)?;
        let mut server = Server::new(embodios_serve::Settings {
            keys,
            connections,
            waiting: WAITING,
            seed: Numbers::new(seed).next(),
            ..embodios_serve::Settings::default()
        });
        let memory = platform.memory();
        // The console's own commands need some too.
        let budget = Settings::new(cache::budget(&memory) / 4 * 3);
        let Loaded { model, tokenizer, kernels, .. } = loaded;
        let mut batch = Batch::new(model, tokenizer, *kernels, budget).map_err(ServeError::Batch)?;
        batch.prepare(pool).map_err(|error| ServeError::Batch(CacheError::OutOfMemory(error)))?;
        server.set_ready(Some(Served {
            responder: loaded.requests(None),
            name: loaded.served_name(),
            fingerprint: loaded.fingerprint(),
            since: Clock::at(now, wall_clock).unix.unwrap_or(0),
            context: batch.context(),
        }));
        let event = link.event();
        let (urls, news) = (Vec::new(), None);
        let desk = spin::Mutex::new(Desk { server, link, wall_clock, port, is_open, urls, news });
        let (doorbell, busy_until) = (Arc::new(AtomicU32::new(0)), AtomicU64::new(0));
        let shared = Arc::new(Shared { platform, desk, doorbell, event, busy_until });
        let attendant = shared.clone();
        start_thread(platform, &housekeeping(platform.cores()), move || attendant.attend())
            .map_err(ServeError::Thread)?;
        Ok(Self { shared, batch, feed: Feed::default(), restarts: start.restarts })
    }
}

/// The keys in a module, one a line.
fn keys(start: &Start<'_>, name: &str) -> Result<Vec<Vec<u8>>, ServeError> {
    let module = named(start.modules, name).map_err(ServeError::Keys)?;
    let lines = module.bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let keys: Vec<Vec<u8>> = lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
    let is_well = |key: &Vec<u8>| key.iter().all(u8::is_ascii_graphic);
    if keys.is_empty() || !keys.iter().all(is_well) {
        return Err(ServeError::NoKeys(name.into()));
    }
    Ok(keys)
}
