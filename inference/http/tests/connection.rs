//! One connection as clients use it: which requests follow each other, what ends it, what is sent before a body.

mod common;

use common::{Peer, after, limits};
use embodios_http::{Answer, Fate, Limits, Next, TooSlow};

const HOST: &str = "Host: x\r\n";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{HOST}\r\n")
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\n{HOST}{headers}\r\n{body}")
}

#[test]
fn requests_follow_each_other() {
    let mut peer = after(get("/a").as_bytes());
    assert_eq!(
        peer.text(),
        "HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\nGet /a \"\" \"\"".replace("14", "12")
    );
    peer.receive(get("/b").as_bytes(), 0);
    peer.receive((get("/c") + &post("/d", "Content-Length: 2\r\n", "xy") + &get("/e")).as_bytes(), 0);
    let asked = [
        "Get /a \"\" \"\"",
        "Get /b \"\" \"\"",
        "Get /c \"\" \"\"",
        "Post /d \"\" \"xy\"",
        "Get /e \"\" \"\"",
    ];
    assert_eq!(peer.asked, asked);
    assert_eq!(peer.statuses(), [200; 5]);
    assert!(peer.is_open());
}

#[test]
fn a_pipelined_request_waits_for_the_answer_before_it() {
    let mut peer = after((get("/later") + &get("/b")).as_bytes());
    assert_eq!(peer.asked.len(), 1);
    peer.connection.answer(&Answer::new(200), b"first", 0);
    peer.receive(&[], 0);
    assert_eq!(peer.asked.len(), 2);
    assert!(peer.text().find("first").unwrap() < peer.text().find("Get /b").unwrap());
}

#[test]
fn old_and_closing_requests_are_the_last() {
    for request in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"] {
        let peer = after((request.to_owned() + &get("/b")).as_bytes());
        assert_eq!(peer.asked, ["Get / \"\" \"\""]);
        assert!(peer.text().contains("\r\nconnection: close\r\n"));
        assert_eq!(peer.connection.fate(), Fate::Close);
    }
}

#[test]
fn an_owner_may_make_an_answer_the_last() {
    let mut peer = after(get("/later").as_bytes());
    peer.connection.finish();
    peer.connection.answer(&Answer::new(200), b"", 0);
    assert_eq!(peer.connection.fate(), Fate::Open);
    peer.receive(&[], 0);
    assert!(peer.text().contains("connection: close"));
    assert_eq!(peer.connection.fate(), Fate::Close);
}

