//! The stack: frames in, byte streams out, and the other way round.

use smoltcp::iface::{Config, Interface, PollResult};
use smoltcp::socket::tcp::{RecvError, State};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;

use crate::address::Address;
use crate::addressing::Addressing;
use crate::device::Device;
use crate::endless::Watch;
use crate::filter::{self, Kind, Part};
use crate::frames::Frames;
use crate::network::{Connection, Network, Received};
use crate::settings::{Settings, StackError};
use crate::table::{Sizes, Table};

/// Frames that a poll takes at most, and sends at most: as many as a device holds.
const FRAMES: usize = 256;
/// Time between two polls where nothing but time was waited for, or room in the device.
const PAUSE: u64 = 1_000_000;

/// What has come and gone, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// Received frames that no peer in its right mind sends.
    pub refused: u64,
    /// Requests to connect for which there was no room: the peer asks again.
    pub turned_away: u64,
    /// Answers for which the device had no room.
    pub lost: u64,
    /// Connections reset because they acknowledged without end.
    pub cut: u64,
}

/// A TCP/IP stack on a device, with one port listened to.
pub struct Stack<F> {
    device: Device<F>,
    interface: Interface,
    table: Table,
    addressing: Addressing,
    watch: Watch,
    figures: Figures,
    now: u64,
    deadline: u64,
}

impl<F: Frames> Stack<F> {
    /// A stack that has asked for nothing yet: [`Network::poll`] is due.
    ///
    /// # Errors
    /// When a setting or the device does not serve.
    pub fn new(frames: F, settings: Settings, now: u64) -> Result<Self, StackError> {
        settings.check(&frames)?;
        let Settings { port, connections, receive_bytes, send_bytes, addresses, seed } = settings;
        let mac = EthernetAddress(frames.mac());
        let mut device = Device::new(frames);
        let mut config = Config::new(mac.into());
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut device, instant(now));
        let mut table = Table::new(Sizes { port, connections, receive_bytes, send_bytes });
        let addressing = Addressing::new(mac, addresses, &mut interface, &mut table.sockets);
        let (watch, figures) = (Watch::default(), Figures::default());
        Ok(Self { device, interface, table, addressing, watch, figures, now, deadline: now })
    }

    /// Addresses in use.
    pub fn addresses(&self) -> &[Address] {
        self.addressing.current()
    }

    /// Whether the addresses have changed since this was asked last.
    pub fn addresses_changed(&mut self) -> bool {
        self.addressing.changed()
    }

    /// What has come and gone.
    pub fn figures(&self) -> Figures {
        Figures { sent: self.device.outbox.sent, lost: self.device.outbox.lost, ..self.figures }
    }

    /// The device.
    pub fn frames(&mut self) -> &mut F {
        &mut self.device.outbox.frames
    }

    /// Takes received frames. Result: whether there may be more.
    fn take_frames(&mut self, now: u64) -> bool {
        for _ in 0..FRAMES {
            let Some(frame) = self.device.next() else { return false };
            self.figures.received += 1;
            match filter::look(frame) {
                Kind::Tcp(request, Part::Request) => {
                    if !self.table.admit(&request, now) {
                        self.figures.turned_away += 1;
                        continue;
                    }
                }
                Kind::Ordinary | Kind::Tcp(..) => {}
                Kind::Advertisement(from, message) => {
                    if let Some(routers) = &mut self.addressing.routers {
                        routers.advertise(from, message, now);
                    }
                    continue;
                }
                Kind::Refused => {
                    self.figures.refused += 1;
                    continue;
                }
            }
            self.interface.poll_ingress_single(instant(now), &mut self.device, &mut self.table.sockets);
            self.table.settle(now);
        }
        true
    }

    /// Sends what is to be sent. Result: whether there may be more.
    fn send_frames(&mut self, now: u64) -> bool {
        let outbox = &mut self.device.outbox;
        if let Some(question) = self.addressing.routers.as_mut().and_then(|routers| routers.question(now)) {
            outbox.send(question.len(), |frame| frame.copy_from_slice(&question));
        }
        let before = self.device.outbox.sent;
        let poll = |stack: &mut Self| {
            stack.interface.poll_egress(instant(now), &mut stack.device, &mut stack.table.sockets)
        };
        while poll(self) != PollResult::None {
            let outbox = &self.device.outbox;
            if let Some(endless) = self.watch.note(outbox.last()) {
                self.table.cut(&endless, now);
                self.figures.cut += 1;
            }
            if outbox.sent - before >= FRAMES as u64 {
                return true;
            }
        }
        self.watch.rest();
        false
    }

    fn end(&mut self, connection: Connection, reset: bool) {
        if self.table.end(connection.0, reset, self.now) {
            self.deadline = self.now;
        }
    }

    /// Time of the next poll that no event makes due.
    fn next_poll(&mut self, now: u64) -> u64 {
        let protocols = self.interface.poll_at(instant(now), &self.table.sockets);
        let protocols = protocols.map_or(u64::MAX, nanoseconds);
        let routers = self.addressing.routers.as_ref().map_or(u64::MAX, |routers| routers.deadline());
        // All that could be done was done: what is due at once waits for room in the device.
        protocols.min(routers).min(self.table.deadline()).max(now.saturating_add(PAUSE))
    }
}

