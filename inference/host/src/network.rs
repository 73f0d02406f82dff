//! The network on the host's TCP: non-blocking sockets of one listening port.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use std::vec::Vec;

use embodios_net::{Connection, Network, Received};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;

/// Nanoseconds that a closed connection's peer has to close too: what it still sends meanwhile would be answered by a
/// reset, which can take the last answer with it.
const LEAVING: u64 = 2_000_000_000;

/// Silence after which the system asks whether the peer is there still.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A listening port and its connections.
#[derive(Debug)]
pub struct TcpNetwork {
    listener: TcpListener,
    /// Whether no connection waited at the last look.
    is_drained: bool,
    open: Vec<Option<Socket>>,
    /// Closed connections whose peers have not closed, each with the time when it is dropped.
    leaving: Vec<(TcpStream, u64)>,
    now: u64,
}

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    /// Whether nothing waited to be received at the last look.
    is_drained: bool,
    /// Whether there was too little room at the last send.
    is_full: bool,
}

impl TcpNetwork {
    /// Listens on `port` of this machine itself; 0 for any that is free.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn listen(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, is_drained: false, open: Vec::new(), leaving: Vec::new(), now: 0 })
    }

    /// The address that clients connect to.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Sleeps until something arrives or can leave, at most so long.
    pub fn wait(&self, most: Duration) {
        // Only what was looked through is waited for: what is left there on purpose would end each wait at once.
        let listener = self.is_drained.then(|| PollFd::new(&self.listener, PollFlags::IN));
        let sockets = self.open.iter().flatten().map(|socket| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, socket.is_drained);
            flags.set(PollFlags::OUT, socket.is_full);
            PollFd::new(&socket.stream, flags)
        });
        let leaving = self.leaving.iter().map(|(stream, _)| PollFd::new(stream, PollFlags::IN));
        let mut all: Vec<PollFd<'_>> = listener.into_iter().chain(sockets).chain(leaving).collect();
        let most = Timespec { tv_sec: most.as_secs() as i64, tv_nsec: most.subsec_nanos().into() };
        // A signal ends it early, as anything that arrives does.
        let _ = poll(&mut all, Some(&most));
    }

    fn socket(&mut self, connection: Connection) -> Option<&mut Socket> {
        self.open.get_mut(connection.0)?.as_mut()
    }

    fn take(&mut self, connection: Connection) -> Option<TcpStream> {
        Some(self.open.get_mut(connection.0)?.take()?.stream)
    }
}

fn prepared(stream: TcpStream) -> io::Result<Socket> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, KEEP_ALIVE)?;
    Ok(Socket { stream, is_drained: false, is_full: false })
}

fn is_blocked(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

impl Network for TcpNetwork {
    fn poll(&mut self, now: u64) {
        self.now = now;
        self.leaving.retain_mut(|(stream, until)| {
            let has_ended = loop {
                match stream.read(&mut [0; 4096]) {
                    Ok(1..) => {}
                    Err(error) if is_blocked(&error) => break false,
                    Ok(0) | Err(_) => break true,
                }
            };
            !has_ended && now < *until
        });
    }

    fn deadline(&self) -> u64 {
        self.leaving.iter().map(|&(_, until)| until).min().unwrap_or(u64::MAX)
    }

    fn accept(&mut self) -> Option<Connection> {
        // A connection that is gone before it was prepared is not the last.
        let socket = loop {
            match self.listener.accept() {
                Ok((stream, _)) => match prepared(stream) {
                    Ok(socket) => break Some(socket),
                    Err(_) => continue,
                },
                Err(_) => break None,
            }
        };
        self.is_drained = socket.is_none();
        let socket = socket?;
        let free = self.open.iter().position(Option::is_none).unwrap_or_else(|| {
            self.open.push(None);
            self.open.len() - 1
        });
        self.open[free] = Some(socket);
        Some(Connection(free))
    }

    fn receive(&mut self, connection: Connection, buffer: &mut [u8]) -> Received {
        let Some(socket) = self.socket(connection) else { return Received::Gone };
        let result = match buffer {
            [] => socket.stream.peek(&mut [0]),
            _ => socket.stream.read(buffer),
        };
        let (received, is_drained) = match result {
            Ok(0) => (Received::End, false),
            Ok(_) if buffer.is_empty() => (Received::Nothing, false),
            Ok(count) => (Received::Bytes(count), false),
            Err(error) if is_blocked(&error) => (Received::Nothing, true),
            Err(_) => (Received::Gone, false),
        };
        socket.is_drained = is_drained;
        received
    }

    fn send(&mut self, connection: Connection, bytes: &[u8]) -> usize {
        let Some(socket) = self.socket(connection) else { return 0 };
        // An error comes up at the next receive, too.
        let sent = socket.stream.write(bytes).unwrap_or(0);
        socket.is_full = sent < bytes.len();
        sent
    }

    /// None: they are the system's, which sends them whatever becomes of this process.
    fn unsent(&self, _connection: Connection) -> usize {
        0
    }

    /// True: the system delivers it.
    fn is_delivered(&self) -> bool {
        true
    }

    fn close(&mut self, connection: Connection) {
        let Some(stream) = self.take(connection) else { return };
        if stream.shutdown(Shutdown::Write).is_ok() {
            self.leaving.push((stream, self.now.saturating_add(LEAVING)));
        }
    }

    fn abort(&mut self, connection: Connection) {
        let Some(stream) = self.take(connection) else { return };
        // Without it, the connection is closed in order, which is no worse than late.
        let _ = sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            match look() {
                Some(found) => return found,
                None => std::thread::yield_now(),
            }
        }
    }

    fn connected() -> (TcpNetwork, TcpStream, Connection) {
        let mut network = TcpNetwork::listen(0).unwrap();
        let client = TcpStream::connect(network.address().unwrap()).unwrap();
        let connection = until(|| network.accept());
        (network, client, connection)
    }

    #[test]
    fn bytes_go_both_ways() {
        let (mut network, mut client, connection) = connected();
        let mut buffer = [0; 8];
        assert_eq!(network.receive(connection, &mut buffer), Received::Nothing);
        client.write_all(b"ping").unwrap();
        network.wait(Duration::from_secs(10));
        assert_eq!(network.receive(connection, &mut []), Received::Nothing);
        assert_eq!(network.receive(connection, &mut buffer), Received::Bytes(4));
        assert_eq!(network.send(connection, b"pong"), 4);
        client.read_exact(&mut buffer[..4]).unwrap();
        assert_eq!(&buffer[..4], b"pong");
        network.close(connection);
        assert_eq!(client.read(&mut buffer).unwrap(), 0);
        assert_eq!(network.receive(connection, &mut buffer), Received::Gone);
        drop(client);
        until(|| {
            network.poll(0);
            (network.deadline() == u64::MAX).then_some(())
        });
    }

    #[test]
    fn ends_and_resets_are_told_apart() {
        let (mut network, client, connection) = connected();
        client.shutdown(Shutdown::Write).unwrap();
        until(|| (network.receive(connection, &mut []) == Received::End).then_some(()));
        network.abort(connection);
        let error = until(|| (&client).read(&mut [0]).err().filter(|error| !is_blocked(error)));
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);

        let (mut network, client, connection) = connected();
        sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
        drop(client);
        until(|| (network.receive(connection, &mut [0]) == Received::Gone).then_some(()));
    }
}
