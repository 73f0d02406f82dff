//! Checks of connections and HTTP: items 1 to 15.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::thread;
use std::time::Duration;

use super::server::{CHAT, COMPLETIONS, Server, story};
use crate::client::{Client, event, get, post};

/// Most bytes of a body.
const BODY: usize = 1 << 20;

/// Less than the time that the server keeps an idle connection which it does not need the place of.
const IDLE: Duration = Duration::from_secs(60);

/// Time for two pieces of a request to come apart. Nothing depends on whether they do.
const APART: Duration = Duration::from_millis(2);

pub fn cuts(server: &Server) -> Result<()> {
    let request = post("/tokenize", "", "{\"content\": \"Once upon\"}");
    let whole = server.ask(&request)?;
    ensure!(whole.status == 200, "{}", whole.status);
    let mut client = server.client()?;
    for cut in 1..request.len() {
        let (first, second) = request.as_bytes().split_at(cut);
        client.send(first)?;
        thread::sleep(APART);
        let answer = client.ask(second)?;
        ensure!((answer.status, &answer.body) == (200, &whole.body), "cut at byte {cut}: {}", answer.status);
    }
    for byte in request.as_bytes().chunks(1) {
        client.send(byte)?;
        thread::sleep(APART);
    }
    ensure!(client.answer()?.body == whole.body, "a byte at a time: another answer");
    Ok(())
}

pub fn keep_alive(server: &Server) -> Result<()> {
    let mut client = server.client()?;
    ensure!(client.ask(get("/health", ""))?.status == 200, "the first of a connection");
    // Two at once: the slow one first, whose answer comes first.
    client.send(post(COMPLETIONS, "", &story(3, json!({})).to_string()) + &get("/v1/models", ""))?;
    ensure!(client.answer()?.json()?["object"] == "text_completion", "the first of two at once");
    ensure!(client.answer()?.json()?["object"] == "list", "the second of two at once");
    client.send(get("/health", "Connection: close\r\n") + &get("/health", ""))?;
    ensure!(client.answer()?.header("connection") == Some("close"), "close is not said");
    client.check_over()?;
    let mut old = server.client()?;
    ensure!(old.ask("GET /health HTTP/1.0\r\n\r\n")?.status == 200, "HTTP/1.0");
    old.check_over()
}

/// A request in chunks.
fn chunked(path: &str, chunks: &[&str]) -> String {
    let chunks: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
    format!("POST {path} HTTP/1.1\r\nHost: guest\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
}

pub fn bodies(server: &Server) -> Result<()> {
    let body = story(4, json!({})).to_string();
    let whole = server.ask(post(COMPLETIONS, "", &body))?.json()?;
    let (first, second) = body.split_at(20);
    let mut client = server.client()?;
    let chunks = client.ask(chunked(COMPLETIONS, &[first, second]))?.json()?;
    ensure!(whole["choices"] == chunks["choices"] && whole["choices"][0]["text"] != "", "{whole} {chunks}");
    ensure!(client.ask(get("/health", ""))?.status == 200, "what follows a body in chunks");
    Ok(())
}

pub fn body_limit(server: &Server) -> Result<()> {
    let filled = |bytes: usize| format!("{{\"content\": \"a\"{}}}", " ".repeat(bytes - 16));
    ensure!(server.ask(post("/tokenize", "", &filled(BODY)))?.status == 200, "a body of {BODY} bytes");
    let head =
        |bytes: usize| format!("POST /tokenize HTTP/1.1\r\nHost: guest\r\nContent-Length: {bytes}\r\n\r\n");
    server.ask(head(BODY + 1))?.error(413)?;
    let (part, large) = (" ".repeat(BODY / 4), filled(BODY / 4));
    server.ask(chunked("/tokenize", &[&part, &part, &part, &part, &large]))?.error(413)?;
    ensure!(server.ask(chunked("/tokenize", &[&part, &part, &large]))?.status == 200, "chunks that fit");
    let extension = format!("1;{}\r\n \r\n", "x".repeat(5000));
    let extended = chunked("/tokenize", &[]).replace("0\r\n\r\n", &(extension + "0\r\n\r\n"));
    server.ask(extended)?.error(413)?;
    Ok(())
}

pub fn expectation(server: &Server) -> Result<()> {
    let body = "{\"content\": \"Once\"}";
    let head = |path: &str, length: usize, expects: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: guest\r\nContent-Length: {length}\r\nExpect: {expects}\r\n\r\n"
        )
    };
    let mut client = server.client()?;
    ensure!(client.ask(head("/tokenize", body.len(), "100-continue"))?.status == 100, "no 100");
    ensure!(client.ask(body)?.status == 200, "no answer behind 100");
    server.ask(head("/tokenize", BODY + 1, "100-continue"))?.error(413)?;
    server.ask(head("/nothing", 2, "100-continue"))?.error(404)?;
    server.ask(head("/tokenize", 2, "magic"))?.error(417)?;
    Ok(())
}

pub fn framing(server: &Server) -> Result<()> {
    for headers in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length : 2\r\n",
        "Content-Length: 2\rX: y\r\n",
        "Content-Length: +2\r\n",
        "X: a\r\n folded\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
    ] {
        let mut client = server.client()?;
        client.send(format!(
            "POST /tokenize HTTP/1.1\r\nHost: guest\r\n{headers}\r\n{{}}{}",
            get("/health", "")
        ))?;
        let answer = client.answer()?;
        answer.error(400)?;
        ensure!(answer.header("connection") == Some("close"), "{headers:?}: it does not close");
        client.end()?;
        client.check_over()?;
    }
    Ok(())
}

