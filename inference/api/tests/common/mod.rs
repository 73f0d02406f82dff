//! The story model, served: bodies in, answers and events out, by a real batch.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::sync::LazyLock;

use embodios_api::{ApiError, Call, Endpoint, Meta, Served, Token};
use embodios_engine::batch::{Batch, Event, RequestId, Settings};
use embodios_engine::json::Responder;
use embodios_engine::model::{Model, repack};
use embodios_fixtures::STORY;
use embodios_fixtures::build::Builder;
use embodios_gguf::Gguf;
use embodios_host::Host;
use embodios_kernels::Kernels;
use embodios_pool::platform::CoreSet;
use embodios_pool::{Pool, PoolSettings};
use embodios_text::chat::{ChatError, ChatTemplate};
use embodios_text::tokenizer::Tokenizer;
use serde_json::Value;

/// A template of turns in plain words, which trims what is said.
pub const TEMPLATE: &str = "{% for message in messages %}{% if message.role == 'system' and not loop.first %}\
    {{ raise_exception('only the first turn is of the system') }}{% endif %}\
    {{ message.role }}: {{ message.content | trim }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";

/// Positions of a request.
pub const CONTEXT: usize = 160;

static MODEL: LazyLock<(Model<'static>, Tokenizer<'static>)> = LazyLock::new(|| {
    let mut file = STORY.to_vec();
    let layout = Kernels::best().layout();
    repack(&mut file, layout).unwrap();
    let file = Gguf::parse(file.leak()).unwrap();
    (Model::load(&file, layout).unwrap(), Tokenizer::new(&file).unwrap())
});

static CHAT: LazyLock<Result<ChatTemplate, ChatError>> = LazyLock::new(|| template(TEMPLATE));

/// A template for the story model.
pub fn template(source: &str) -> Result<ChatTemplate, ChatError> {
    let file = Builder::default().string("tokenizer.chat_template", source).build();
    ChatTemplate::new(&Gguf::parse(&file).unwrap(), &MODEL.1)
}

/// The story model with a template.
pub fn served() -> Served<'static> {
    served_with(&CHAT)
}

/// The story model with this template, or none.
pub fn served_with(chat: &'static Result<ChatTemplate, ChatError>) -> Served<'static> {
    let (model, tokenizer) = &*MODEL;
    let responder = Responder { model, tokenizer, chat, kernels: Kernels::best(), now: None };
    Served { responder, name: "story", fingerprint: "fp_test".into(), since: 1_700_000_000, context: CONTEXT }
}

/// What came of a call.
pub struct Came {
    pub events: Vec<String>,
    pub answer: Result<Value, ApiError>,
    pub ignored: Vec<String>,
}

/// Runs calls at the same time, in one batch on `workers` threads. Results: in order.
pub fn run_all(workers: usize, calls: &[(Endpoint, &str)]) -> Vec<Came> {
    let served = served();
    let platform = Host::unpinned(workers);
    let mut pool = Pool::start(platform, &CoreSet::first(workers), PoolSettings::default()).unwrap();
    let settings = Settings { context: Some(CONTEXT), ..Settings::new(1 << 26) };
    let Responder { model, tokenizer, kernels, .. } = served.responder;
    let mut batch = Batch::new(model, tokenizer, kernels, settings).unwrap();
    let mut running = Vec::new();
    let mut places: Vec<(RequestId, usize, usize)> = Vec::new();
    for (number, &(endpoint, body)) in calls.iter().enumerate() {
        let meta = Meta { id: number as u64 + 7, unix: 1_700_000_123 };
        let mut call = Call::parse(&served, endpoint, body.as_bytes(), meta)
            .unwrap_or_else(|error| panic!("{body}: {error}"));
        let mut events = Vec::new();
        call.begin(&mut |event| events.push(event.to_owned()));
        for (choice, request) in call.take_requests().into_iter().enumerate() {
            places.push((batch.submit(&pool, request).unwrap(), number, choice));
        }
        running.push((call, events));
    }
    let mut on_event = |event: Event<'_>| {
        let (Event::Token { id, .. } | Event::Finished { id, .. }) = &event;
        let &(_, number, choice) = places.iter().find(|(one, ..)| one == id).unwrap();
        let (call, events) = &mut running[number];
        let out = &mut |event: &str| events.push(event.to_owned());
        match event {
            Event::Token { token, log_probability, likeliest, text, .. } => {
                call.token(&served, choice, Token { token, log_probability, likeliest, text }, out);
            }
            Event::Finished { outcome, .. } => call.finished(&served, choice, outcome, out),
        }
    };
    while batch.step(&mut pool, &mut on_event) {}
    let came = |(call, events): (Call, Vec<String>)| {
        assert!(call.is_over());
        let answer = call.answer(&served).map(|body| serde_json::from_slice(&body).unwrap());
        Came { events, answer, ignored: call.ignored().to_vec() }
    };
    running.into_iter().map(came).collect()
}

/// Runs a call alone.
pub fn run(endpoint: Endpoint, body: &str) -> Came {
    run_all(1, &[(endpoint, body)]).remove(0)
}

/// The answer of a call that does not stream.
pub fn answer(endpoint: Endpoint, body: &str) -> Value {
    run(endpoint, body).answer.unwrap()
}

/// The values of a stream's events. The last one is `[DONE]`.
pub fn chunks(endpoint: Endpoint, body: &str) -> Vec<Value> {
    values(&run(endpoint, body).events)
}

/// As [`chunks`].
pub fn values(events: &[String]) -> Vec<Value> {
    let (last, rest) = events.split_last().unwrap();
    assert_eq!(last, "data: [DONE]\n\n");
    let value = |event: &String| {
        let json = event.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap();
        assert!(!json.contains('\n'));
        serde_json::from_str(json).unwrap()
    };
    rest.iter().map(value).collect()
}

/// The error of a call that is none.
pub fn error(endpoint: Endpoint, body: impl AsRef<[u8]>) -> ApiError {
    let meta = Meta { id: 1, unix: 2 };
    match Call::parse(&served(), endpoint, body.as_ref(), meta) {
        Ok(_) => panic!("{} is taken", String::from_utf8_lossy(body.as_ref())),
        Err(error) => error,
    }
}
