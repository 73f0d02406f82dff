//! The network as a server sees it: byte streams to one listening port, none of which ever blocks.

use alloc::vec::Vec;
use core::sync::atomic::AtomicU32;

use crate::address::Address;

/// A network that threads can wait for.
pub trait Link: Send {
    /// Its connections.
    fn network(&mut self) -> &mut dyn Network;

    /// A word that changes, and whose waiters are woken, when something has arrived. Threads may change it, too, to
    /// wake each other.
    fn event(&self) -> &'static AtomicU32;

    /// Whether the word shall change from now on. Result: whether something has arrived that did not change it.
    fn listen(&mut self, on: bool) -> bool;

    /// Addresses of this machine, where they have changed since this was asked last.
    fn new_addresses(&mut self) -> Option<Vec<Address>>;
}

/// Number of a connection. No two open connections have the same; a closed one's may come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection(pub usize);

/// Result of [`Network::receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes, at least one.
    Bytes(usize),
    /// None yet.
    Nothing,
    /// None ever: the peer has sent all, and may still read.
    End,
    /// None ever, either way: reset, timed out or aborted.
    Gone,
}

/// Byte streams to one listening port. Times are nanoseconds of one clock that never goes back.
pub trait Network {
    /// Moves what has arrived and what can leave. To be called after each event and when [`Self::deadline`] passes.
    fn poll(&mut self, now: u64);

    /// The time of the next [`Self::poll`] that is needed without an event, `u64::MAX` for none.
    fn deadline(&self) -> u64;

    /// The next new connection.
    fn accept(&mut self) -> Option<Connection>;

    /// Takes received bytes, as many as `buffer` holds. With an empty buffer, only says how the connection is:
    /// [`Received::Nothing`] while the peer may still send.
    fn receive(&mut self, connection: Connection, buffer: &mut [u8]) -> Received;

    /// Takes bytes to send, as many as there is room for. Result: their number. They leave at the next [`Self::poll`].
    fn send(&mut self, connection: Connection, bytes: &[u8]) -> usize;

    /// Bytes taken by [`Self::send`] that the peer has not acknowledged.
    fn unsent(&self, connection: Connection) -> usize;

    /// Whether the peers have acknowledged all bytes and ends of streams, those of closed connections too.
    fn is_delivered(&self) -> bool;

    /// Sends what was taken, then ends the stream. The connection's number is no longer the caller's.
    fn close(&mut self, connection: Connection);

    /// Resets the connection. Its number is no longer the caller's.
    fn abort(&mut self, connection: Connection);
}
