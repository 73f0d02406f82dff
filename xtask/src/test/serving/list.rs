//! The list of what clients expect of a server of the OpenAI API, and how each item is shown.

use anyhow::Result;

use super::server::Server;
use super::{connection, errors, keys, load, semantics, side, stream};

/// A check in a guest.
pub type Check = fn(&Server) -> Result<()>;

/// How an item is shown.
#[derive(Clone, Copy)]
pub enum Shown {
    /// In a guest that anybody may use.
    Open(Check),
    /// In a guest with keys.
    Keys(Check),
    /// By the check of the item before it, which shows several at once.
    With(u8),
    /// On the host only, where time and memory are the test's own.
    Host,
    /// It is not served: in a guest, that it is refused by name.
    Refused(Check),
}

/// An item.
pub struct Item {
    /// Its number.
    pub number: u8,
    /// What holds.
    pub what: &'static str,
    /// How it is shown.
    pub shown: Shown,
    /// Tests on the host that show it too, or the rest of it: `FILE::TEST`, within `inference`.
    pub tests: &'static [&'static str],
    /// What was decided, or is missing.
    pub remark: &'static str,
}

/// Groups by the numbers of their first items.
pub const GROUPS: [(u8, &str); 7] = [
    (1, "Connection and HTTP"),
    (16, "Errors"),
    (27, "Load"),
    (37, "Meaning of requests"),
    (49, "Streams"),
    (56, "Tools and structure"),
    (61, "Beside calls"),
];

const fn item(number: u8, what: &'static str, shown: Shown) -> Item {
    Item { number, what, shown, tests: &[], remark: "" }
}

impl Item {
    const fn by(self, tests: &'static [&'static str]) -> Self {
        Self { tests, ..self }
    }

    const fn but(self, remark: &'static str) -> Self {
        Self { remark, ..self }
    }
}

use Shown::{Host, Keys, Open, Refused, With};

