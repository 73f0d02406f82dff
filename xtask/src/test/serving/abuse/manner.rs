//! How a client behaves with its request: whole, in pieces, slowly; and when it goes, and how.

use anyhow::{Context, Result, ensure};
use std::fmt;
use std::thread;
use std::time::Duration;

use super::request::{Attempt, Expected};
use crate::client::{Answer, Client, get};
use crate::test::serving::random::Random;
use crate::test::serving::server::Server;

/// Time for an answer: an emulated guest with dozens of long requests at once takes minutes for each.
const PATIENCE: Duration = Duration::from_secs(900);
/// Pause between two pieces. Nothing depends on whether they arrive apart.
const PAUSE: Duration = Duration::from_millis(1);
/// Bytes that a slow client sends one by one.
const SLOW: usize = 60;

/// Statuses that bad requests may have, a full queue and no room among them. No other error is right.
const REFUSALS: [u16; 13] = [400, 401, 403, 404, 405, 408, 413, 414, 417, 429, 431, 501, 503];

/// A client's behaviour.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// Sends all at once and takes the answer.
    Whole,
    /// Sends another request behind it, and takes both answers.
    Pipelined,
    /// Sends so many pieces.
    Pieces(usize),
    /// Sends the first bytes one by one.
    Slow,
    /// Goes with so many bytes unsent.
    Cut(usize, Leave),
    /// Goes while the answer is made.
    Unanswered(Leave),
    /// Goes within the answer, after so many chunks.
    Cancel(usize, Leave),
}

/// How a client goes.
#[derive(Clone, Copy, Debug)]
pub enum Leave {
    Close,
    Reset,
    /// Says that it sends no more, and waits for the end.
    End,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// An answer with this status.
    Status(u16),
    /// The server ended the connection.
    Ended,
    /// The client went.
    Left,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => status.fmt(f),
            Self::Ended => f.write_str("ended"),
            Self::Left => f.write_str("left"),
        }
    }
}

impl Manner {
    /// The behaviour of a seed's request.
    pub fn of(attempt: &Attempt, random: &mut Random) -> Self {
        let leave = *random.of(&[Leave::Close, Leave::Reset, Leave::End]);
        match random.below(10) {
            0 => Self::Pipelined,
            1 => Self::Pieces(1 + random.below(8)),
            2 if random.one_in(4) => Self::Slow,
            3 => Self::Cut(random.below(attempt.bytes.len()), leave),
            4 => Self::Unanswered(leave),
            5 => Self::Cancel(random.below(12), leave),
            _ => Self::Whole,
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// When the server does not answer a request that is framed as it says, or in a wrong way.
    pub fn perform(self, server: &Server, attempt: &Attempt) -> Result<Outcome> {
        let mut client = Client::connect_for(server.address, PATIENCE)?;
        let bytes = &attempt.bytes;
        let is_sent = match self {
            Self::Pieces(count) => send(&mut client, bytes.chunks(bytes.len() / count + 1)),
            Self::Slow => {
                let (slow, rest) = bytes.split_at(bytes.len().min(SLOW));
                send(&mut client, slow.chunks(1).chain([rest]))
            }
            Self::Cut(place, _) => send(&mut client, [&bytes[..place]]),
            Self::Pipelined => send(&mut client, [&[bytes, get("/health", "").as_bytes()].concat()[..]]),
            _ => send(&mut client, [&bytes[..]]),
        };
        match self {
            Self::Cut(_, leave) | Self::Unanswered(leave) => leave.of(client),
            // The server may give up a client that had no turn for ten seconds; it says so.
            _ if !is_sent && attempt.expected != Expected::Anything => {
                let answer = client.answer().context("the connection ended within the request")?;
                ensure!(answer.status == 408, "{} before the request was whole", answer.status);
                Ok(Outcome::Status(answer.status))
            }
            Self::Cancel(chunks, leave) if attempt.expected != Expected::Anything => {
                let status = cancelled(&mut client, chunks)?;
                leave.of(client).map(|_| Outcome::Status(status))
            }
            _ if attempt.expected == Expected::Answer => {
                let answer = client.answer()?;
                check(&answer)?;
                if matches!(self, Self::Pipelined) && answer.header("connection") != Some("close") {
                    ensure!(client.answer()?.status == 200, "the request behind it");
                }
                Ok(Outcome::Status(answer.status))
            }
            _ => Leave::End.of(client),
        }
    }
}

impl Leave {
    fn of(self, client: Client) -> Result<Outcome> {
        match self {
            Self::Close => drop(client),
            Self::Reset => client.reset()?,
            Self::End => {
                // Where it fails, the server was the first to go.
                let _ = client.end();
                client.read_out()?;
                return Ok(Outcome::Ended);
            }
        }
        Ok(Outcome::Left)
    }
}

/// Sends pieces. Result: false when the connection ended before; a server need not take what it refuses.
fn send<'b>(client: &mut Client, pieces: impl IntoIterator<Item = &'b [u8]>) -> bool {
    let mut pieces = pieces.into_iter().peekable();
    while let Some(piece) = pieces.next() {
        if client.send(piece).is_err() {
            return false;
        }
        if pieces.peek().is_some() {
            thread::sleep(PAUSE);
        }
    }
    true
}

/// Takes the head of an answer, and so many chunks of its stream, if it is one. Result: its status.
fn cancelled(client: &mut Client, chunks: usize) -> Result<u16> {
    let head = client.head()?;
    check_status(&head)?;
    if head.header("transfer-encoding").is_some() {
        for _ in 0..chunks {
            if client.chunk()?.is_none() {
                break;
            }
        }
    }
    Ok(head.status)
}

fn check_status(answer: &Answer) -> Result<()> {
    let status = answer.status;
    ensure!(status == 200 || status == 204 || REFUSALS.contains(&status), "{status}: {:?}", answer.text());
    Ok(())
}

fn check(answer: &Answer) -> Result<()> {
    check_status(answer)?;
    if answer.status >= 400 {
        answer.error(answer.status)?;
    }
    Ok(())
}
