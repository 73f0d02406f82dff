//! Requests in any cut, damaged ones, and any bytes at all.

mod common;

use common::{Peer, after, limits};
use embodios_http::Fate;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Requests of every kind, each whole.
const REQUESTS: [&str; 10] = [
    "GET /v1/models?a=b HTTP/1.1\r\nHost: x:80\r\nMark: one\r\n\r\n",
    "\r\nHEAD / HTTP/1.1\r\nhost:x\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n{\"a\": \"\r\n\"}",
    "POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x\r\n\n\r\n0\r\nT: t\r\n\r\n",
    "POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "POST /refused HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nabc",
    "GET / HTTP/1.0\r\n\r\n",
];

/// What was asked and sent, for bytes that arrive in these parts.
fn outcome<'a>(parts: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, Vec<u8>, Fate) {
    let mut peer = Peer::new(limits());
    parts.for_each(|part| peer.receive(part, 0));
    peer.end(0);
    (peer.asked, peer.sent, peer.connection.fate())
}

#[test]
fn a_request_is_the_same_cut_anywhere() {
    for request in REQUESTS {
        let bytes = (request.to_owned() + REQUESTS[0]).into_bytes();
        let whole = outcome([&bytes[..]].into_iter());
        assert_eq!(whole, outcome(bytes.chunks(1)), "{request:?}");
        for cut in 0..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(whole, outcome([first, second].into_iter()), "{request:?} at {cut}");
        }
    }
}

#[test]
fn streams_in_a_pipeline_are_not_taken_for_slow() {
    let request = REQUESTS[6];
    for count in 1..40 {
        let (asked, sent, fate) = outcome([request.repeat(count).as_bytes()].into_iter());
        assert_eq!((asked.len(), fate), (count, Fate::Close));
        assert_eq!(String::from_utf8_lossy(&sent).matches("[DONE]").count(), count);
    }
}

/// A pipeline of requests with some of its bytes changed, left out or doubled.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![select(&b"\r\n :;,\0\t0aF"[..]), any::<u8>()];
    let damage = vec((any::<Index>(), byte, 0..4u8), 0..4);
    (vec(select(&REQUESTS[..]), 1..5), damage).prop_map(|(requests, damage)| {
        let mut bytes = requests.concat().into_bytes();
        for (index, byte, kind) in damage {
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.extend_from_within(at..),
            }
        }
        bytes
    })
}

/// Asserts what holds of every connection.
fn check(bytes: &[u8], cuts: &[Index]) -> Result<(), TestCaseError> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut peer = Peer::new(limits());
    let mut begin = 0;
    for end in ends {
        peer.receive(&bytes[begin..end], 0);
        let kept = limits().head + 1 - peer.connection.room().min(limits().head + 1);
        prop_assert!(kept <= limits().head && peer.connection.reserved() <= limits().body);
        begin = end;
    }
    peer.end(0);
    prop_assert_eq!(peer.connection.fate(), Fate::Close);
    let whole = outcome([bytes].into_iter());
    prop_assert_eq!((&peer.asked, &peer.sent), (&whole.0, &whole.1));
    // Each request has one answer, but those whose head is refused for its body's length.
    prop_assert!(peer.statuses().len() >= peer.asked.len());
    Ok(())
}

proptest! {
    #[test]
    fn damaged_requests_are_the_same_in_any_cut(bytes in damaged(), cuts in vec(any::<Index>(), 0..8)) {
        check(&bytes, &cuts)?;
    }

    #[test]
    fn any_bytes_are_the_same_in_any_cut(bytes in vec(any::<u8>(), 0..2000), cuts in vec(any::<Index>(), 0..8)) {
        check(&bytes, &cuts)?;
    }

    #[test]
    fn any_chunks_are_the_same_in_any_cut(body in "[0-9a-f;\r\n \\x00x]{0,200}", cuts in vec(any::<Index>(), 0..8)) {
        let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        check((head.to_owned() + &body).as_bytes(), &cuts)?;
    }

    #[test]
    fn pipelines_are_answered_in_order(paths in vec("/[a-z]{1,8}", 1..30), cuts in vec(any::<Index>(), 0..8)) {
        let requests = paths.iter().filter(|path| !["/later", "/stream", "/refused"].contains(&&path[..]));
        let text: String = requests.clone().map(|path| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
        check(text.as_bytes(), &cuts)?;
        let asked = after(text.as_bytes()).asked;
        prop_assert_eq!(asked, requests.map(|path| format!("Get {path} \"\" \"\"")).collect::<Vec<_>>());
    }
}
