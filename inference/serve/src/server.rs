//! The server: all connections, and what its owner says and asks.

use alloc::collections::BTreeMap;

use embodios_api::Served;
use embodios_http::Connection as Http;
use embodios_net::{Connection, Network};

use crate::errors;
use crate::figures::Figures;
use crate::jobs::{Jobs, Order};
use crate::metrics::{Metrics, seconds};
use crate::peer::{End, Peer, Work};
use crate::recent::Recent;
use crate::reply::Numbers;
use crate::settings::{Clock, Settings};
use crate::shared::Shared;

/// A server of one model, whose life is `'m`. Until [`Self::set_ready`] it has none.
pub struct Server<'m> {
    pub(crate) peers: BTreeMap<Connection, Peer>,
    pub(crate) shared: Shared<'m>,
}

impl<'m> Server<'m> {
    /// A server without connections.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let shared = Shared {
            numbers: Numbers::new(settings.seed),
            settings,
            served: None,
            is_draining: false,
            jobs: Jobs::default(),
            metrics: Metrics::new(),
            recent: Recent::new(),
            figures: Figures::default(),
            clock: Clock::default(),
            connections: 0,
            reserved: 0,
            is_due: false,
        };
        Self { peers: BTreeMap::new(), shared }
    }

    /// Says which model there is now. Calls of the one before are ended.
    pub fn set_ready(&mut self, served: Option<Served<'m>>) {
        let Self { peers, shared } = self;
        peers.values_mut().for_each(|peer| shared.fail(peer, &errors::loading()));
        shared.served = served;
        shared.is_due = true;
    }

    /// Takes connections and requests, answers, and sends. To be called after each event of the network, after what the
    /// batch has reported, and when [`Self::deadline`] passes.
    pub fn poll(&mut self, network: &mut dyn Network, clock: Clock) {
        network.poll(clock.now);
        self.shared.clock = clock;
        if let Some(served) = &mut self.shared.served {
            served.responder.now = clock.unix;
        }
        self.shared.is_due = false;
        self.end_silent(network);
        self.accept(network);
        self.shared.connections = self.peers.len();
        self.shared.reserved = self.peers.values().map(|peer| peer.http.reserved()).sum();
        let mut ended = alloc::vec::Vec::new();
        for (&number, peer) in &mut self.peers {
            if let Some(end) = self.shared.turn(network, number, peer) {
                ended.push((number, end));
            }
        }
        for (number, end) in ended {
            self.end(network, number, end);
        }
        if self.is_draining() && self.is_idle() {
            while let Some(&number) = self.peers.keys().next() {
                self.end(network, number, End::Close);
            }
        }
        network.poll(clock.now);
    }

    /// Takes new connections, and gives idle ones up for them.
    fn accept(&mut self, network: &mut dyn Network) {
        loop {
            let mut oldest = None;
            if self.is_full() {
                let idle = self.peers.iter().filter_map(|(&number, peer)| Some((peer.may_go_at()?, number)));
                let Some((_, number)) = idle.min().filter(|&(time, _)| time <= self.shared.clock.now) else {
                    return;
                };
                oldest = Some(number);
            }
            let Some(number) = network.accept() else { return };
            if let Some(oldest) = oldest {
                self.end(network, oldest, End::Close);
            }
            let http = Http::new(self.shared.settings.http, self.shared.clock.now);
            self.peers.insert(number, Peer::new(http));
            self.shared.metrics.connections += 1;
        }
    }

    /// Ends connections without a request, where others may wait for their places.
    fn end_silent(&mut self, network: &mut dyn Network) {
        while let Some((time, number)) = self.silent().min()
            && time <= self.shared.clock.now
        {
            self.end(network, number, End::Close);
        }
    }

    /// Connections without a request, and the times at which they end, while there is no room for others.
    fn silent(&self) -> impl Iterator<Item = (u64, Connection)> {
        let is_full = self.is_full();
        let silent = self.peers.iter().filter(move |(_, peer)| is_full && !peer.has_asked);
        silent.filter_map(|(&number, peer)| Some((peer.may_go_at()?, number)))
    }

    fn is_full(&self) -> bool {
        self.peers.len() >= self.shared.settings.connections
    }

    fn end(&mut self, network: &mut dyn Network, number: Connection, end: End) {
        match end {
            End::Close => network.close(number),
            End::Abort => network.abort(number),
        }
        if let Some(Peer { work: Work::Call(running), .. }) = self.peers.remove(&number) {
            self.shared.cancel(&running);
        }
        self.shared.connections = self.peers.len();
    }

    /// The time of the next [`Self::poll`] that is needed without an event: 0 for at once, `u64::MAX` for none.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        let deadlines = self.peers.values().map(|peer| peer.deadline(self.shared.settings.ping));
        let silent = self.silent().map(|(time, _)| time);
        if self.shared.is_due { 0 } else { deadlines.chain(silent).min().unwrap_or(u64::MAX) }
    }

    /// What the batch's owner is to do next.
    pub fn next_order(&mut self) -> Option<Order> {
        self.shared.jobs.take_order()
    }

    /// Whether there is something that the batch's owner is to do.
    #[must_use]
    pub fn has_orders(&self) -> bool {
        self.shared.jobs.has_orders()
    }

    /// Takes note of the number of requests that are active in the batch.
    pub const fn active(&mut self, requests: usize) {
        self.shared.jobs.set_active(requests);
    }

    /// Takes note of a step of the batch, or a burst of them, with so many requests.
    pub fn stepped(&mut self, nanoseconds: u64, requests: usize) {
        self.shared.recent.add(nanoseconds);
        self.shared.metrics.steps.add(seconds(nanoseconds));
        self.shared.metrics.rows.add(requests as f64);
    }

    /// Whether an answer waits for [`Self::figures`], which are asked for only then.
    #[must_use]
    pub fn wants_figures(&self) -> bool {
        self.peers.values().any(|peer| peer.wants_figures(self.shared.clock.now))
    }

    /// Takes figures as of now.
    pub fn figures(&mut self, figures: Figures) {
        let Self { peers, shared } = self;
        shared.figures = figures;
        peers.values_mut().for_each(|peer| shared.give_figures(peer));
        shared.is_due = true;
    }

    /// Takes no more work: health says so, and what runs goes on to its end.
    pub const fn drain(&mut self) {
        self.shared.is_draining = true;
        self.shared.is_due = true;
    }

    /// Whether it drains.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.shared.is_draining
    }

    /// Whether it has drained: nothing is under way, and the peers have acknowledged all that they were sent.
    #[must_use]
    pub fn is_drained(&self, network: &dyn Network) -> bool {
        self.is_draining() && self.peers.is_empty() && network.is_delivered()
    }

    /// Whether no request is under way, and no answer waits to leave.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let has_none = |peer: &Peer| matches!(peer.work, Work::None) && peer.http.output().is_empty();
        self.shared.jobs.is_empty() && self.peers.values().all(has_none)
    }
}
