//! Many connections at once: some that stay and do nothing useful, and a thousand that all want something.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::collections::VecDeque;

use crate::client::{Client, get, post};
use crate::test::serving::random::Random;
use crate::test::serving::server::{COMPLETIONS, Server, story};

/// Connections that stay. The server has room for some more.
const STAYING: usize = 40;

/// Connections that stay open beside the requests, in every phase that a connection can stop in.
#[derive(Default)]
pub struct Crowd {
    clients: VecDeque<Client>,
}

impl Crowd {
    /// Sends the oldest away, and has new ones come.
    ///
    /// # Errors
    /// When nobody takes a connection.
    pub fn turn(&mut self, server: &Server, random: &mut Random) -> Result<()> {
        for _ in 0..STAYING / 4 {
            let oldest = (self.clients.len() >= STAYING).then(|| self.clients.pop_front()).flatten();
            // The others are closed.
            if let Some(oldest) = oldest.filter(|_| random.one_in(2)) {
                oldest.reset()?;
            }
            let mut client = server.client()?;
            // Who is gone before it has sent anything is as good.
            let _ = client.send(beginning(random));
            if random.one_in(8) {
                let _ = client.end();
            }
            self.clients.push_back(client);
        }
        Ok(())
    }
}

/// What one of them sends before it stops.
fn beginning(random: &mut Random) -> String {
    let whole = post(COMPLETIONS, "", &story(4, json!({})).to_string());
    match random.below(6) {
        // Nothing, a part of a head, a part of a body.
        0 => String::new(),
        1 => whole[..random.below(60)].to_owned(),
        2 => whole[..whole.len() - 1 - random.below(30)].to_owned(),
        // An answer that is not read: one, a long stream, a stream for good.
        3 => get("/", "").repeat(1 + random.below(20)),
        4 => post(COMPLETIONS, "", &story(60, json!({ "n": 4, "stream": true, "logprobs": 20 })).to_string()),
        _ => get("/events", ""),
    }
}

/// Opens `count` connections before any of them goes on, each with a part of its request. Result: how many were
/// answered, and how many were given up as too slow; the others go by themselves.
///
/// # Errors
/// When one is neither answered nor ended.
pub fn at_once(server: &Server, count: usize) -> Result<(usize, usize)> {
    let request = get("/health", "");
    let (first, second) = request.split_at(request.len() / 2);
    let mut clients = Vec::new();
    for index in 0..count {
        let mut client = server.client().with_context(|| format!("connection {index} of {count}"))?;
        // Every other one is whole: its answer waits to be read.
        client.send(if index % 2 == 0 { &request } else { first })?;
        clients.push(client);
    }
    let (mut answered, mut given_up) = (0, 0);
    for (index, mut client) in clients.into_iter().enumerate() {
        match index % 7 {
            0 => client.reset()?,
            1 => drop(client),
            2 => {
                let _ = client.end();
                client.read_out()?;
            }
            _ => {
                let is_sent = index % 2 == 0 || client.send(second).is_ok();
                match client.answer() {
                    Ok(answer) if answer.status == 200 => answered += 1,
                    Ok(answer) => {
                        ensure!(answer.status == 408, "connection {index} of {count}: {}", answer.status);
                        given_up += 1;
                    }
                    // Who was too slow may find the connection ended.
                    Err(error) => {
                        ensure!(!is_sent || index % 2 == 1, "connection {index} of {count}: {error:#}");
                        given_up += 1;
                    }
                }
            }
        }
    }
    Ok((answered, given_up))
}
