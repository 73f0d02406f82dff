//! Connections: which sockets there are, whose they are, and when they go.
//!
//! A socket listens only while the protocols take the one request that it is for. So there is no backlog to be sized,
//! memory follows the connections that there are, and a repeated request never reaches a second socket.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::Socket;
use smoltcp::socket::tcp::{self, State};
use smoltcp::time::Duration;

use crate::filter::Ends;

const SECOND: u64 = 1_000_000_000;
/// Time for a peer to answer our answer to its request: three of them are sent, after 0, 1 and 3 seconds.
const HANDSHAKE: u64 = 10 * SECOND;
/// Time after which an unfinished handshake may go for a new one.
const PATIENCE: u64 = 2 * SECOND;
/// Time for a closed connection to deliver what was taken, and to hear that the peer has closed too.
const LINGER: u64 = 60 * SECOND;
/// Time for a reset to leave, where the neighbour's address has to be found first.
const RESET: u64 = 2 * SECOND;

/// Time without a word from the peer after which it is asked for one, and after which it is taken for gone. Answers
/// that take long to begin, and idle connections that clients keep, live on; a peer whose network is gone is noticed
/// while its answer is still being made.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_secs(60);

/// Time for which an acknowledgement waits for bytes to leave with. Sending costs a system call, and most answers
/// begin within it; more than one segment is acknowledged at once in any case.
const ACKNOWLEDGE: Duration = Duration::from_millis(10);

/// Place of a connection in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The peer has asked.
    Handshake,
    /// Connected, and not yet the caller's.
    Waiting,
    /// The caller's.
    Open,
    /// Closed by the caller: what was taken is delivered.
    Closing,
    /// A reset is to leave.
    Resetting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    handle: SocketHandle,
    phase: Phase,
    /// When its phase began.
    since: u64,
}

/// Sizes of the table and its sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) port: u16,
    pub(crate) connections: usize,
    pub(crate) receive_bytes: usize,
    pub(crate) send_bytes: usize,
}

/// All sockets, and the connections among them by number.
pub(crate) struct Table {
    pub(crate) sockets: SocketSet<'static>,
    slots: Vec<Option<Slot>>,
    waiting: VecDeque<usize>,
    /// The socket that listens, while a request is being taken.
    listener: Option<SocketHandle>,
    /// One that no request has used.
    spare: Option<tcp::Socket<'static>>,
    sizes: Sizes,
}

impl Table {
    pub(crate) fn new(sizes: Sizes) -> Self {
        let sockets = SocketSet::new(Vec::with_capacity(sizes.connections + 2));
        let slots = alloc::vec![None; sizes.connections];
        Self { sockets, slots, waiting: VecDeque::new(), listener: None, spare: None, sizes }
    }

    /// Makes ready for a request, after which [`Self::settle`] is due. False: there is no room for its connection.
    pub(crate) fn admit(&mut self, request: &Ends, now: u64) -> bool {
        if request.to.port != self.sizes.port {
            return true;
        }
        self.sweep(now);
        if let Some((index, state)) = self.find(request) {
            if state != State::TimeWait {
                return true;
            }
            self.free(index);
        }
        if !self.slots.contains(&None) && !self.make_way(now) {
            return false;
        }
        let Some(mut socket) = self.spare.take().or_else(|| socket(&self.sizes)) else { return false };
        if socket.listen(self.sizes.port).is_err() {
            return false;
        }
        self.listener = Some(self.sockets.add(socket));
        true
    }