#[test]
fn bodies_come_whole_or_in_chunks() {
    let chunked = post("/", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nA: b\r\n\r\n");
    let peer =
        after((chunked + &post("/", "Content-Length: 5\r\n", "fghij") + &post("/", "", "")).as_bytes());
    assert_eq!(peer.asked, ["Post / \"\" \"abcde\"", "Post / \"\" \"fghij\"", "Post / \"\" \"\""]);
}

#[test]
fn a_body_has_a_limit_however_it_comes() {
    let whole = post("/", "Content-Length: 65\r\n", &"x".repeat(65));
    let huge = post("/", "Content-Length: 18446744073709551616\r\n", "x");
    let chunks = post("/", "Transfer-Encoding: chunked\r\n", &"10\r\n0123456789abcdef\r\n".repeat(5));
    for request in [&whole, &huge, &chunks] {
        let mut peer = after(request.as_bytes());
        assert_eq!(peer.statuses(), [413], "{request}");
        assert!(peer.text().contains("connection: close"));
        // It reads on for a while, so that the answer is not lost to a reset.
        assert_eq!(peer.connection.fate(), Fate::Open);
        peer.receive(get("/no").as_bytes(), 1);
        assert_eq!(peer.statuses(), [413]);
        peer.connection.expire(limits().linger_time);
        assert_eq!(peer.connection.fate(), Fate::Close);
    }
    assert_eq!(after(post("/", "Content-Length: 64\r\n", &"x".repeat(64)).as_bytes()).statuses(), [200]);
}

#[test]
fn continue_is_said_when_the_body_is_wanted() {
    let head = |path: &str, length: usize| {
        post(path, &format!("Content-Length: {length}\r\nExpect: 100-continue\r\n"), "")
    };
    let mut peer = after(head("/", 2).as_bytes());
    assert_eq!(peer.text(), "HTTP/1.1 100 Continue\r\n\r\n");
    peer.receive(b"ab", 0);
    assert_eq!(peer.statuses(), [100, 200]);
    assert!(peer.is_open());
    // A body that came with the head was not waited with.
    assert_eq!(after((head("/", 2) + "ab").as_bytes()).statuses(), [200]);
    for (request, status) in [(head("/", 65), 413), (head("/refused", 2), 401)] {
        let peer = after(request.as_bytes());
        assert_eq!(peer.statuses(), [status]);
        assert!(peer.text().contains("connection: close"));
    }
    assert_eq!(after(post("/", "Expect: magic\r\n", "").as_bytes()).statuses(), [417]);
}

#[test]
fn an_answer_before_the_body_does_not_spoil_the_next_request() {
    for (headers, body) in
        [("Content-Length: 8\r\n", "GET / HT"), ("Transfer-Encoding: chunked\r\n", "2\r\nab\r\n0\r\n\r\n")]
    {
        let peer = after((post("/refused", headers, body) + &get("/next")).as_bytes());
        assert_eq!(peer.statuses(), [401, 200]);
        assert_eq!(peer.asked[1], "Get /next \"\" \"\"");
    }
    // Not so one that is longer than any body.
    let peer = after(post("/refused", "Content-Length: 65\r\n", "").as_bytes());
    assert!(peer.text().contains("connection: close"));
}

#[test]
fn faults_end_the_connection() {
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: x\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\na: b\rc\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\na: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/3.0\r\nHost: x\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        ("\x16\x03\x01\x02", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\nab", 400),
    ] {
        let mut peer = after((request.to_owned() + &get("/next")).as_bytes());
        assert_eq!(peer.statuses(), [status], "{request:?}");
        assert!(peer.text().contains("connection: close"));
        peer.end(0);
        assert_eq!(peer.connection.fate(), Fate::Close);
    }
    let line = format!("GET /{} HTTP/1.1\r\n", "a".repeat(100));
    let head = format!("GET / HTTP/1.1\r\n{HOST}a: {}\r\n", "b".repeat(400));
    assert_eq!(after(line.as_bytes()).statuses(), [414]);
    assert_eq!(after(head.as_bytes()).statuses(), [431]);
}

#[test]
fn a_head_request_is_answered_without_the_body() {
    let peer = after(format!("HEAD / HTTP/1.1\r\n{HOST}\r\n{}", get("/b")).as_bytes());
    assert!(
        peer.text().starts_with("HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nHTTP/1.1 200 OK"),
        "{}",
        peer.text()
    );
}

#[test]
fn streams_are_chunks_of_an_event_each() {
    let peer = after((get("/stream") + &get("/b")).as_bytes());
    let stream = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
                  9\r\ndata: 1\n\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    assert!(peer.text().starts_with(&(stream.to_owned() + "HTTP/1.1 200 OK")), "{}", peer.text());
    let old = after(b"GET /stream HTTP/1.0\r\n\r\n");
    let stream = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
                  data: 1\n\ndata: [DONE]\n\n";
    assert_eq!(old.text(), stream);
    assert_eq!(old.connection.fate(), Fate::Close);
}

#[test]
fn an_end_closes_after_the_last_answer() {
    let mut peer = Peer::new(limits());
    peer.connection.receive((get("/a") + &get("/b")).as_bytes(), 0);
    peer.end(0);
    assert_eq!(peer.statuses(), [200, 200]);
    assert_eq!(peer.connection.fate(), Fate::Close);
    for part in ["GET", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na"] {
        let mut peer = after(part.as_bytes());
        peer.end(0);
        assert_eq!((peer.connection.fate(), peer.statuses()), (Fate::Close, vec![]));
    }
}

#[test]
fn what_does_not_come_in_time_is_given_up() {
    let limits = limits();
    let late = |bytes: &str, time: u64| {
        let mut peer = after(bytes.as_bytes());
        assert_eq!(peer.connection.deadline(), time, "{bytes:?}");
        peer.connection.expire(time - 1);
        assert!(peer.is_open());
        assert_eq!(peer.connection.deadline(), time);
        peer.connection.expire(time);
        peer.receive(&[], time);
        peer
    };
    assert_eq!(late("GET / HT", limits.head_time).statuses(), [408]);
    let body = post("/", "Content-Length: 9\r\n", "abc");
    assert_eq!(late(&body, limits.body_time + 3 * (1_000_000_000 / limits.body_rate)).statuses(), [408]);
    // An idle connection is closed without a word, which would be taken for the next answer.
    for bytes in ["", "\r\n", &get("/")] {
        let peer = late(bytes, limits.idle_time);
        assert_eq!(peer.connection.fate(), Fate::Close);
        assert!(!peer.statuses().contains(&408));
    }
    // A byte now and then does not extend the time for a head.
    let mut peer = Peer::new(limits);
    for second in 0..10 {
        peer.receive(b"a", second * 1_000_000_000);
    }
    assert_eq!(peer.connection.deadline(), limits.head_time);
    // Nothing is waited for while the owner works.
    assert_eq!(after(get("/later").as_bytes()).connection.deadline(), u64::MAX);
}

#[test]
fn a_peer_that_does_not_read_is_given_up() {
    let limits = Limits { output: 100, ..limits() };
    let mut peer = Peer::new(limits);
    peer.receive(get("/later").as_bytes(), 0);
    peer.connection.stream(&Answer::new(200), 5);
    let event = [b'x'; 40];
    assert_eq!(peer.connection.event(&event, 5), Ok(()));
    assert_eq!(peer.connection.event(&event, 5), Err(TooSlow));
    peer.connection.sent(10, 7);
    peer.connection.expire(limits.stall_time + 6);
    assert!(peer.is_open());
    assert_eq!(peer.connection.deadline(), limits.stall_time + 7);
    peer.connection.expire(limits.stall_time + 7);
    assert_eq!(peer.connection.fate(), Fate::Abort);
    assert_eq!(peer.connection.next(0), Next::Nothing);
}

#[test]
fn requests_wait_while_their_answers_do() {
    let limits = Limits { output: 100, ..limits() };
    let mut peer = Peer::new(limits);
    peer.connection.receive(get("/a").repeat(10).as_bytes(), 0);
    peer.serve(0);
    assert!(peer.asked.len() < 5 && peer.connection.output().len() < 200);
    assert_eq!(peer.connection.deadline(), limits.stall_time);
    peer.receive(&[], 0);
    peer.receive(&[], 0);
    peer.receive(&[], 0);
    peer.receive(&[], 0);
    peer.receive(&[], 0);
    assert_eq!(peer.asked.len(), 10);
}

#[test]
fn events_outside_a_stream_are_not_sent() {
    let mut peer = after(get("/a").as_bytes());
    peer.connection.event(b"x", 0).unwrap();
    peer.connection.end_stream(0);
    peer.connection.answer(&Answer::new(200), b"x", 0);
    peer.connection.stream(&Answer::new(200), 0);
    assert_eq!(peer.connection.output(), b"");
}
