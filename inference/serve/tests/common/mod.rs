//! A server of the story model, with clients in memory.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod memory;

use std::sync::OnceLock;

use embodios_api::Served;
use embodios_engine::batch::{self, Batch};
use embodios_engine::json::Responder;
use embodios_engine::model::Model;
use embodios_fixtures::STORY;
use embodios_gguf::Gguf;
use embodios_host::Host;
use embodios_kernels::Kernels;
use embodios_pool::platform::CoreSet;
use embodios_pool::{Pool, PoolSettings};
use embodios_serve::{Clock, Feed, Server, Settings};
use embodios_text::chat::{ChatError, ChatTemplate};
use embodios_text::tokenizer::Tokenizer;
use memory::Memory;
use serde_json::Value;

const MILLISECOND: u64 = 1_000_000;

struct Story {
    model: Model<'static>,
    tokenizer: Tokenizer<'static>,
    chat: Result<ChatTemplate, ChatError>,
    kernels: Kernels,
}

fn story() -> &'static Story {
    static STORY_MODEL: OnceLock<Story> = OnceLock::new();
    STORY_MODEL.get_or_init(|| {
        let kernels = Kernels::best();
        let mut file = STORY.to_vec();
        embodios_engine::model::repack(&mut file, kernels.layout()).unwrap();
        let file = Gguf::parse(file.leak()).unwrap();
        let model = Model::load(&file, kernels.layout()).unwrap();
        let tokenizer = Tokenizer::new(&file).unwrap();
        let chat = ChatTemplate::new(&file, &tokenizer);
        Story { model, tokenizer, chat, kernels }
    })
}

/// The story model as it is served.
pub fn served() -> Served<'static> {
    let Story { model, tokenizer, chat, kernels } = story();
    Served {
        responder: Responder { model, tokenizer, chat, kernels: *kernels, now: None },
        name: "story",
        fingerprint: "fp_test".into(),
        since: 0,
        context: model.config.context,
    }
}

/// A server, its batch and its clients.
pub struct Rig {
    pub server: Server<'static>,
    pub network: Memory,
    pub batch: Batch<'static>,
    pub clock: Clock,
    feed: Feed,
    pool: Pool,
}

impl Rig {
    /// With so many places in the batch, and a model.
    pub fn new(settings: Settings, active: usize) -> Self {
        let mut rig = Self::loading(settings, active);
        rig.server.set_ready(Some(served()));
        rig
    }

    pub fn loading(settings: Settings, active: usize) -> Self {
        let Story { model, tokenizer, kernels, .. } = story();
        let limits = batch::Settings { active, ..batch::Settings::new(64 << 20) };
        Self {
            server: Server::new(settings),
            network: Memory::default(),
            batch: Batch::new(model, tokenizer, *kernels, limits).unwrap(),
            clock: Clock { now: 0, unix: Some(784_111_777) },
            feed: Feed::default(),
            pool: Pool::start(Host::unpinned(1), &CoreSet::first(1), PoolSettings::default()).unwrap(),
        }
    }

    /// One turn of the server and one step of the batch. Result: whether there is more to do.
    pub fn turn(&mut self) -> bool {
        self.clock.now += MILLISECOND;
        self.server.poll(&mut self.network, self.clock);
        let Self { server, batch, feed, pool, .. } = self;
        feed.exchange(server, batch, pool, 2);
        let is_busy = feed.step(batch, pool, &mut |_| {});
        feed.exchange(server, batch, pool, 2);
        is_busy || server.deadline() == 0
    }

    pub fn turns(&mut self, count: usize) {
        (0..count).for_each(|_| {
            self.turn();
        });
    }

    /// Turns until nothing is to be done.
    pub fn run(&mut self) {
        let turns = (0..100_000).take_while(|_| self.turn()).count();
        assert!(turns < 100_000, "the server does not come to rest");
    }

    /// Lets time pass.
    pub fn pass(&mut self, seconds: u64) {
        self.clock.now += seconds * 1000 * MILLISECOND;
        self.run();
    }

