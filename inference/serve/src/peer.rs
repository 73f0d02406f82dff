//! One connection's turn: what arrived is read and answered, what waits is sent.

use alloc::boxed::Box;

use embodios_http::{Connection, Fate, Next, SECOND};
use embodios_net::{Connection as Number, Network, Received};

use crate::calls::Running;
use crate::errors;
use crate::live::PERIOD;
use crate::reply::Reply;
use crate::routes::Route;
use crate::shared::Shared;

/// Bytes read at a time.
const PIECE: usize = 4 << 10;
/// Pieces and requests of a connection in one turn, so that none keeps the others waiting.
const PIECES: usize = 16;
const REQUESTS: usize = 16;

/// Nanoseconds that a connection has for its first request while there is no room for others.
const GRACE: u64 = 2 * SECOND;

/// What a connection's request waits for.
pub enum Work {
    /// Nothing: there is none, or it is still read.
    None,
    /// Tokens.
    Call(Box<Running>),
    /// Figures, for the answer of `/metrics`.
    Metrics(Reply),
    /// Figures, for the page's next event.
    Watching {
        /// When it is due.
        next: u64,
    },
}

/// One connection.
pub struct Peer {
    pub http: Connection,
    pub work: Work,
    /// The request whose body is read.
    pub asking: Option<(Route, Reply)>,
    /// Whether it reads its stream too slowly.
    pub is_slow: bool,
    /// Whether a request of it was read.
    pub has_asked: bool,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// After what was sent.
    Close,
    /// At once.
    Abort,
}

impl Peer {
    pub const fn new(http: Connection) -> Self {
        Self { http, work: Work::None, asking: None, is_slow: false, has_asked: false }
    }

    /// The time from which on it may go for another connection, where nothing of it is under way. Who has asked nothing
    /// yet is about to: its request may have arrived, and was only not looked at.
    pub fn may_go_at(&self) -> Option<u64> {
        let grace = if self.has_asked { 0 } else { GRACE };
        self.http.is_idle().then(|| self.http.since().saturating_add(grace))
    }

    /// Takes its call, if it has one.
    pub fn take_call(&mut self) -> Option<Box<Running>> {
        match core::mem::replace(&mut self.work, Work::None) {
            Work::Call(running) => Some(running),
            other => {
                self.work = other;
                None
            }
        }
    }

    /// Puts an event into its stream.
    pub fn event(&mut self, event: &str, now: u64) {
        self.is_slow |= self.http.event(event.as_bytes(), now).is_err();
    }

    /// Whether it waits for figures at `now`.
    pub const fn wants_figures(&self, now: u64) -> bool {
        match self.work {
            Work::Metrics(_) => true,
            Work::Watching { next } => next <= now,
            Work::None | Work::Call(_) => false,
        }
    }

    /// The time of its next turn that is needed without an event.
    pub fn deadline(&self, ping: u64) -> u64 {
        let work = match &self.work {
            Work::None => u64::MAX,
            Work::Call(running) => running.ping_at(ping),
            Work::Metrics(_) => 0,
            Work::Watching { next } => *next,
        };
        if self.is_slow { 0 } else { work.min(self.http.deadline()) }
    }
}

impl Shared<'_> {
    /// Takes a connection's turn. Result: how it ends, if it does.
    pub fn turn(&mut self, network: &mut dyn Network, number: Number, peer: &mut Peer) -> Option<End> {
        if peer.is_slow {
            return Some(End::Abort);
        }
        let mut pieces = 0;
        loop {
            let room = peer.http.room();
            let received = self.read(network, number, peer);
            if received == Received::Gone {
                return Some(End::Abort);
            }
            self.requests(number, peer);
            let has_more = matches!(received, Received::Bytes(_)) || room == 0 && peer.http.room() > 0;
            if !has_more {
                break;
            }
            pieces += 1;
            if pieces == PIECES {
                self.is_due = true;
                break;
            }
        }
        peer.http.expire(self.clock.now);
        self.requests(number, peer);
        // Hardly anyone who sends no more still reads, and work for nobody keeps others waiting.
        if peer.http.has_ended() && matches!(peer.work, Work::Call(_) | Work::Watching { .. }) {
            return Some(End::Abort);
        }
        self.keep_alive(peer);
        let output = peer.http.output();
        if !output.is_empty() {
            let count = network.send(number, output);
            peer.http.sent(count, self.clock.now);
        }
        match peer.http.fate() {
            Fate::Open => None,
            Fate::Close => Some(End::Close),
            Fate::Abort => Some(End::Abort),
        }
    }

    /// Reads a piece.
    fn read(&self, network: &mut dyn Network, number: Number, peer: &mut Peer) -> Received {
        let mut piece = [0; PIECE];
        let room = peer.http.room().min(PIECE);
        let received = network.receive(number, piece.get_mut(..room).unwrap_or_default());
        match received {
            Received::Bytes(count) => {
                peer.http.receive(piece.get(..count).unwrap_or_default(), self.clock.now);
            }
            Received::End => peer.http.end(),
            Received::Nothing | Received::Gone => {}
        }
        received
    }

    /// Takes what requests there are.
    fn requests(&mut self, number: Number, peer: &mut Peer) {
        for _ in 0..REQUESTS {
            let next = peer.http.next(self.clock.now);
            peer.has_asked |= next != Next::Nothing;
            match next {
                Next::Nothing => return,
                Next::Head(head) => self.head(peer, &head),
                Next::Body(body) => self.body(number, peer, &body),
                Next::Fault(fault) => {
                    let reply = match peer.asking.take() {
                        Some((_, reply)) => reply,
                        None => Reply::new(None, &self.settings, &mut self.numbers),
                    };
                    self.error(&mut peer.http, &reply, &errors::of_http(fault));
                }
            }
        }
        self.is_due = true;
    }

    /// Keeps a stream from being taken for dead, and ends what a server that drains does not go on with.
    fn keep_alive(&self, peer: &mut Peer) {
        let now = self.clock.now;
        match &mut peer.work {
            Work::Call(running) if now >= running.ping_at(self.settings.ping) => {
                running.last = now;
                peer.event(": ping\n\n", now);
            }
            Work::Watching { .. } if self.is_draining => {
                peer.http.finish();
                peer.http.end_stream(now);
                peer.work = Work::None;
            }
            _ => {}
        }
    }

    /// Gives a connection the figures that it waits for.
    pub fn give_figures(&mut self, peer: &mut Peer) {
        let now = self.clock.now;
        if !peer.wants_figures(now) {
            return;
        }
        match core::mem::replace(&mut peer.work, Work::None) {
            Work::Metrics(reply) => self.metrics(&mut peer.http, &reply),
            Work::Watching { .. } => {
                peer.event(&self.live(), now);
                peer.work = Work::Watching { next: now.saturating_add(PERIOD) };
            }
            other => peer.work = other,
        }
    }
}
