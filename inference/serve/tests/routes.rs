//! What each path answers, to whom, with which headers.

mod common;

use common::{Rig, completion, event_json, get, post, with_keys};
use embodios_serve::{Figures, Page, Settings};

fn rig() -> Rig {
    Rig::new(Settings::default(), 4)
}

#[test]
fn paths_answer() {
    let mut rig = rig();
    for path in ["/health", "/v1/health"] {
        let health = rig.ask(&get(path, ""));
        assert_eq!((health.status, health.text().as_str()), (200, r#"{"status":"ok"}"#));
    }
    for path in ["/v1/models", "/models", "/v1/models/story", "/props", "/version"] {
        let answer = rig.ask(&get(path, ""));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{path}");
        answer.json();
    }
    assert_eq!(rig.ask(&get("/v1/models/other", "")).status, 404);
}

#[test]
fn the_page_comes_with_a_policy() {
    let mut rig = Rig::new(with_keys(&["secret"]), 4);
    let page = rig.ask(&get("/", ""));
    assert_eq!((page.status, page.body.as_slice()), (200, Page::CHAT.html));
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", Page::CHAT.policy),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(page.header(name), Some(value));
    }
    let client = rig.connect(&get("/", "").replace("GET", "HEAD"));
    rig.run();
    let head = String::from_utf8(rig.client(client).received.clone()).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.contains(&format!("content-length: {}\r\n", Page::CHAT.html.len())), "{head}");
    let mut without = Rig::new(Settings { page: None, ..Settings::default() }, 4);
    assert_eq!(without.ask(&get("/", "")).error(), "not_found_error");
}

#[test]
fn what_is_not_there_is_said_in_json() {
    let mut rig = rig();
    let missing = rig.ask(&get("/v1/nothing", ""));
    assert_eq!((missing.status, missing.error().as_str()), (404, "not_found_error"));
    for path in ["/v1/chat/completions", "/v1/completions", "/tokenize", "/v1/embeddings", "/admin/drain"] {
        let answer = rig.ask(&get(path, ""));
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST, OPTIONS")), "{path}");
        assert_eq!(answer.error(), "invalid_request_error");
    }
    let answer = rig.ask(&post("/health", "", "{}"));
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
    assert_eq!(rig.ask("PUT /health HTTP/1.1\r\nHost: x\r\n\r\n").status, 405);
    let fault = rig.ask("GET / HTTP/1.1\r\n\r\n");
    assert_eq!((fault.status, fault.error().as_str()), (400, "invalid_request_error"));
    assert_eq!(rig.ask(&post("/v1/completions", "", "{")).error(), "invalid_request_error");
    let large = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n";
    assert_eq!(rig.ask(large).status, 413);
}

