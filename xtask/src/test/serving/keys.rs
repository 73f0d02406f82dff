//! Checks of a server with keys: items 24 and 36.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::server::{CHAT, COMPLETIONS, Server, story};
use crate::client::{get, post};

/// The server's keys, one a line.
pub const KEYS: &[u8] = b"first-key\nsecond-key\n";
const HEADER: &str = "Authorization: Bearer first-key\r\n";

pub fn keys(server: &Server) -> Result<()> {
    for headers in
        ["", "Authorization: Bearer wrong\r\n", "Authorization: first-key\r\n", "X-Api-Key: first-ke\r\n"]
    {
        for request in [get("/v1/models", headers), get("/metrics", headers), post(CHAT, headers, "{}")] {
            let answer = server.ask(request)?;
            ensure!(answer.error(401)?["type"] == "authentication_error", "{headers:?}");
            ensure!(answer.header("www-authenticate") == Some("Bearer"), "{answer:?}");
        }
    }
    for headers in [HEADER, "authorization: bearer second-key\r\n", "X-Api-Key: second-key\r\n"] {
        ensure!(server.ask(get("/v1/models", headers))?.status == 200, "{headers:?}");
    }
    ensure!(server.get("/health")?.status == 200, "a probe without a key");
    // The body that nobody reads is no request.
    let mut client = server.client()?;
    client
        .send(post(COMPLETIONS, "", "GET /nothing HTTP/1.1\r\nHost: guest\r\n\r\n") + &get("/health", ""))?;
    client.answer()?.error(401)?;
    ensure!(client.answer()?.status == 200, "the request behind the one that was refused");
    Ok(())
}

/// Has the machine end: what runs is finished first.
pub fn drain(server: &Server) -> Result<()> {
    let with_key = |path: &str, body: &str| post(path, HEADER, body);
    let long = story(100_000, json!({ "stream": true, "n": 2 })).to_string();
    let mut running = server.client()?;
    running.send(with_key(COMPLETIONS, &long))?;
    let head = running.head()?;
    running.chunk()?.context("no stream")?;
    let (mut health, mut late) = (server.client()?, server.client()?);
    server.ask(post("/admin/drain", "", ""))?.error(401)?;
    ensure!(server.ask(with_key("/admin/drain", ""))?.status == 200, "it does not drain");
    ensure!(health.ask(get("/health", ""))?.status == 503, "its health");
    let answer = late.ask(with_key(COMPLETIONS, &story(1, json!({})).to_string()))?;
    answer.error(503)?;
    ensure!(answer.header("retry-after").is_some(), "{answer:?}");
    let mut last = Vec::new();
    while let Some(chunk) = running.chunk()? {
        last = chunk;
    }
    ensure!(head.status == 200 && last == b"data: [DONE]\n\n", "what ran ends with {}", last.escape_ascii());
    running.check_over()
}
