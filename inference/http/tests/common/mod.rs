//! A server of one connection that says what it was asked.
#![allow(dead_code, reason = "each test binary uses its own part")]

use embodios_http::{Answer, Connection, Fate, Head, Limits, Method, Next};

/// Limits that a test reaches.
pub fn limits() -> Limits {
    Limits { head: 400, line: 100, body: 64, output: 1000, ..Limits::default() }
}

/// The server's end of a connection.
pub struct Peer {
    pub connection: Connection,
    /// What was asked, in order.
    pub asked: Vec<String>,
    /// What left.
    pub sent: Vec<u8>,
    head: Option<Head>,
}

impl Peer {
    pub fn new(limits: Limits) -> Self {
        Self { connection: Connection::new(limits, 0), asked: Vec::new(), sent: Vec::new(), head: None }
    }

    /// Lets bytes arrive and answers what they ask: `/refused` before its body, `/stream` in two events, `/later` not
    /// at all.
    pub fn receive(&mut self, mut bytes: &[u8], now: u64) {
        loop {
            let taken = self.connection.receive(bytes, now);
            bytes = &bytes[taken..];
            self.serve(now);
            let output = self.connection.output().to_vec();
            self.sent.extend_from_slice(&output);
            self.connection.sent(output.len(), now);
            // What has left makes room for the answers to what is there already.
            if output.is_empty() && (bytes.is_empty() || taken == 0) {
                return;
            }
        }
    }

    pub fn end(&mut self, now: u64) {
        self.connection.end();
        self.receive(&[], now);
    }

    pub fn serve(&mut self, now: u64) {
        loop {
            match self.connection.next(now) {
                Next::Nothing => return,
                Next::Head(head) if head.method() == Method::Post && head.path() != "/refused" => {
                    match self.connection.accept(now) {
                        Ok(()) => self.head = Some(head),
                        Err(fault) => self.answer(fault.status(), &fault.to_string(), now),
                    }
                }
                Next::Head(head) => self.asked(&head, &[], now),
                Next::Body(body) => {
                    let head = self.head.take().expect("the head of the body");
                    self.asked(&head, &body, now);
                }
                Next::Fault(fault) => {
                    self.asked.push(format!("{}", fault.status()));
                    self.answer(fault.status(), &fault.to_string(), now);
                }
            }
        }
    }

    fn asked(&mut self, head: &Head, body: &[u8], now: u64) {
        let mark = head.header("mark").unwrap_or_default();
        let text = format!(
            "{:?} {}{} {:?} {:?}",
            head.method(),
            head.path(),
            head.query().map_or(String::new(), |query| format!("?{query}")),
            String::from_utf8_lossy(mark),
            String::from_utf8_lossy(body)
        );
        match head.path() {
            "/later" => {}
            "/stream" => {
                self.connection.stream(&Answer::new(200).with("content-type", "text/event-stream"), now);
                for event in ["data: 1\n\n", "data: [DONE]\n\n"] {
                    self.connection.event(event.as_bytes(), now).unwrap();
                }
                self.connection.end_stream(now);
            }
            "/refused" => self.answer(401, "no", now),
            _ => self.answer(200, &text, now),
        }
        self.asked.push(text);
    }

    fn answer(&mut self, status: u16, text: &str, now: u64) {
        self.connection.answer(&Answer::new(status), text.as_bytes(), now);
    }

    /// Status codes of all that was sent.
    pub fn statuses(&self) -> Vec<u16> {
        let text = String::from_utf8_lossy(&self.sent).into_owned();
        text.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)?.parse().ok()).collect()
    }

    pub fn is_open(&self) -> bool {
        self.connection.fate() == Fate::Open
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.sent).into_owned()
    }
}

/// The connection after `bytes`, and their end.
pub fn after(bytes: &[u8]) -> Peer {
    let mut peer = Peer::new(limits());
    peer.receive(bytes, 0);
    peer
}
