//! The client's end: the same protocols, as many connections as a test wants.

use embodios_net::Frames;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use super::{CLIENT_MAC, End, PORT};

impl Device for End {
    type RxToken<'a> = Received;
    type TxToken<'a> = Self;

    fn receive(&mut self, _: Instant) -> Option<(Received, Self)> {
        let frame = self.link.borrow_mut().take(self.side)?;
        Some((Received(frame), self.clone()))
    }

    fn transmit(&mut self, _: Instant) -> Option<Self> {
        Some(self.clone())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

pub struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, C: FnOnce(&[u8]) -> R>(self, take: C) -> R {
        take(&self.0)
    }
}

impl TxToken for End {
    fn consume<R, C: FnOnce(&mut [u8]) -> R>(mut self, bytes: usize, fill: C) -> R {
        let mut frame = vec![0; bytes];
        let result = fill(&mut frame);
        Frames::send(&mut self, &frame);
        result
    }
}

pub struct Client {
    end: End,
    pub interface: Interface,
    pub sockets: SocketSet<'static>,
    next_port: u16,
}

fn instant(now: u64) -> Instant {
    Instant::from_micros((now / 1000) as i64)
}

impl Client {
    pub fn new(mut end: End, now: u64) -> Self {
        let mut config = Config::new(EthernetAddress(CLIENT_MAC).into());
        config.random_seed = 2;
        let mut interface = Interface::new(config, &mut end, instant(now));
        interface.update_ip_addrs(|list| {
            for (address, prefix) in [("192.0.2.2", 24), ("2001:db8::2", 64), ("fe80::2", 64)] {
                list.push(IpCidr::new(address.parse().expect("an address"), prefix)).expect("there is room");
            }
        });
        Self { end, interface, sockets: SocketSet::new(vec![]), next_port: 1024 }
    }

    pub fn poll(&mut self, now: u64) {
        self.interface.poll(instant(now), &mut self.end, &mut self.sockets);
    }

    pub fn deadline(&mut self, now: u64) -> u64 {
        let at = self.interface.poll_at(instant(now), &self.sockets);
        at.map_or(u64::MAX, |at| (at.total_micros() as u64 * 1000).max(now))
    }

    /// Begins a connection to an address of the stack's.
    pub fn connect_to(&mut self, address: &str, buffer: usize) -> SocketHandle {
        let buffers = || SocketBuffer::new(vec![0; buffer]);
        let mut socket = Socket::new(buffers(), buffers());
        socket.set_nagle_enabled(false);
        self.next_port += 1;
        let address: IpAddress = address.parse().expect("an address");
        socket.connect(self.interface.context(), (address, PORT), self.next_port).expect("it can");
        self.sockets.add(socket)
    }

    pub fn connect(&mut self) -> SocketHandle {
        self.connect_to("192.0.2.1", 65_536)
    }

    pub fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub fn state(&mut self, handle: SocketHandle) -> State {
        self.socket(handle).state()
    }

    /// Sends as many of the bytes as it can.
    pub fn send(&mut self, handle: SocketHandle, bytes: &[u8]) -> usize {
        self.socket(handle).send_slice(bytes).unwrap_or(0)
    }

    /// Adds what has come to what is there.
    pub fn receive(&mut self, handle: SocketHandle, into: &mut Vec<u8>) {
        let socket = self.socket(handle);
        while socket.can_recv() {
            let bytes = socket.recv(|bytes| (bytes.len(), bytes.to_vec())).expect("there are some");
            into.extend(bytes);
        }
    }

    /// Whether the server has sent all.
    pub fn ended(&mut self, handle: SocketHandle) -> bool {
        !self.socket(handle).may_recv()
    }
}
