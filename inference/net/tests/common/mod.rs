//! A stack and a client face to face, on a link that makes mistakes, in a time of their own.

#![allow(dead_code, unused_imports, reason = "each test uses its part of this")]

mod client;
mod link;
pub mod packets;
mod work;

pub use client::Client;
pub use link::{End, Faults, Link};
pub use packets::Segment;
pub use work::{Echo, Exchange, pattern};

use embodios_net::{Address, Network, Settings, Stack};
use std::cell::RefCell;
use std::rc::Rc;

pub const SECOND: u64 = 1_000_000_000;
pub const MILLISECOND: u64 = 1_000_000;
pub const PORT: u16 = 8080;
pub const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Settings with both families' addresses given, so that nobody is asked for one.
pub fn settings() -> Settings {
    let given = |text| Address::parse(text).expect("it is right");
    let addresses = vec![given("192.0.2.1/24"), given("2001:db8::1/64")];
    Settings { addresses, ..Settings::new(PORT, 1) }
}

/// Both ends and their time.
pub struct World {
    pub link: Rc<RefCell<Link>>,
    pub stack: Stack<End>,
    pub client: Client,
    pub now: u64,
    /// Polls of the stack.
    pub polls: u64,
}

impl World {
    pub fn new(settings: Settings) -> Self {
        Self::with(settings, Faults::default(), 1)
    }

    pub fn with(settings: Settings, faults: Faults, seed: u64) -> Self {
        let link = Rc::new(RefCell::new(Link::new(faults, seed)));
        let end = |side| End { link: link.clone(), side };
        let now = SECOND;
        link.borrow_mut().now = now;
        let stack = Stack::new(end(0), settings, now).expect("the settings are right");
        let client = Client::new(end(1), now);
        Self { link, stack, client, now, polls: 0 }
    }

    /// Polls both ends once, with the server's work between.
    pub fn step(&mut self, serve: &mut dyn FnMut(&mut Stack<End>)) {
        self.link.borrow_mut().now = self.now;
        self.polls += 1;
        self.stack.poll(self.now);
        serve(&mut self.stack);
        self.client.poll(self.now);
    }

    /// Time of the next event after now.
    fn next(&mut self) -> u64 {
        let arrival = self.link.borrow().next_arrival().unwrap_or(u64::MAX);
        self.stack.deadline().min(self.client.deadline(self.now)).min(arrival)
    }

    /// Lets time pass, event by event, until something holds. False: it did not within a time.
    pub fn run(
        &mut self,
        time: u64,
        serve: &mut dyn FnMut(&mut Stack<End>),
        until: &mut dyn FnMut(&mut Client) -> bool,
    ) -> bool {
        let end = self.now.saturating_add(time);
        let (mut since, mut steps) = (self.now, 0);
        loop {
            self.step(serve);
            steps = if self.now == since { steps + 1 } else { 0 };
            since = self.now;
            let deadlines = (self.stack.deadline(), self.client.deadline(self.now));
            assert!(steps < 1000, "time stands still at {since}: {deadlines:?}");
            if until(&mut self.client) {
                return true;
            }
            let next = self.next();
            if next > end {
                self.now = end;
                return false;
            }
            self.now = next.max(self.now);
        }
    }

    /// Lets a time pass.
    pub fn pass(&mut self, time: u64, serve: &mut dyn FnMut(&mut Stack<End>)) {
        assert!(!self.run(time, serve, &mut |_| false));
    }
}
