//! Many requests, and clients that go away, do not read, or come too late.

mod common;

use common::{Rig, completion, get, post, with_keys};
use embodios_http::Limits;
use embodios_serve::Settings;

fn statuses(rig: &Rig, client: usize) -> Vec<u16> {
    rig.answers(client).iter().map(|answer| answer.status).collect()
}

/// Asserts that no job is left, and no KV block.
fn assert_free(rig: &mut Rig) {
    assert_eq!((rig.batch.lengths(), rig.batch.blocks().used()), ((0, 0), 0));
    assert!(rig.server.is_idle());
}

#[test]
fn streams_side_by_side_are_each_whole() {
    let mut rig = Rig::new(Settings::default(), 3);
    let clients: Vec<usize> = (0..8).map(|index| rig.connect(&completion(5 + index, true))).collect();
    rig.run();
    for (index, &client) in clients.iter().enumerate() {
        let answer = rig.answers(client).remove(0);
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-cache"),
            ("x-accel-buffering", "no"),
        ] {
            assert_eq!(answer.header(name), Some(value));
        }
        let events = answer.events();
        assert!(events.iter().all(|event| event["id"] == events[0]["id"]));
        let texts = events.iter().filter(|event| event["choices"][0]["finish_reason"].is_null()).count();
        assert_eq!(texts, 5 + index);
        assert!(!rig.client(client).is_closed);
    }
    assert_free(&mut rig);
}

#[test]
fn a_stream_says_what_a_whole_answer_says() {
    let mut rig = Rig::new(Settings::default(), 3);
    let whole = rig.ask(&completion(20, false)).json()["choices"][0]["text"].as_str().unwrap().to_owned();
    let events = rig.ask(&completion(20, true)).events();
    let text: String = events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    assert_eq!(text, whole);
    assert!(!whole.is_empty());
}

#[test]
fn a_connection_lives_on_after_a_stream() {
    let mut rig = Rig::new(Settings::default(), 3);
    let client = rig.connect(&(completion(3, true) + &completion(3, false) + &get("/health", "")));
    rig.run();
    assert_eq!(statuses(&rig, client), [200; 3]);
    rig.network.send(client, completion(2, true).as_bytes());
    rig.run();
    assert_eq!(statuses(&rig, client), [200; 4]);
}

#[test]
fn choices_are_jobs_of_one_call() {
    let mut rig = Rig::new(Settings::default(), 2);
    let body = r#"{"prompt": "Once", "max_tokens": 4, "n": 3}"#;
    let choices = rig.ask(&post("/v1/completions", "", body)).json()["choices"].clone();
    assert_eq!(choices.as_array().unwrap().len(), 3);
    let body = r#"{"prompt": "Once", "max_tokens": 4, "n": 3, "stream": true}"#;
    let client = rig.connect(&post("/v1/completions", "", body));
    rig.turn();
    rig.client(client).is_reset = true;
    rig.run();
    assert_free(&mut rig);
}