    pub fn connect(&mut self, text: &str) -> usize {
        let client = self.network.connect();
        self.network.send(client, text.as_bytes());
        client
    }

    /// What `text` on a connection of its own is answered.
    pub fn ask(&mut self, text: &str) -> Answer {
        let client = self.connect(text);
        self.run();
        let mut answers = self.answers(client);
        assert_eq!(answers.len(), 1, "{text}");
        answers.remove(0)
    }

    /// All that a client was answered.
    pub fn answers(&self, client: usize) -> Vec<Answer> {
        Answer::all(&self.network.clients[client].received)
    }

    pub fn client(&mut self, client: usize) -> &mut memory::Client {
        &mut self.network.clients[client]
    }

    /// The value of a metric without labels but the model's.
    pub fn metric(&mut self, name: &str) -> f64 {
        let text = self.ask(&get("/metrics", "")).text();
        let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
        let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

pub fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
}

pub fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A request for so many tokens, no fewer, and the same each time.
pub fn completion(tokens: usize, stream: bool) -> String {
    let fixed = r#""prompt": "Once upon a time", "temperature": 0, "ignore_eos": true"#;
    post("/v1/completions", "", &format!(r#"{{{fixed}, "max_tokens": {tokens}, "stream": {stream}}}"#))
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// Whole, without chunks.
    pub body: Vec<u8>,
    /// The chunks of a stream.
    pub chunks: Vec<String>,
    /// Whether all of it came.
    pub is_whole: bool,
}

impl Answer {
    fn all(mut bytes: &[u8]) -> Vec<Self> {
        let mut answers = Vec::new();
        while !bytes.is_empty() {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
            let head = std::str::from_utf8(&bytes[..end]).unwrap();
            bytes = &bytes[end + 4..];
            let mut lines = head.split("\r\n");
            let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
            let headers = lines.map(|line| line.split_once(": ").unwrap());
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let mut answer = Self { status, headers, body: Vec::new(), chunks: Vec::new(), is_whole: true };
            match (answer.header("content-length"), answer.header("transfer-encoding")) {
                (Some(length), None) => {
                    let length: usize = length.parse().unwrap();
                    answer.body = bytes[..length].to_vec();
                    bytes = &bytes[length..];
                }
                (None, Some("chunked")) => bytes = answer.take_chunks(bytes),
                _ => assert!(matches!(status, 100 | 204), "{head}"),
            }
            answers.push(answer);
        }
        answers
    }

    fn take_chunks<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        self.is_whole = false;
        while !self.is_whole && !bytes.is_empty() {
            let line = bytes.iter().position(|&byte| byte == b'\r').unwrap();
            let length = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
            let chunk = &bytes[line + 2..][..length];
            self.chunks.push(String::from_utf8(chunk.to_vec()).unwrap());
            bytes = &bytes[line + 2 + length + 2..];
            self.is_whole = length == 0;
        }
        if self.is_whole {
            self.chunks.pop();
        }
        bytes
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| &value[..])
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Kind of the error in it.
    pub fn error(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"));
        self.json()["error"]["type"].as_str().expect("an error").to_owned()
    }

    /// The events of a whole stream as JSON, without the mark at its end.
    pub fn events(&self) -> Vec<Value> {
        assert!(self.is_whole, "a stream that ends");
        assert_eq!(self.chunks.last().map(String::as_str), Some("data: [DONE]\n\n"));
        let events = &self.chunks[..self.chunks.len() - 1];
        events.iter().map(|event| event_json(event)).collect()
    }
}

/// The JSON of an event, which is one line.
pub fn event_json(event: &str) -> Value {
    let data = event.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n")).expect("an event");
    assert!(!data.contains('\n'));
    serde_json::from_str(data).unwrap()
}

/// Default settings with keys.
pub fn with_keys(keys: &[&str]) -> Settings {
    Settings { keys: keys.iter().map(|key| key.as_bytes().to_vec()).collect(), ..Settings::default() }
}
