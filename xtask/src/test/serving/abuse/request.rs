//! Requests of every route, whole and damaged: their heads, what frames their bodies, and their JSON.

use serde_json::{Value, json};

use super::damage;
use crate::client::{get, post};
use crate::test::serving::random::Random;
use crate::test::serving::server::{CHAT, COMPLETIONS, chat, story};

/// Most tokens that an undamaged request asks for, but for those whose streams are left.
const TOKENS: usize = 9;

/// Paths that are read.
const READS: [&str; 10] = [
    "/health",
    "/v1/health",
    "/v1/models",
    "/v1/models/story-chat",
    "/v1/models/%zz",
    "/props",
    "/version",
    "/",
    "/metrics",
    "/nothing",
];

/// Lines that a head may have too many of, or that say what is not so.
const LINES: [&str; 24] = [
    "Content-Length: 5",
    "Content-Length: 0",
    "Content-Length: -1",
    "Content-Length: +5",
    "Content-Length: 5, 5",
    "Content-Length: 18446744073709551616",
    "Content-Length: 1048577",
    "Content-Length : 5",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: chunked, chunked",
    "Expect: 100-continue",
    "Expect: magic",
    "Connection: close",
    "Connection: upgrade",
    "Upgrade: websocket",
    "Host: another",
    "Host: a b",
    "Origin: null",
    "Authorization: Bearer x",
    "X: a\r\n folded",
    "X: a\rb",
    ": nothing",
    "No colon",
];

const METHODS: [&str; 9] = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "get", "", "G\0T"];
const VERSIONS: [&str; 7] = ["HTTP/1.0", "HTTP/1.1", "HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTCPCP/1.0", ""];

/// A request to send.
pub struct Attempt {
    pub bytes: Vec<u8>,
    /// What answers it.
    pub expected: Expected,
}

/// What a request that is sent whole is answered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// An answer of its own: its framing is right.
    Answer,
    /// A stream that does not end by itself.
    Endless,
    /// An answer, several, or an end, or nothing, since more is waited for.
    Anything,
}

/// Paths with bodies that are right.
fn calls(random: &mut Random) -> (&'static str, Value) {
    let tokens = 1 + random.below(TOKENS);
    let prompt: Vec<usize> = (0..1 + random.below(100)).map(|_| 260 + random.below(200)).collect();
    let seed = random.below(1000);
    match random.below(12) {
        0 => (CHAT, chat(json!({ "max_tokens": tokens, "seed": seed }))),
        1 => (
            CHAT,
            chat(
                json!({ "max_tokens": tokens, "stream": true, "n": 2, "logprobs": true, "top_logprobs": 3 }),
            ),
        ),
        2 => (
            CHAT,
            chat(
                json!({ "max_tokens": tokens, "stream": true, "stream_options": { "include_usage": true } }),
            ),
        ),
        3 => (COMPLETIONS, story(tokens, json!({ "stream": true, "logits_hash": true }))),
        4 => (
            COMPLETIONS,
            story(
                tokens,
                json!({ "prompt": prompt, "n": 3, "logprobs": 2, "echo": true, "stop": [" the", "."] }),
            ),
        ),
        5 => (
            COMPLETIONS,
            story(
                tokens,
                json!({ "prompt": ["One day", "Once"], "temperature": 1.2, "top_k": 40, "seed": seed }),
            ),
        ),
        6 => (COMPLETIONS, story(100, json!({ "stream": true, "return_tokens": true }))),
        7 => (
            "/v1/responses",
            json!({ "input": "Once upon", "max_output_tokens": tokens, "stream": random.one_in(2) }),
        ),
        8 => ("/v1/embeddings", json!({ "input": "Once" })),
        9 => ("/tokenize", json!({ "content": "Once upon a time", "with_pieces": true })),
        10 => ("/detokenize", json!({ "tokens": prompt })),
        _ if random.one_in(2) => ("/apply-template", chat(json!({}))),
        _ => ("/admin/drain", json!({})),
    }
}

/// A request of a seed.
pub fn make(random: &mut Random) -> Attempt {
    let framed = |bytes: Vec<u8>| Attempt { bytes, expected: Expected::Answer };
    let broken = |bytes: Vec<u8>| Attempt { bytes, expected: Expected::Anything };
    if random.one_in(6) {
        let path = *random.of(&READS);
        return match random.below(4) {
            0 => Attempt { bytes: get("/events", "").into(), expected: Expected::Endless },
            1 => broken(with_strange_head(&get(path, ""), random)),
            _ => framed(get(path, "").into()),
        };
    }
    let (path, mut body) = calls(random);
    match random.below(11) {
        0 | 1 => framed(post(path, "", &body.to_string()).into()),
        2..=4 => {
            damage::value(&mut body, random);
            framed(post(path, "", &body.to_string()).into())
        }
        5 | 6 => framed(with_body(path, &damage::text(&body.to_string(), random))),
        7 => broken(with_strange_head(&post(path, "", &body.to_string()), random)),
        8 => broken(with_strange_frame(path, &body.to_string(), random)),
        9 => broken(damage::text(&post(path, "", &body.to_string()), random)),
        _ => broken((0..random.below(400)).map(|_| random.next() as u8).collect()),
    }
}