#[test]
fn the_queue_is_bounded() {
    let mut rig = Rig::new(Settings { waiting: 2, ..Settings::default() }, 1);
    let first = rig.connect(&completion(100, false));
    rig.turn();
    rig.turn();
    let waiting: Vec<usize> = (0..2).map(|_| rig.connect(&completion(1, false))).collect();
    rig.turn();
    let over = rig.connect(&completion(1, false));
    rig.turn();
    rig.turn();
    let answer = rig.answers(over).remove(0);
    assert_eq!((answer.status, answer.error().as_str()), (429, "rate_limit_error"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    rig.run();
    for client in waiting.into_iter().chain([first]) {
        assert_eq!(statuses(&rig, client), [200]);
    }
    assert_free(&mut rig);
}

/// Turns until a client's request is at a place, and has it go away there.
fn goes_away(stream: bool, turns: usize, end: bool) -> (usize, bool) {
    let mut rig = Rig::new(Settings::default(), 1);
    let other = rig.connect(&completion(30, true));
    let client = rig.connect(&completion(200, stream));
    rig.turns(turns);
    match end {
        true => rig.client(client).has_ended = true,
        false => rig.client(client).is_reset = true,
    }
    rig.turn();
    let left = rig.batch.lengths();
    rig.run();
    // Nobody else's answer is touched.
    assert_eq!(rig.answers(other).remove(0).events().len(), 31);
    assert_free(&mut rig);
    assert_eq!(rig.metric("vllm:request_success_total{model_name=\"story\",finished_reason=\"abort\"}"), 1.0);
    (left.0 + left.1, rig.client(client).is_aborted)
}

#[test]
fn a_client_that_goes_away_ends_its_request() {
    for stream in [false, true] {
        for end in [false, true] {
            // While it waits behind the other, and while tokens are made of it.
            assert_eq!(goes_away(stream, 1, end), (1, true), "{stream} {end}");
            assert_eq!(goes_away(stream, 20, end), (1, true), "{stream} {end}");
            assert_eq!(goes_away(stream, 50, end), (0, true), "{stream} {end}");
        }
    }
}

#[test]
fn a_client_that_goes_away_while_its_prompt_passes_ends_its_request() {
    let mut rig = Rig::new(Settings::default(), 1);
    let body = format!(r#"{{"prompt": "{}", "max_tokens": 9}}"#, "word ".repeat(60));
    let client = rig.connect(&post("/v1/completions", "", &body));
    rig.turn();
    rig.client(client).has_ended = true;
    rig.turn();
    assert_free(&mut rig);
    assert_eq!(rig.metric("vllm:generation_tokens_total"), 0.0);
}

#[test]
fn a_client_that_leaves_after_the_end_is_no_loss() {
    let mut rig = Rig::new(Settings::default(), 1);
    let client = rig.connect(&completion(3, true));
    rig.run();
    rig.client(client).has_ended = true;
    rig.run();
    assert!(rig.client(client).is_closed && !rig.client(client).is_aborted);
    assert_eq!(
        rig.metric("vllm:request_success_total{model_name=\"story\",finished_reason=\"length\"}"),
        1.0
    );
    // One that has sent all still gets what needs no work.
    let client = rig.connect(&(get("/health", "") + &get("/metrics", "")));
    rig.client(client).has_ended = true;
    rig.run();
    assert_eq!(statuses(&rig, client), [200, 200]);
    assert!(rig.client(client).is_closed && !rig.client(client).is_aborted);
}

#[test]
fn a_client_that_does_not_read_slows_itself_only() {
    let http = Limits { output: 2000, ..Limits::default() };
    let mut rig = Rig::new(Settings { http, ..Settings::default() }, 2);
    let slow = rig.connect(&completion(200, true));
    rig.client(slow).window = 500;
    let other = rig.connect(&completion(100, true));
    rig.run();
    assert!(rig.client(slow).is_aborted);
    assert_eq!(rig.answers(other).remove(0).events().len(), 101);
    assert_free(&mut rig);
    // One that never reads its whole answer is not kept for ever.
    let slow = rig.connect(&get("/metrics", ""));
    rig.client(slow).window = 500;
    rig.run();
    rig.pass(59);
    assert!(!rig.client(slow).is_closed);
    rig.pass(1);
    assert!(rig.client(slow).is_aborted);
}

#[test]
fn slow_and_idle_connections_are_given_up() {
    let mut rig = Rig::new(Settings::default(), 1);
    let slow = rig.connect("GET /health HT");
    let idle = rig.connect(&get("/health", ""));
    rig.run();
    rig.pass(9);
    rig.network.send(slow, b"T");
    rig.run();
    assert!(!rig.client(slow).is_closed);
    rig.pass(2);
    assert_eq!(statuses(&rig, slow), [408]);
    rig.pass(60);
    assert!(rig.client(slow).is_closed && !rig.client(idle).is_closed);
    rig.pass(10);
    assert!(rig.client(idle).is_closed);
    assert_eq!(rig.server.deadline(), u64::MAX);
}

#[test]
fn a_long_silence_is_broken() {
    let mut rig = Rig::new(Settings { ping: 10_000_000_000, ..Settings::default() }, 1);
    let first = rig.connect(&completion(30, true));
    let second = rig.connect(&completion(3, true));
    rig.turns(5);
    rig.clock.now += 10_000_000_000;
    rig.run();
    let is_ping = |chunk: &&String| chunk.as_str() == ": ping\n\n";
    let pings = |rig: &Rig, client| rig.answers(client)[0].chunks.iter().filter(is_ping).count();
    assert_eq!((pings(&rig, first), pings(&rig, second)), (1, 1));
}

#[test]
fn a_prompt_that_is_too_long_is_an_error() {
    let mut rig = Rig::new(Settings::default(), 1);
    let body = format!(r#"{{"prompt": "{}", "stream": true}}"#, "word ".repeat(600));
    let answer = rig.ask(&post("/v1/completions", "", &body));
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &"context_length_exceeded".into()));
    assert_free(&mut rig);
}

#[test]
fn a_server_that_drains_ends_what_runs() {
    let mut rig = Rig::new(with_keys(&["k"]), 1);
    let key = |request: String| request.replacen("Host: x\r\n", "Host: x\r\nX-Api-Key: k\r\n", 1);
    let running = rig.connect(&key(completion(20, true)));
    let waiting = rig.connect(&key(completion(5, false)));
    rig.turns(4);
    let drain = rig.connect(&key(post("/admin/drain", "", "")));
    rig.turn();
    let late = rig.connect(&key(completion(5, false)));
    let health = rig.connect(&get("/health", ""));
    rig.turn();
    assert!(rig.server.is_draining() && !rig.server.is_idle());
    assert_eq!(statuses(&rig, health), [503]);
    rig.network.is_cut = true;
    rig.run();
    assert!([running, waiting, drain, late, health].iter().all(|&client| rig.client(client).is_closed));
    assert!(!rig.server.is_drained(&rig.network), "the last answers are on their way");
    rig.network.is_cut = false;
    assert!(rig.server.is_drained(&rig.network));
    assert_eq!((statuses(&rig, drain), statuses(&rig, late)), (vec![200], vec![503]));
    assert_eq!(rig.answers(late)[0].header("connection"), Some("close"));
    assert_eq!(rig.answers(running).remove(0).events().len(), 21);
    assert_eq!(statuses(&rig, waiting), [200]);
    assert_free(&mut rig);
    // Without keys, nobody may.
    let mut open = Rig::new(Settings::default(), 1);
    assert_eq!(open.ask(&post("/admin/drain", "", "")).error(), "permission_error");
    open.server.drain();
    assert_eq!(open.ask(&get("/health", "")).status, 503);
}

#[test]
fn a_model_that_goes_away_ends_its_calls() {
    let mut rig = Rig::new(Settings::default(), 2);
    let stream = rig.connect(&completion(50, true));
    let whole = rig.connect(&completion(50, false));
    rig.turns(10);
    rig.server.set_ready(None);
    rig.run();
    assert_eq!(statuses(&rig, whole), [503]);
    let stream = rig.answers(stream).remove(0);
    assert!(stream.is_whole && stream.chunks.last().unwrap().contains("Loading model"));
    assert_free(&mut rig);
}
