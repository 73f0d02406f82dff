//! A client of HTTP/1.1 that sends exactly the bytes that it is given, and says what came.

use anyhow::{Context, Result, bail, ensure};
use rustix::net::sockopt;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Time for what has to come: far more than an emulated guest on a busy host needs, so that it decides nothing.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Time for QEMU to take a connection, and the turn of who connects.
const ACCEPTED: Duration = Duration::from_millis(5);
static TURN: Mutex<()> = Mutex::new(());

/// A connection.
pub struct Client {
    stream: TcpStream,
    /// What came and was not looked at.
    received: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body without what frames it.
    pub body: Vec<u8>,
    /// The body's chunks, if it came in chunks.
    pub chunks: Vec<Vec<u8>>,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        Self::connect_for(address, PATIENCE)
    }

    /// Connects, and waits for so long for each part of an answer.
    pub fn connect_for(address: SocketAddr, patience: Duration) -> Result<Self> {
        // QEMU's listener keeps one connection waiting. Of more at once some would be tried again after a second, and
        // some that send in pieces be reset by this host, which keeps no note of them (SYN cookies).
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let client = Self::connect_alone(address, patience)?;
        thread::sleep(ACCEPTED);
        drop(turn);
        Ok(client)
    }

    /// As [`Self::connect_for`], where no other connection follows at once.
    pub fn connect_alone(address: SocketAddr, patience: Duration) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, patience).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.stream.write_all(bytes.as_ref()).context("cannot send")
    }

    /// Ends the stream of what is sent; answers still come.
    pub fn end(&self) -> Result<()> {
        self.stream.shutdown(Shutdown::Write).context("cannot end the stream")
    }

    /// Ends the connection by a reset.
    pub fn reset(self) -> Result<()> {
        sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).context("cannot set SO_LINGER")
    }

    /// Asks, and takes the answer.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Result<Answer> {
        self.send(request)?;
        self.answer()
    }

    /// The next answer with its body.
    pub fn answer(&mut self) -> Result<Answer> {
        let mut answer = self.head()?;
        let length = answer.header("content-length").map(str::parse).transpose().context("a bad length")?;
        match (length, answer.header("transfer-encoding")) {
            _ if matches!(answer.status, 100 | 204 | 304) => {}
            (Some(length), None) => answer.body = self.take(length)?,
            (None, Some("chunked")) => {
                while let Some(chunk) = self.chunk()? {
                    answer.body.extend(&chunk);
                    answer.chunks.push(chunk);
                }
            }
            (None, None) => {
                while self.receive()? {}
                answer.body = std::mem::take(&mut self.received);
            }
            other => bail!("an answer framed by {other:?}"),
        }
        Ok(answer)
    }

    /// The head of the next answer.
    pub fn head(&mut self) -> Result<Answer> {
        let end = loop {
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            ensure!(self.receive()?, "the connection ended before an answer: {:?}", self.rest());
        };
        let head = String::from_utf8(self.take(end + 4)?).context("a head that is no text")?;
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").with_context(|| format!("{line:?} is no header"))?;
            Ok((name.to_ascii_lowercase(), value.to_owned()))
        };
        Ok(Answer {
            status: status.with_context(|| format!("no status in {head:?}"))?,
            headers: lines.map(header).collect::<Result<_>>()?,
            ..Answer::default()
        })
    }

    /// The next chunk of a body; `None` for the one that ends it.
    pub fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let end = loop {
            if let Some(end) = self.received.windows(2).position(|two| two == b"\r\n") {
                break end;
            }
            ensure!(self.receive()?, "the connection ended within a stream");
        };
        let line = self.take(end + 2)?;
        let size =
            std::str::from_utf8(&line[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size =
            size.with_context(|| format!("no size of a chunk: {:?}", line.escape_ascii().to_string()))?;
        let mut chunk = self.take(size + 2)?;
        ensure!(chunk.ends_with(b"\r\n"), "a chunk that is longer than its size");
        chunk.truncate(size);
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }

    /// Checks that the server has ended the connection, with nothing more to say.
    pub fn check_over(mut self) -> Result<()> {
        while self.receive()? {}
        ensure!(self.received.is_empty(), "there is more: {:?}", self.rest());
        Ok(())
    }

    /// Takes whatever comes, until the server ends the connection.
    pub fn read_out(mut self) -> Result<()> {
        while self.receive()? {
            self.received.clear();
        }
        Ok(())
    }

    /// Takes `count` bytes.
    fn take(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.received.len() < count {
            ensure!(self.receive()?, "the connection ended within an answer: {:?}", self.rest());
        }
        Ok(self.received.drain(..count).collect())
    }

    /// Receives what there is. Result: false at the end, by a reset too.
    fn receive(&mut self) -> Result<bool> {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece) {
            Ok(count) => {
                self.received.extend(&piece[..count]);
                Ok(count > 0)
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(false),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("nothing came in time, after {:?}", self.rest())
            }
            Err(error) => Err(error).context("cannot receive"),
        }
    }

    fn rest(&self) -> String {
        self.received.escape_ascii().to_string().chars().take(200).collect()
    }
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.body).context("a body that is no UTF-8")
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        let kind = self.header("content-type");
        ensure!(kind == Some("application/json"), "{}: the body is {kind:?}, not JSON", self.status);
        serde_json::from_slice(&self.body).with_context(|| format!("no JSON: {:?}", self.text()))
    }

    /// The error in it, in the form that clients read, with this status.
    pub fn error(&self, status: u16) -> Result<Value> {
        ensure!(self.status == status, "{} instead of {status}: {:?}", self.status, self.text());
        let error = self.json()?["error"].clone();
        let is_whole = error["message"].is_string() && error["type"].is_string();
        ensure!(is_whole, "no error with message and type: {error}");
        Ok(error)
    }

    /// The events of a stream, each a chunk and a line of JSON, without the mark that is the last one.
    pub fn events(&self) -> Result<Vec<Value>> {
        ensure!(self.status == 200, "{}: {:?}", self.status, self.text());
        let (last, events) = self.chunks.split_last().context("a stream without events")?;
        ensure!(last == b"data: [DONE]\n\n", "the last event is {}", last.escape_ascii());
        events.iter().map(|chunk| event(chunk)).collect()
    }
}

/// The JSON of an event.
pub fn event(chunk: &[u8]) -> Result<Value> {
    let data = chunk.strip_prefix(b"data: ").and_then(|rest| rest.strip_suffix(b"\n\n"));
    let data = data.filter(|data| !data.contains(&b'\n'));
    let data = data.with_context(|| format!("no event of one line: {}", chunk.escape_ascii()))?;
    serde_json::from_slice(data).with_context(|| format!("no JSON: {}", data.escape_ascii()))
}

/// A request that reads, with `headers` that end their lines.
pub fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: guest\r\n{headers}\r\n")
}

/// A request with a body.
pub fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: guest\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}
