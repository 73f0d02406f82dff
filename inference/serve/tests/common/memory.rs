//! A network in memory: what clients send, and what they were sent.

use embodios_net::{Connection, Network, Received};

/// A client's connection.
#[derive(Debug, Default)]
pub struct Client {
    /// What it has sent and the server has not read.
    sent: Vec<u8>,
    /// What it was sent.
    pub received: Vec<u8>,
    /// Most bytes that it takes.
    pub window: usize,
    /// Whether it has sent all.
    pub has_ended: bool,
    /// Whether it is gone.
    pub is_reset: bool,
    /// Whether the server has closed it, and aborted it.
    pub is_closed: bool,
    pub is_aborted: bool,
    is_accepted: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Memory {
    pub clients: Vec<Client>,
    /// Whether nothing is acknowledged.
    pub is_cut: bool,
}

impl Memory {
    pub fn connect(&mut self) -> usize {
        self.clients.push(Client { window: usize::MAX, ..Client::default() });
        self.clients.len() - 1
    }

    pub fn send(&mut self, client: usize, bytes: &[u8]) {
        self.clients[client].sent.extend_from_slice(bytes);
    }
}

impl Network for Memory {
    fn poll(&mut self, _now: u64) {}

    fn deadline(&self) -> u64 {
        u64::MAX
    }

    fn accept(&mut self) -> Option<Connection> {
        let index = self.clients.iter().position(|client| !client.is_accepted)?;
        self.clients[index].is_accepted = true;
        Some(Connection(index))
    }

    fn receive(&mut self, connection: Connection, buffer: &mut [u8]) -> Received {
        let client = &mut self.clients[connection.0];
        assert!(!client.is_closed, "a closed connection is nobody's");
        let count = client.sent.len().min(buffer.len());
        buffer[..count].copy_from_slice(&client.sent[..count]);
        client.sent.drain(..count);
        match count {
            _ if client.is_reset => Received::Gone,
            0 if client.has_ended && client.sent.is_empty() => Received::End,
            0 => Received::Nothing,
            count => Received::Bytes(count),
        }
    }

    fn send(&mut self, connection: Connection, bytes: &[u8]) -> usize {
        let client = &mut self.clients[connection.0];
        assert!(!client.is_closed, "a closed connection is nobody's");
        let count = bytes.len().min(client.window - client.received.len());
        client.received.extend_from_slice(&bytes[..count]);
        count
    }

    fn unsent(&self, _connection: Connection) -> usize {
        0
    }

    fn is_delivered(&self) -> bool {
        !self.is_cut
    }

    fn close(&mut self, connection: Connection) {
        self.clients[connection.0].is_closed = true;
    }

    fn abort(&mut self, connection: Connection) {
        self.clients[connection.0].is_closed = true;
        self.clients[connection.0].is_aborted = true;
    }
}
