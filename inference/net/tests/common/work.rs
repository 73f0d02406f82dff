//! What both ends do with a connection.

use embodios_net::{Connection, Network, Received, Stack};
use smoltcp::iface::SocketHandle;
use std::collections::BTreeMap;

use super::{Client, End};

/// A server that sends back what it gets, and closes when its client has.
#[derive(Default)]
pub struct Echo {
    pub open: BTreeMap<Connection, Vec<u8>>,
    pub accepted: usize,
    pub gone: usize,
    pub ended: usize,
}

impl Echo {
    pub fn serve(&mut self, stack: &mut Stack<End>) {
        while let Some(connection) = stack.accept() {
            self.accepted += 1;
            assert!(self.open.insert(connection, Vec::new()).is_none(), "the number is in use");
        }
        let mut buffer = [0; 4096];
        self.open.retain(|connection, bytes| {
            let end = loop {
                match stack.receive(*connection, &mut buffer) {
                    Received::Bytes(count) => bytes.extend_from_slice(&buffer[..count]),
                    Received::Nothing => break false,
                    Received::End => break true,
                    Received::Gone => {
                        self.gone += 1;
                        stack.abort(*connection);
                        return false;
                    }
                }
            };
            let taken = stack.send(*connection, bytes);
            bytes.drain(..taken);
            if end && bytes.is_empty() {
                self.ended += 1;
                stack.close(*connection);
                return false;
            }
            true
        });
    }
}

pub fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 7 + at / 251) as u8).collect()
}

/// Sends all, then reads all that comes back until the server ends.
pub struct Exchange {
    pub handle: SocketHandle,
    pub send: Vec<u8>,
    pub sent: usize,
    closed: bool,
    pub received: Vec<u8>,
}

impl Exchange {
    pub fn new(handle: SocketHandle, send: Vec<u8>) -> Self {
        Self { handle, send, sent: 0, closed: false, received: Vec::new() }
    }

    /// Whether it is done.
    pub fn go_on(&mut self, client: &mut Client) -> bool {
        self.sent += client.send(self.handle, &self.send[self.sent..]);
        if self.sent == self.send.len() && !self.closed && client.socket(self.handle).may_send() {
            client.socket(self.handle).close();
            self.closed = true;
        }
        client.receive(self.handle, &mut self.received);
        self.closed && client.ended(self.handle)
    }
}