#[test]
fn what_is_never_done_is_not_to_be_asked_again() {
    let answer = rig().ask(&post("/v1/embeddings", "", r#"{"input": "a"}"#));
    assert_eq!((answer.status, answer.error().as_str()), (501, "not_supported_error"));
    assert_eq!(answer.header("x-should-retry"), Some("false"));
}

#[test]
fn keys_are_asked_for() {
    let mut rig = Rig::new(with_keys(&["secret", "other"]), 4);
    for headers in
        ["", "Authorization: Bearer wrong\r\n", "Authorization: secret\r\n", "X-Api-Key: secre\r\n"]
    {
        for request in [get("/v1/models", headers), get("/nothing", headers), get("/metrics", headers)] {
            let answer = rig.ask(&request);
            assert_eq!((answer.status, answer.error().as_str()), (401, "authentication_error"));
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        assert_eq!(rig.ask(&post("/v1/completions", headers, "{}")).status, 401);
    }
    for headers in
        ["Authorization: Bearer secret\r\n", "authorization: bearer other\r\n", "X-Api-Key: other\r\n"]
    {
        assert_eq!(rig.ask(&get("/v1/models", headers)).status, 200, "{headers}");
    }
    assert_eq!(rig.ask(&get("/health", "")).status, 200);
    assert_eq!(rig.ask("OPTIONS /v1/models HTTP/1.1\r\nHost: x\r\n\r\n").status, 204);
    // A refused body does not spoil the next request of the connection.
    let client = rig.connect(&(post("/v1/completions", "", "{}") + &get("/health", "")));
    rig.run();
    assert_eq!(rig.answers(client).iter().map(|answer| answer.status).collect::<Vec<_>>(), [401, 200]);
}

#[test]
fn browsers_may_ask() {
    let mut rig = rig();
    let asks = "Origin: http://page\r\nAccess-Control-Request-Headers: authorization,x-a\r\n";
    let preflight = rig.ask(&get("/v1/chat/completions", asks).replace("GET", "OPTIONS"));
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("http://page"));
    assert_eq!(preflight.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("authorization,x-a"));
    assert_eq!(preflight.header("access-control-allow-methods"), Some("GET, HEAD, POST, OPTIONS"));
    let plain = rig.ask(&get("/v1/chat/completions", "Origin: http://page\r\n").replace("GET", "OPTIONS"));
    assert_eq!(plain.header("access-control-allow-headers"), Some("*"));
    assert_eq!(rig.ask(&get("/health", "Origin: http://page\r\n")).header("vary"), Some("origin"));
    assert_eq!(rig.ask(&get("/health", "")).header("access-control-allow-origin"), None);
    let known = Settings { origins: Some(vec!["http://known".into()]), ..Settings::default() };
    let mut rig = Rig::new(known, 4);
    let origin = |rig: &mut Rig, origin: &str| {
        let answer = rig.ask(&get("/health", &format!("Origin: {origin}\r\n")));
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    assert_eq!(origin(&mut rig, "http://known").as_deref(), Some("http://known"));
    assert_eq!(origin(&mut rig, "http://page"), None);
}

#[test]
fn requests_have_ids() {
    let mut rig = rig();
    let mut id = |headers: &str| rig.ask(&get("/health", headers)).header("x-request-id").unwrap().to_owned();
    assert_eq!(id("X-Request-Id: mine 1\r\n"), "mine 1");
    let fresh = [
        id(""),
        id(""),
        id("X-Request-Id: \r\n"),
        id("X-Request-Id: caf\u{e9}\r\n"),
        id(&format!("X-Request-Id: {}\r\n", "a".repeat(129))),
    ];
    for (index, id) in fresh.iter().enumerate() {
        assert!(id.starts_with("req-") && !fresh[..index].contains(id), "{fresh:?}");
    }
    assert!(rig.ask("x\r\n\r\n").header("x-request-id").is_some());
}

#[test]
fn dates_are_given_where_they_are_known() {
    let mut rig = rig();
    assert_eq!(rig.ask(&get("/health", "")).header("date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    rig.clock.unix = None;
    assert_eq!(rig.ask(&get("/health", "")).header("date"), None);
}

#[test]
fn unknown_fields_are_named() {
    let body = r#"{"prompt": "a", "max_tokens": 1, "odd": 1}"#;
    assert_eq!(rig().ask(&post("/v1/completions", "", body)).header("x-embodios-ignored"), Some("odd"));
    let body = r#"{"prompt": "a", "max_tokens": 1, "odd": 1, "stream": true}"#;
    assert_eq!(rig().ask(&post("/v1/completions", "", body)).header("x-embodios-ignored"), Some("odd"));
}

#[test]
fn a_server_without_a_model_says_so() {
    let mut rig = Rig::loading(Settings::default(), 4);
    let loading = |rig: &mut Rig, request: &str| {
        let answer = rig.ask(request);
        (answer.status, answer.json()["error"]["message"].clone(), answer.header("retry-after").is_some())
    };
    let health = rig.ask(&get("/health", ""));
    assert_eq!(health.status, 503);
    assert_eq!(
        health.text(),
        r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#
    );
    for request in [completion(1, false), get("/v1/models", ""), post("/tokenize", "", "{}")] {
        assert_eq!(loading(&mut rig, &request), (503, "Loading model".into(), true), "{request}");
    }
    let client = rig.connect(&get("/metrics", ""));
    rig.server.poll(&mut rig.network, rig.clock);
    assert!(rig.server.wants_figures());
    rig.server.figures(Figures::default());
    rig.server.poll(&mut rig.network, rig.clock);
    assert_eq!(rig.answers(client)[0].status, 200);
    rig.server.set_ready(Some(common::served()));
    assert_eq!(rig.ask(&get("/health", "")).status, 200);
    assert_eq!(rig.ask(&completion(1, false)).status, 200);
}

#[test]
fn the_page_gets_figures_while_it_looks() {
    let mut rig = rig();
    assert!(!rig.server.wants_figures());
    let client = rig.connect(&get("/events", ""));
    rig.run();
    rig.pass(1);
    rig.pass(1);
    let events = rig.answers(client).remove(0);
    assert_eq!(events.header("content-type"), Some("text/event-stream"));
    assert_eq!(events.chunks.len(), 3);
    let event = event_json(&events.chunks[2]);
    assert_eq!(
        (&event["model"], &event["connections"], &event["restarts"]),
        (&"story".into(), &1.into(), &2.into())
    );
    assert_eq!(event["cores"].as_array().unwrap().len(), 1);
    assert!(event["step"].is_null() && event["jobs"].as_array().unwrap().is_empty());
    rig.client(client).has_ended = true;
    rig.run();
    assert!(rig.client(client).is_closed && rig.server.deadline() == u64::MAX);
    assert_eq!(rig.ask(&get("/events", "").replace("GET", "HEAD")).status, 204);
}

#[test]
fn the_page_sees_each_request_and_the_times_of_steps() {
    let mut rig = rig();
    let busy = rig.connect(&completion(200, true));
    rig.turns(8);
    let client = rig.connect(&get("/events", ""));
    rig.turns(2);
    let event = event_json(&rig.answers(client)[0].chunks[0]);
    let [job] = event["jobs"].as_array().unwrap().as_slice() else { panic!("{event}") };
    assert!(job["prompt"].as_u64() > Some(2) && job["made"].as_u64() > Some(2), "{event}");
    assert_eq!(event["step"]["count"], event["step_count"]);
    let time = |name: &str| event["step"][name].as_f64().unwrap();
    assert!(0.0 < time("p50") && time("p50") <= time("p99") && time("p99") <= time("max"), "{event}");
    rig.run();
    assert!(rig.answers(busy)[0].is_whole);
}

#[test]
fn what_is_idle_makes_room() {
    let mut rig = Rig::new(Settings { connections: 2, ..Settings::default() }, 4);
    let busy = rig.connect(&completion(200, true));
    let idle = rig.connect(&get("/health", ""));
    rig.turns(4);
    let third = rig.connect(&get("/health", ""));
    rig.turn();
    rig.turn();
    assert!(rig.client(idle).is_closed && !rig.client(busy).is_closed);
    assert_eq!(rig.answers(third).len(), 1);
    rig.run();
    assert!(rig.answers(busy)[0].is_whole);
}

#[test]
fn who_has_just_come_is_read_before_it_makes_room() {
    let mut rig = Rig::new(Settings { connections: 1, ..Settings::default() }, 4);
    let all: Vec<usize> = (0..5).map(|_| rig.connect(&get("/health", ""))).collect();
    rig.turns(12);
    assert!(all.into_iter().all(|client| rig.answers(client).len() == 1));
    // Who says nothing has a while, in which others wait.
    let silent = rig.network.connect();
    rig.turns(3);
    let other = rig.connect(&get("/health", ""));
    rig.run();
    assert!(!rig.client(silent).is_closed && rig.answers(other).is_empty());
    rig.pass(3);
    assert!(rig.client(silent).is_closed && rig.answers(other).len() == 1);
}

#[test]
fn bodies_on_their_way_are_bounded() {
    let mut rig = Rig::new(Settings { bodies: 1000, ..Settings::default() }, 4);
    let head = "POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Length: 600\r\n\r\n";
    let first = rig.connect(head);
    rig.run();
    let second = rig.ask(head);
    assert_eq!((second.status, second.header("retry-after")), (503, Some("1")));
    rig.network.send(first, &[b' '; 600]);
    rig.run();
    assert_ne!(rig.answers(first)[0].status, 503);
    let third = rig.connect(head);
    rig.run();
    assert_eq!(rig.answers(third).len(), 0);
}
