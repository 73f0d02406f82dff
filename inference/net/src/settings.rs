//! What a stack is to be, and why there can be none.

use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;

use smoltcp::wire::EthernetAddress;

use crate::address::{self, Address, AddressError};
use crate::frames::Frames;

/// IP packets that every network carries (RFC 8200), and the largest that the rings' buffers hold.
const MTU: RangeInclusive<usize> = 1280..=2022;
/// Connections, and bytes of a buffer.
const CONNECTIONS: RangeInclusive<usize> = 1..=4096;
const BUFFER: RangeInclusive<usize> = 2048..=1 << 20;

/// What a stack is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Port listened to.
    pub port: u16,
    /// Maximum number of connections, those that are still ending included.
    pub connections: usize,
    /// Bytes kept of what a connection has received.
    pub receive_bytes: usize,
    /// Bytes kept of what a connection is to send.
    pub send_bytes: usize,
    /// Addresses given. A family without one asks the network: DHCP, routers.
    pub addresses: Vec<Address>,
    /// Random number, another one each time: sequence numbers and transactions follow from it.
    pub seed: u64,
}

impl Settings {
    /// The usual sizes, with no address given.
    pub fn new(port: u16, seed: u64) -> Self {
        let (connections, receive_bytes, send_bytes) = (128, 16 << 10, 32 << 10);
        Self { port, connections, receive_bytes, send_bytes, addresses: Vec::new(), seed }
    }

    /// Checks that there can be such a stack on a device.
    pub(crate) fn check(&self, device: &impl Frames) -> Result<(), StackError> {
        if self.port == 0 {
            return Err(StackError::Port);
        }
        if !CONNECTIONS.contains(&self.connections) {
            return Err(StackError::Connections(self.connections));
        }
        if let Some(bytes) =
            [self.receive_bytes, self.send_bytes].into_iter().find(|bytes| !BUFFER.contains(bytes))
        {
            return Err(StackError::Buffer(bytes));
        }
        let mac = EthernetAddress(device.mac());
        if !mac.is_unicast() || mac.0 == [0; 6] {
            return Err(StackError::Mac(mac.0));
        }
        if !MTU.contains(&device.mtu()) {
            return Err(StackError::Mtu(device.mtu()));
        }
        address::check(&self.addresses).map_err(StackError::Address)
    }
}

/// Reason that a stack cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StackError {
    /// Port 0 cannot be listened to.
    Port,
    /// So many connections.
    Connections(usize),
    /// A buffer of so many bytes.
    Buffer(usize),
    /// The device's address is a group's or nobody's.
    Mac([u8; 6]),
    /// The device carries packets of so many bytes.
    Mtu(usize),
    /// The addresses given do not fit together.
    Address(AddressError),
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |f: &mut fmt::Formatter<'_>, what, given, range: &RangeInclusive<usize>| {
            write!(f, "{given} {what}: from {} to {}", range.start(), range.end())
        };
        match self {
            Self::Port => f.write_str("port 0 cannot be listened to"),
            Self::Connections(given) => range(f, "connections", given, &CONNECTIONS),
            Self::Buffer(given) => range(f, "bytes of a connection's buffer", given, &BUFFER),
            Self::Mac(mac) => {
                write!(f, "the network device's address {} is no device's", EthernetAddress(*mac))
            }
            Self::Mtu(given) => range(f, "bytes is the network device's largest packet", given, &MTU),
            Self::Address(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for StackError {}