pub fn header_limit(server: &Server) -> Result<()> {
    let official: String =
        (0..8).map(|number| format!("X-Stainless-{number}: a value of some length\r\n")).collect();
    ensure!(server.ask(get("/health", &official))?.status == 200, "the official client's headers");
    server.ask(get("/health", &format!("X-Long: {}\r\n", "a".repeat(17 << 10))))?.error(431)?;
    server.ask(get("/health", &"X: y\r\n".repeat(100)))?.error(431)?;
    Ok(())
}

/// Takes as long as the server gives for a head: ten seconds.
pub fn slow(server: &Server) -> Result<()> {
    let (mut slow, mut idle) = (server.client()?, server.client()?);
    ensure!(idle.ask(get("/health", ""))?.status == 200, "the first of a connection");
    slow.send("GET /health HT")?;
    slow.answer()?.error(408)?;
    slow.end()?;
    slow.check_over()?;
    ensure!(idle.ask(get("/health", ""))?.status == 200, "a connection that was idle meanwhile");
    Ok(())
}

pub fn stream_head(server: &Server) -> Result<()> {
    for path in [CHAT, COMPLETIONS] {
        let more =
            json!({ "stream": true, "messages": [{ "role": "user", "content": "Hi" }], "prompt": null });
        let more = if path == CHAT { more } else { json!({ "stream": true }) };
        let answer = server.post(path, &story(2, more))?;
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-cache"),
            ("x-accel-buffering", "no"),
            ("transfer-encoding", "chunked"),
        ] {
            ensure!(answer.header(name) == Some(value), "{name}: {:?}", answer.header(name));
        }
        // The zero chunk was there, else there would be no answer.
        answer.events()?;
    }
    Ok(())
}

pub fn events(server: &Server) -> Result<()> {
    let answer = server.post(COMPLETIONS, &story(12, json!({ "stream": true })))?;
    let (last, events) = answer.chunks.split_last().unwrap_or((&answer.body, &[]));
    ensure!(last == b"data: [DONE]\n\n" && events.len() == 13, "{} chunks", events.len());
    events.iter().try_for_each(|chunk| event(chunk).map(drop))
}

pub fn comments(server: &Server) -> Result<()> {
    let answer = server.post(CHAT, &super::server::chat(json!({ "stream": true, "max_tokens": 12 })))?;
    let mut lines = answer.text()?.lines().filter(|line| !line.is_empty());
    ensure!(lines.all(|line| line.starts_with("data: ")), "{:?}", answer.text());
    Ok(())
}

pub fn methods(server: &Server) -> Result<()> {
    for path in [CHAT, COMPLETIONS, "/tokenize", "/v1/embeddings"] {
        let answer = server.get(path)?;
        answer.error(405)?;
        ensure!(answer.header("allow").is_some_and(|allow| allow.contains("POST")), "{path}: {answer:?}");
    }
    let mut client = server.client()?;
    client.send(get(CHAT, "").replacen("GET", "HEAD", 1))?;
    ensure!(client.head()?.status == 405, "HEAD on a route of POST");
    client.send(get("/health", "").replacen("GET", "HEAD", 1))?;
    let head = client.head()?;
    ensure!((head.status, head.header("content-length")) == (200, Some("15")), "{head:?}");
    ensure!(
        client.ask(get("/v1/nothing", ""))?.error(404)?["type"] == "not_found_error",
        "what is not there"
    );
    Ok(())
}

/// Of a server with keys.
pub fn preflight(server: &Server) -> Result<()> {
    let asks = "Origin: http://page\r\nAccess-Control-Request-Method: POST\r\n\
                Access-Control-Request-Headers: authorization\r\n";
    let answer = server.ask(get(CHAT, asks).replacen("GET", "OPTIONS", 1))?;
    ensure!(answer.status == 204, "{}", answer.status);
    for (name, part) in [("origin", "http://page"), ("methods", "POST"), ("headers", "authorization")] {
        let value = answer.header(&format!("access-control-allow-{name}"));
        ensure!(value.is_some_and(|value| value.contains(part)), "{name}: {value:?}");
    }
    Ok(())
}

pub fn ends(server: &Server) -> Result<()> {
    let connections = || server.metric(&["embodios_connections{"]);
    let before = connections()?;
    let begun = || -> Result<Client> {
        let mut client = server.client()?;
        client.send("POST /tokenize HTTP/1.1\r\nHost: guest\r\nContent-Length: 50\r\n\r\n{")?;
        Ok(client)
    };
    let (resets, ends) = ((0..6).map(|_| begun()), (0..6).map(|_| begun()));
    let clients: Vec<Client> = resets.chain(ends).collect::<Result<_>>()?;
    server.until("twelve more are connected", || Ok(connections()? >= before + 12.0))?;
    let mut clients = clients.into_iter();
    clients.by_ref().take(6).try_for_each(Client::reset)?;
    drop(clients);
    server.until("those that are gone are forgotten", || Ok(connections()? <= before))
}

pub fn many(server: &Server) -> Result<()> {
    // More than the machine has room for, none of which its client ends.
    let mut clients = Vec::new();
    for index in 0..140 {
        let mut client = Client::connect_for(server.address, IDLE)?;
        let status = client.ask(get("/health", "")).with_context(|| format!("connection {index}"))?.status;
        ensure!(status == 200, "connection {index}: {status}");
        clients.push(client);
    }
    Ok(())
}