fn with_body(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: guest\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The request with another line in its head, or another first line.
fn with_strange_head(request: &str, random: &mut Random) -> Vec<u8> {
    let (first, rest) = request.split_once("\r\n").unwrap_or((request, ""));
    let mut words: Vec<String> = first.split(' ').map(str::to_owned).collect();
    let mut lines = String::new();
    match random.below(7) {
        0 => words[0] = (*random.of(&METHODS)).to_owned(),
        1 => words[2] = (*random.of(&VERSIONS)).to_owned(),
        2 => words[1] = target(random),
        3 => lines = format!("X-Long: {}\r\n", "a".repeat(random.below(40_000))),
        4 => lines = "X: y\r\n".repeat(random.below(130)),
        _ => (0..=random.below(3)).for_each(|_| lines += &format!("{}\r\n", random.of(&LINES))),
    }
    format!("{}\r\n{lines}{rest}", words.join(" ")).into()
}

fn target(random: &mut Random) -> String {
    let choices = [
        "*",
        "",
        "/",
        "//health",
        "http://x/health",
        "/health?a=%00&b",
        "/health#x",
        "/%2e%2e/health",
        "/\u{e9}",
    ];
    match random.below(3) {
        0 => format!("/{}", "a/".repeat(random.below(6000))),
        _ => (*random.of(&choices)).to_owned(),
    }
}

/// The request with a body whose frame is another than it says, or in strange chunks.
fn with_strange_frame(path: &str, body: &str, random: &mut Random) -> Vec<u8> {
    if random.one_in(2) {
        let length = match random.below(3) {
            0 => body.len().saturating_sub(1 + random.below(20)),
            1 => body.len() + 1 + random.below(20),
            _ => *random.of(&[0, 1 << 20, (1 << 20) + 1, usize::MAX]),
        };
        return format!("POST {path} HTTP/1.1\r\nHost: guest\r\nContent-Length: {length}\r\n\r\n{body}")
            .into();
    }
    let mut bytes =
        format!("POST {path} HTTP/1.1\r\nHost: guest\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for piece in body.as_bytes().chunks(1 + random.below(40)) {
        let size = match random.below(30) {
            0 => "ffffffffffffffff1".to_owned(),
            1 => format!("{:x}", piece.len() + 1),
            2 => format!("-{:x}", piece.len()),
            3 => format!("{:x};{}", piece.len(), "x=y;".repeat(random.below(2000))),
            4 => format!("0x{:x}", piece.len()),
            5 => "0".to_owned(),
            _ => format!("{:X}", piece.len()),
        };
        bytes.extend(size.as_bytes());
        bytes.extend(if random.one_in(40) { &b"\n"[..] } else { b"\r\n" });
        bytes.extend(piece);
        bytes.extend(b"\r\n");
    }
    let ends: [&[u8]; 4] = [b"0\r\n\r\n", b"0\r\nTrailer: x\r\n\r\n", b"", b"0\r\n"];
    bytes.extend(*random.of(&ends));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn requests_repeat_by_seed_and_reach_every_route() {
        let all: Vec<Attempt> = (0..3000).map(|number| make(&mut Random::new(1, number))).collect();
        assert_eq!(all[77].bytes, make(&mut Random::new(1, 77)).bytes);
        let heads: BTreeSet<Vec<u8>> = all
            .iter()
            .map(|one| one.bytes.split(|&byte| byte == b' ').nth(1).unwrap_or_default().to_vec())
            .collect();
        let routes = [
            CHAT,
            COMPLETIONS,
            "/v1/responses",
            "/v1/embeddings",
            "/tokenize",
            "/detokenize",
            "/admin/drain",
        ];
        for path in READS.iter().chain(&routes).chain(&["/apply-template", "/events"]) {
            assert!(heads.contains(path.as_bytes()), "{path}");
        }
        for kind in [Expected::Answer, Expected::Endless, Expected::Anything] {
            assert!(all.iter().filter(|one| one.expected == kind).count() > 30, "{kind:?}");
        }
    }
}