    /// Keeps the socket that a request has found, as its connection or for the next request.
    pub(crate) fn settle(&mut self, now: u64) {
        let Some(handle) = self.listener.take() else { return };
        if self.socket(handle).state() == State::Listen {
            if let Socket::Tcp(socket) = self.sockets.remove(handle) {
                self.spare = Some(socket);
            }
        } else if let Some(slot) = self.slots.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(Slot { handle, phase: Phase::Handshake, since: now });
        }
    }

    /// The connection that a request's addresses already have.
    fn find(&self, request: &Ends) -> Option<(usize, State)> {
        let ends = (Some(request.to), Some(request.from));
        self.slots.iter().enumerate().find_map(|(index, slot)| {
            let socket = self.sockets.get::<tcp::Socket>((*slot)?.handle);
            let same = (socket.local_endpoint(), socket.remote_endpoint()) == ends;
            (same && socket.state() != State::Closed).then(|| (index, socket.state()))
        })
    }

    /// Frees a slot for a new connection: of those that have delivered all, then of unfinished handshakes, the oldest.
    fn make_way(&mut self, now: u64) -> bool {
        let rank = |slot: &Slot| match (slot.phase, self.sockets.get::<tcp::Socket>(slot.handle).state()) {
            (Phase::Closing, State::TimeWait) => Some(0),
            (Phase::Closing, State::FinWait2) => Some(1),
            (Phase::Handshake, _) if now.saturating_sub(slot.since) >= PATIENCE => Some(2),
            _ => None,
        };
        let ranked = self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let slot = slot.as_ref()?;
            Some((rank(slot)?, slot.since, index))
        });
        let Some((_, _, index)) = ranked.min() else { return false };
        self.free(index);
        true
    }

    /// Brings each connection on in its life, as far as time and the protocols have.
    pub(crate) fn sweep(&mut self, now: u64) {
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots[index] else { continue };
            let socket = self.socket(slot.handle);
            let state = socket.state();
            // A reset that is still to leave keeps its addresses.
            let gone = state == State::Closed && socket.remote_endpoint().is_none();
            match slot.phase {
                Phase::Handshake if state == State::SynReceived => {
                    if now >= slot.since.saturating_add(HANDSHAKE) {
                        self.free(index);
                    }
                }
                // A peer that resets its request leaves the socket listening.
                Phase::Handshake if matches!(state, State::Listen | State::Closed) => self.free(index),
                Phase::Handshake => {
                    self.waiting.push_back(index);
                    self.turn(index, Phase::Waiting, now);
                }
                Phase::Waiting if state == State::Closed => {
                    self.waiting.retain(|waiting| *waiting != index);
                    self.turn(index, Phase::Resetting, now);
                }
                Phase::Waiting | Phase::Open => {}
                Phase::Closing | Phase::Resetting if gone => self.free(index),
                Phase::Closing if now >= slot.since.saturating_add(LINGER) => {
                    socket.abort();
                    self.turn(index, Phase::Resetting, now);
                }
                // What still comes is nobody's, but the peer's end comes after it.
                Phase::Closing => {
                    while socket.recv(|bytes| (bytes.len(), bytes.len())).is_ok_and(|taken| taken > 0) {}
                }
                Phase::Resetting if now >= slot.since.saturating_add(RESET) => self.free(index),
                Phase::Resetting => {}
            }
        }
    }

    /// Time of the next [`Self::sweep`] that no event makes due.
    pub(crate) fn deadline(&self) -> u64 {
        let due = self.slots.iter().flatten().map(|slot| match slot.phase {
            Phase::Handshake => slot.since.saturating_add(HANDSHAKE),
            Phase::Closing => slot.since.saturating_add(LINGER),
            Phase::Resetting => slot.since.saturating_add(RESET),
            Phase::Waiting | Phase::Open => u64::MAX,
        });
        due.min().unwrap_or(u64::MAX)
    }

    /// The next connection that waits for its caller.
    pub(crate) fn accept(&mut self, now: u64) -> Option<usize> {
        let index = self.waiting.pop_front()?;
        self.turn(index, Phase::Open, now);
        Some(index)
    }

    /// Socket of a connection that is the caller's.
    pub(crate) fn open(&mut self, index: usize) -> Option<&mut tcp::Socket<'static>> {
        let slot = (*self.slots.get(index)?)?;
        (slot.phase == Phase::Open).then(|| self.socket(slot.handle))
    }

    /// Bytes that a connection of the caller's has still to deliver.
    pub(crate) fn unsent(&self, index: usize) -> usize {
        let slot = self.slots.get(index).and_then(Option::as_ref).filter(|slot| slot.phase == Phase::Open);
        slot.map_or(0, |slot| self.sockets.get::<tcp::Socket>(slot.handle).send_queue())
    }

    /// Whether all bytes and ends of streams are acknowledged.
    pub(crate) fn is_delivered(&self) -> bool {
        self.slots.iter().flatten().all(|slot| {
            let socket = self.sockets.get::<tcp::Socket>(slot.handle);
            let is_ending = matches!(socket.state(), State::FinWait1 | State::Closing | State::LastAck);
            !is_ending && socket.send_queue() == 0
        })
    }

    /// Ends a connection of the caller's, by a reset or after what was taken is delivered. False: it is not the
    /// caller's.
    pub(crate) fn end(&mut self, index: usize, reset: bool, now: u64) -> bool {
        let Some(socket) = self.open(index) else { return false };
        if reset {
            socket.abort();
        } else {
            socket.close();
        }
        self.turn(index, if reset { Phase::Resetting } else { Phase::Closing }, now);
        true
    }

    /// Resets the connection that a frame of ours belongs to.
    pub(crate) fn cut(&mut self, frame: &Ends, now: u64) {
        let Some((index, _)) = self.find(&Ends { from: frame.to, to: frame.from }) else { return };
        let Some(slot) = self.slots[index] else { return };
        self.socket(slot.handle).abort();
        if slot.phase == Phase::Closing {
            self.turn(index, Phase::Resetting, now);
        }
    }

    fn turn(&mut self, index: usize, phase: Phase, now: u64) {
        if let Some(slot) = &mut self.slots[index] {
            (slot.phase, slot.since) = (phase, now);
        }
    }

    fn free(&mut self, index: usize) {
        if let Some(slot) = self.slots[index].take() {
            self.sockets.remove(slot.handle);
        }
    }

    fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }
}

/// A new socket. Sockets are not used twice: a used one keeps what its last connection knew of the way. None: there is
/// no memory.
fn socket(sizes: &Sizes) -> Option<tcp::Socket<'static>> {
    let (receive, send) = (buffer(sizes.receive_bytes)?, buffer(sizes.send_bytes)?);
    let mut socket = tcp::Socket::new(receive, send);
    socket.set_congestion_control(tcp::CongestionControl::Reno);
    // An event of an answer leaves when it is made.
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(Some(ACKNOWLEDGE));
    socket.set_keep_alive(Some(KEEP_ALIVE));
    socket.set_timeout(Some(SILENCE));
    Some(socket)
}

fn buffer(bytes: usize) -> Option<tcp::SocketBuffer<'static>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).ok()?;
    buffer.resize(bytes, 0);
    Some(tcp::SocketBuffer::new(buffer))
}
