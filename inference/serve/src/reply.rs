//! What every answer to a request carries: the request's id, the date, what a browser asks of another origin's server.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use embodios_http::{Answer, Head, imf_fixdate};

use crate::settings::{Clock, Settings};

/// Most bytes of an id that is taken over.
const LONGEST_ID: usize = 128;

/// Numbers that no two requests have, nor those of a start with another seed, as far as chance goes.
#[derive(Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// Those that follow from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number: a counter's, mixed so that none of its bits says how many there were (SplitMix64).
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What the answer to a request needs of it.
#[derive(Clone, Debug)]
pub struct Reply {
    id: String,
    /// The origin of the page that asks, where it may.
    origin: Option<String>,
}

impl Reply {
    /// For a request whose head was read, or was not.
    pub fn new(head: Option<&Head>, settings: &Settings, numbers: &mut Numbers) -> Self {
        let own = head.and_then(|head| text(head, "x-request-id")).filter(|id| id.len() <= LONGEST_ID);
        let id = own.map_or_else(|| format!("req-{:016x}", numbers.next()), str::to_owned);
        let may = |origin: &&str| {
            settings.origins.as_ref().is_none_or(|known| known.iter().any(|known| known == origin))
        };
        let origin = head.and_then(|head| text(head, "origin")).filter(may);
        Self { id, origin: origin.map(str::to_owned) }
    }

    /// The head of an answer.
    pub fn answer(&self, status: u16, clock: Clock) -> Answer {
        let mut answer = Answer::new(status).with("x-request-id", &self.id);
        if let Some(unix) = clock.unix {
            answer = answer.with("date", &imf_fixdate(unix));
        }
        match &self.origin {
            None => answer,
            Some(origin) => answer
                .with("access-control-allow-origin", origin)
                .with("access-control-allow-credentials", "true")
                .with("access-control-expose-headers", "x-request-id, x-embodios-ignored, retry-after")
                .with("vary", "origin"),
        }
    }

    /// The answer to a browser that asks what it may ask.
    pub fn preflight(&self, head: &Head, clock: Clock) -> Answer {
        // With credentials, `*` would be the name of a header.
        let headers = text(head, "access-control-request-headers").unwrap_or("*");
        let answer = self.answer(204, clock).with("allow", "GET, HEAD, POST, OPTIONS");
        match self.origin {
            None => answer,
            Some(_) => answer
                .with("access-control-allow-methods", "GET, HEAD, POST, OPTIONS")
                .with("access-control-allow-headers", headers)
                .with("access-control-max-age", "86400"),
        }
    }
}

/// The value of a header that is text of visible ASCII, or blanks, and not empty.
fn text<'h>(head: &'h Head, name: &str) -> Option<&'h str> {
    let value = head.header(name).filter(|value| !value.is_empty())?;
    let is_plain = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain { core::str::from_utf8(value).ok() } else { None }
}