/// All items, in order.
pub const ITEMS: [Item; 62] = [
    item(1, "A request cut at any byte is read the same", Open(connection::cuts))
        .by(&["http/tests/cuts.rs::a_request_is_the_same_cut_anywhere"]),
    item(2, "Keep-alive, pipelining in order, `Connection: close`, HTTP/1.0", Open(connection::keep_alive)),
    item(3, "Bodies by `Content-Length` and in chunks", Open(connection::bodies)),
    item(
        4,
        "The limit of bodies counts received bytes; chunk extensions are bounded; 413",
        Open(connection::body_limit),
    )
    .but("1 MiB; 4 KiB of extensions"),
    item(5, "`100-continue` only for a body that is taken", Open(connection::expectation))
        .but("another expectation: 417"),
    item(
        6,
        "Two lengths, a bare CR, a blank before the colon: 400, and the connection ends",
        Open(connection::framing),
    )
    .by(&["http/src/framing.rs::extents_are_read"]),
    item(7, "Headers over the limit: 431", Open(connection::header_limit)).but("16 KiB, 64 headers"),
    item(8, "Slow heads are given up, idle connections kept", Open(connection::slow))
        .but("10 s for a head, 75 s idle")
        .by(&["serve/tests/load.rs::slow_and_idle_connections_are_given_up"]),
    item(9, "Streams: type, caching, chunks, the end", Open(connection::stream_head)),
    item(10, "An event is one chunk of one line `data: `, sent at once", Open(connection::events))
        .by(&["net/tests/segments.rs::an_event_leaves_at_once_in_a_segment_of_its_own"]),
    item(11, "No comments in a stream, but after a long silence", Open(connection::comments))
        .but("after 50 s")
        .by(&["serve/tests/load.rs::a_long_silence_is_broken"]),
    item(12, "405 with `Allow`, 404 with the error object", Open(connection::methods)),
    item(13, "Preflights need no key", Keys(connection::preflight))
        .by(&["serve/tests/routes.rs::browsers_may_ask"]),
    item(
        14,
        "A connection that ends or is reset is forgotten; one whose peer is gone is found",
        Open(connection::ends),
    )
    .by(&["net/tests/connections.rs::a_peer_that_is_gone_is_noticed_idle_or_not"]),
    item(15, "More connections than there is room for are served, and none is reset", Open(connection::many))
        .but("idle ones make room")
        .by(&["net/tests/connections.rs::a_thousand_at_once_are_all_served_in_the_end_and_none_is_reset"]),
    item(16, "No JSON, no UTF-8, empty, no object: 400 with the place", Open(errors::bodies)),
    item(17, "Messages that are none: 400 with the place", Open(errors::messages)),
    item(
        18,
        "Lone surrogates, zeros, deep nesting, numbers too large, doubled keys",
        Open(errors::strange_json),
    )
    .but("all but the zero: 400")
    .by(&["api/tests/errors.rs::the_bodies_are_taken_as_they_are"]),
    item(19, "Unknown fields are no error", Open(errors::unknown_fields))
        .but("`x-embodios-ignored` names them"),
    item(20, "`null` is nothing", Open(errors::nulls)),
    item(
        21,
        "A prompt longer than the context: `context_length_exceeded` with both numbers",
        Open(errors::long_prompt),
    )
    .but("never cut"),
    item(22, "An answer longer than the context ends by `length`", Open(errors::long_answer)),
    item(23, "An error within a stream is its last event", Host).but("no request makes a guest fail").by(&[
        "serve/tests/load.rs::a_model_that_goes_away_ends_its_calls",
        "api/tests/side.rs::a_choice_that_fails_ends_the_call",
    ]),
    item(24, "A missing or wrong key: 401, and the connection lives on", Keys(keys::keys))
        .by(&["serve/src/access.rs::keys_are_equal_as_a_whole"]),
    item(25, "Another model: 404 `model_not_found`", Open(errors::models))
        .but("its own name, `default` or none"),
    item(26, "Each answer has a fresh `x-request-id`, or the request's", Open(errors::ids)),
    item(27, "A full queue: 429 with `Retry-After`", Open(load::queue))
        .but("256 wait")
        .by(&["serve/tests/load.rs::the_queue_is_bounded"]),
    item(28, "Who waits and goes away disturbs nobody", Open(load::gone_while_waiting))
        .by(&["serve/tests/load.rs::a_client_that_goes_away_ends_its_request"]),
    item(29, "Gone while streaming: it stops, its memory is free", Open(load::gone_while_streaming)),
    item(30, "Gone while the prompt is computed: it stops", Open(load::gone_in_prompt))
        .by(&["serve/tests/load.rs::a_client_that_goes_away_while_its_prompt_passes_ends_its_request"]),
    item(31, "Gone without a stream: it stops", Open(load::gone_without_stream))
        .but("who ends its side is gone"),
    item(32, "Gone while waiting: never started", With(27))
        .by(&["serve/src/jobs.rs::a_job_that_was_not_taken_is_never_the_batchs"]),
    item(
        33,
        "Who does not read slows itself only, and is ended after a bounded buffer",
        Open(load::slow_reader),
    )
    .but("256 KiB")
    .by(&["serve/tests/load.rs::a_client_that_does_not_read_slows_itself_only"]),
    item(34, "Eight streams at once, each in order and whole", Open(load::side_by_side))
        .by(&["serve/tests/load.rs::streams_side_by_side_are_each_whole"]),
    item(35, "Before the model is loaded: 503, or nothing yet", Open(load::ready))
        .but("a guest's network opens with the model loaded")
        .by(&["serve/tests/routes.rs::a_server_without_a_model_says_so"]),
    item(36, "Drain: 503, what runs is finished, then the machine is off", Keys(keys::drain))
        .but("`POST /admin/drain`, `poweroff`")
        .by(&["serve/tests/load.rs::a_server_that_drains_ends_what_runs"]),
    item(37, "Contents: text, parts, empty, `null`, missing", Open(semantics::contents))
        .but("not beside calls of tools: see 56"),
    item(38, "Roles system, developer, user, assistant; an empty system message", Open(semantics::roles))
        .but("no role tool: see 56"),
    item(
        39,
        "`max_completion_tokens` before `max_tokens`; none: to the end of the context",
        Open(semantics::limits),
    )
    .but("completions: 16"),
    item(40, "`stop`: a text or a list, never part of the answer", Open(semantics::stops)).but("16 texts"),
    item(
        41,
        "A stop text over several tokens; what only begins like one is released",
        Open(semantics::stops_over_tokens),
    ),
    item(
        42,
        "Temperature, top-p, top-k, min-p, penalties, bias act; out of range: 400",
        Open(semantics::sampling),
    )
    .by(&["api/tests/chat.rs::sampling_acts"]),
    item(
        43,
        "A seed gives the same bytes and bits, alone, among others, in a stream, on any machine",
        Open(semantics::seed),
    )
    .but("`logits_hash` shows it")
    .by(&["api/tests/chat.rs::a_seed_gives_the_same_answer_alone_and_among_others"]),
    item(44, "`system_fingerprint` is that of model and build", Open(semantics::fingerprint)),
    item(45, "`n`: choices by index, one prompt counted", Open(semantics::choices)).but("up to 16"),
    item(46, "Prompts: text, token ids, lists of either; `echo`; `suffix`: 400", Open(semantics::prompts)),
    item(
        47,
        "Log-probabilities 0 to 20, in both forms, in a stream or not",
        Open(semantics::log_probabilities),
    ),
    item(48, "A last turn of the assistant goes on", Open(semantics::prefill))
        .but("`continue_final_message: false` begins one")
        .by(&["api/tests/errors.rs::a_turn_of_the_assistant_goes_on"]),
    item(49, "The first chunk has the role, no later one", Open(stream::first)),
    item(50, "One chunk with a reason: `stop`, `length`", Open(stream::reasons)),
    item(51, "Counts only where asked for, behind the end, with no choices", Open(stream::usage)),
    item(52, "`continuous_usage_stats`: counts in every chunk", Open(stream::continuous_usage)),
    item(53, "No character is cut; the chunks are the answer, byte for byte", Open(stream::characters))
        .by(&["api/tests/completions.rs::characters_are_never_cut"]),
    item(54, "A chunk a token, none empty", Open(stream::chunk_a_token)),
    item(55, "`[DONE]` last; the connection lives on", Open(stream::goes_on)),
    item(56, "Tools", Refused(side::no_tools)),
    item(57, "`response_format`", Refused(side::no_format)).but("but `text`"),
    item(58, "A schema that is not kept to is an error, no free text", Refused(side::no_schema))
        .but("every schema and grammar"),
    item(59, "Kinds of schemas", Refused(side::no_schemas)),
    item(60, "Constrained answers come to their end", Refused(side::no_constraint)),
    item(61, "Tokens of texts and back", Open(side::texts))
        .but("embeddings: 501, no model here makes any")
        .by(&["api/tests/side.rs::tokens_and_back"]),
    item(62, "`/metrics` in the format of Prometheus", Open(side::metrics))
        .by(&["serve/tests/metrics.rs::figures_are_those_of_what_was_done"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;
    use std::fs;

    #[test]
    fn items_are_numbered_and_their_tests_exist() {
        let root = Workspace::find().expect("the tests run in it").root;
        for (number, item) in (1..).zip(&ITEMS) {
            assert_eq!(item.number, number);
            let other = match item.shown {
                With(other) => Some(other),
                _ => None,
            };
            assert!(other.is_none_or(|other| other < number));
            assert!(!matches!(item.shown, Host) || !item.tests.is_empty(), "{number} is not shown");
            for test in item.tests {
                let (file, name) = test.split_once("::").expect("a file and a name");
                let text = fs::read_to_string(root.join("inference").join(file)).expect(file);
                assert!(text.contains(&format!("fn {name}(")), "{test}");
            }
        }
    }
}
