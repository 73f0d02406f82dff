//! A link with two ends: frames take a time, and some are lost, repeated, late or damaged.

use embodios_net::Frames;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::packets::segment_of;
use super::{CLIENT_MAC, MILLISECOND, SERVER_MAC};

/// First of the client's ports that the client knows nothing of, where there is a log.
pub const BY_HAND: u16 = 5000;

/// Mistakes, each so many times in a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub lost: u64,
    pub repeated: u64,
    pub late: u64,
    pub damaged: u64,
    pub cut: u64,
}

pub struct Link {
    pub now: u64,
    pub faults: Faults,
    /// Time that a frame takes.
    pub delay: u64,
    /// No frame arrives any more.
    pub broken: bool,
    /// Frames that may be under way from the stack before its device is full.
    pub room: usize,
    /// Segments with a reset that the stack has sent.
    pub resets: usize,
    /// Frames that the stack has sent and the link has taken, where they are asked for.
    pub log: Option<Vec<Vec<u8>>>,
    /// Frames to each end, by arrival.
    ways: [BTreeMap<(u64, u64), Vec<u8>>; 2],
    number: u64,
    random: u64,
}

impl Link {
    pub fn new(faults: Faults, seed: u64) -> Self {
        let (delay, room) = (MILLISECOND / 10, 256);
        let ways = [BTreeMap::new(), BTreeMap::new()];
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { now: 0, faults, delay, broken: false, room, resets: 0, log: None, ways, number: 0, random }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % below
    }

    fn happens(&mut self, in_thousand: u64) -> bool {
        self.random(1000) < in_thousand
    }

    pub fn next_arrival(&self) -> Option<u64> {
        self.ways.iter().filter_map(|way| way.first_key_value()).map(|((time, _), _)| *time).min()
    }

    /// Takes a frame from an end to the other.
    pub fn send(&mut self, side: usize, frame: &[u8]) {
        if side == 0 {
            self.resets += usize::from(segment_of(frame).is_some_and(|segment| segment.rst));
            if let Some(log) = &mut self.log {
                log.push(frame.to_vec());
                // A test speaks for the client's ports from there on.
                if segment_of(frame).is_some_and(|segment| segment.to >= BY_HAND) {
                    return;
                }
            }
        }
        if self.broken || self.happens(self.faults.lost) {
            return;
        }
        let copies = 1 + usize::from(self.happens(self.faults.repeated));
        for _ in 0..copies {
            let mut frame = frame.to_vec();
            if self.happens(self.faults.damaged) {
                let at = self.random(frame.len() as u64) as usize;
                frame[at] ^= 1 << self.random(8);
            }
            if self.happens(self.faults.cut) {
                let bytes = self.random(frame.len() as u64 + 40) as usize;
                frame.resize(bytes.min(1514), 0);
            }
            let late = if self.happens(self.faults.late) { self.random(20) * MILLISECOND } else { 0 };
            self.put(1 - side, &frame, self.delay + late);
        }
    }

    /// Puts a frame in front of an end after a time.
    pub fn put(&mut self, side: usize, frame: &[u8], after: u64) {
        self.number += 1;
        self.ways[side].insert((self.now + after, self.number), frame.to_vec());
    }

    pub fn take(&mut self, side: usize) -> Option<Vec<u8>> {
        let entry = self.ways[side].first_entry()?;
        (entry.key().0 <= self.now).then(|| entry.remove())
    }
}

/// One end: the stack's (0) or the client's (1).
#[derive(Clone)]
pub struct End {
    pub link: Rc<RefCell<Link>>,
    pub side: usize,
}

impl Frames for End {
    fn mac(&self) -> [u8; 6] {
        [SERVER_MAC, CLIENT_MAC][self.side]
    }

    fn mtu(&self) -> usize {
        1500
    }

    fn receive(&mut self, frame: &mut [u8]) -> Option<usize> {
        loop {
            let bytes = self.link.borrow_mut().take(self.side)?;
            if let Some(place) = frame.get_mut(..bytes.len()) {
                place.copy_from_slice(&bytes);
                return Some(bytes.len());
            }
        }
    }

    fn room(&mut self) -> bool {
        let link = self.link.borrow();
        self.side == 1 || link.ways[1].len() < link.room
    }

    fn send(&mut self, frame: &[u8]) {
        self.link.borrow_mut().send(self.side, frame);
    }

    fn flush(&mut self) {}
}