impl<F: Frames> Network for Stack<F> {
    fn poll(&mut self, now: u64) {
        self.now = self.now.max(now);
        let now = self.now;
        self.interface.poll_maintenance(instant(now));
        let more_came = self.take_frames(now);
        self.addressing.update(&mut self.interface, &mut self.table.sockets, now);
        self.table.sweep(now);
        let more_goes = self.send_frames(now);
        self.device.outbox.frames.flush();
        self.deadline = if more_came || more_goes { now } else { self.next_poll(now) };
    }

    fn deadline(&self) -> u64 {
        self.deadline
    }

    fn accept(&mut self) -> Option<Connection> {
        self.table.accept(self.now).map(Connection)
    }

    fn receive(&mut self, connection: Connection, buffer: &mut [u8]) -> Received {
        let Some(socket) = self.table.open(connection.0) else { return Received::Gone };
        match socket.state() {
            // Bytes of a stream that was reset are void (RFC 9293, 3.10.7.4).
            State::Closed => return Received::Gone,
            State::Established if buffer.is_empty() => return Received::Nothing,
            _ if buffer.is_empty() => return Received::End,
            _ => {}
        }
        match socket.recv_slice(buffer) {
            Ok(0) => Received::Nothing,
            Ok(bytes) => {
                // The peer may have waited for room.
                self.deadline = self.now;
                Received::Bytes(bytes)
            }
            Err(RecvError::Finished) => Received::End,
            Err(RecvError::InvalidState) => Received::Gone,
        }
    }

    fn send(&mut self, connection: Connection, bytes: &[u8]) -> usize {
        let taken =
            self.table.open(connection.0).and_then(|socket| socket.send_slice(bytes).ok()).unwrap_or(0);
        if taken > 0 {
            self.deadline = self.now;
        }
        taken
    }

    fn unsent(&self, connection: Connection) -> usize {
        self.table.unsent(connection.0)
    }

    fn is_delivered(&self) -> bool {
        self.table.is_delivered()
    }

    fn close(&mut self, connection: Connection) {
        self.end(connection, false);
    }

    fn abort(&mut self, connection: Connection) {
        self.end(connection, true);
    }
}

/// A time as the protocols have it, in microseconds.
fn instant(nanoseconds: u64) -> Instant {
    Instant::from_micros((nanoseconds / 1000).cast_signed())
}

/// A time of the protocols'.
fn nanoseconds(instant: Instant) -> u64 {
    u64::try_from(instant.total_micros()).unwrap_or(0).saturating_mul(1000)
}
