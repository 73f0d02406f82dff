//! Clients that send anything, in any order, and go away at any time: the server comes to rest, and nothing is left.

mod common;

use common::{Rig, completion, get, post};
use embodios_http::Limits;
use embodios_serve::Settings;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn requests() -> Vec<String> {
    vec![
        completion(3, true),
        completion(9, false),
        post("/v1/completions", "", r#"{"prompt": "Once", "max_tokens": 2, "n": 3, "stream": true}"#),
        post(
            "/v1/chat/completions",
            "",
            r#"{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}"#,
        ),
        post("/tokenize", "Expect: 100-continue\r\n", r#"{"content": "Once upon"}"#),
        get("/events", ""),
        get("/metrics", ""),
        get("/health", "Connection: close\r\n"),
        "POST /v1/responses HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
            .into(),
    ]
}

/// What a client does, or the server.
#[derive(Clone, Debug)]
enum Act {
    Connect,
    Send(Index, Vec<u8>),
    /// A request with one byte changed.
    Damaged(Index, String, Index, u8),
    End(Index),
    Reset(Index),
    Narrow(Index, usize),
    Turn(usize),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let client = any::<Index>;
    prop_oneof![
        2 => Just(Act::Connect),
        4 => (client(), select(requests())).prop_map(|(at, text)| Act::Send(at, text.into_bytes())),
        1 => (client(), vec(any::<u8>(), 0..40)).prop_map(|(at, bytes)| Act::Send(at, bytes)),
        2 => (client(), select(requests()), any::<Index>(), any::<u8>())
            .prop_map(|(at, text, place, byte)| Act::Damaged(at, text, place, byte)),
        1 => client().prop_map(Act::End),
        1 => client().prop_map(Act::Reset),
        1 => (client(), 0..2000usize).prop_map(|(at, window)| Act::Narrow(at, window)),
        4 => (1..9usize).prop_map(Act::Turn),
        1 => (0..80u64).prop_map(Act::Pass),
    ]
}

fn obey(rig: &mut Rig, act: Act) {
    let count = rig.network.clients.len();
    // A closed connection is nobody's.
    let open = |rig: &Rig, at: Index| {
        let at = (count > 0).then(|| at.index(count))?;
        (!rig.network.clients[at].is_closed).then_some(at)
    };
    match act {
        Act::Connect => {
            rig.network.connect();
        }
        Act::Send(at, bytes) => {
            if let Some(at) = open(rig, at) {
                rig.network.send(at, &bytes);
            }
        }
        Act::Damaged(at, text, place, byte) => {
            if let Some(at) = open(rig, at) {
                let mut bytes = text.into_bytes();
                let place = place.index(bytes.len());
                bytes[place] = byte;
                rig.network.send(at, &bytes);
            }
        }
        Act::End(at) => {
            if let Some(at) = open(rig, at) {
                rig.client(at).has_ended = true;
            }
        }
        Act::Reset(at) => {
            if let Some(at) = open(rig, at) {
                rig.client(at).is_reset = true;
            }
        }
        Act::Narrow(at, window) => {
            if let Some(at) = open(rig, at) {
                let client = rig.client(at);
                client.window = client.received.len() + window;
            }
        }
        Act::Turn(count) => rig.turns(count),
        Act::Pass(seconds) => rig.clock.now += seconds * 1_000_000_000,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_clients_do_leaves_nothing_behind(acts in vec(act(), 0..60)) {
        let http = Limits { output: 4000, ..Limits::default() };
        let settings = Settings { http, waiting: 3, connections: 5, ..Settings::default() };
        let mut rig = Rig::new(settings, 2);
        for act in acts {
            obey(&mut rig, act);
        }
        rig.run();
        for client in &mut rig.network.clients {
            client.has_ended = true;
        }
        // Who does not read is given up in time.
        for _ in 0..4 {
            rig.pass(80);
        }
        prop_assert!(rig.network.clients.iter().all(|client| client.is_closed));
        prop_assert!(rig.server.is_idle());
        prop_assert_eq!((rig.batch.lengths(), rig.batch.blocks().used()), ((0, 0), 0));
        prop_assert_eq!(rig.server.deadline(), u64::MAX);
    }
}
