//! The desk: connections and what they are told, for one thread at a time.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use embodios_net::Link;
use embodios_serve::{Clock, Server};

/// The server and its network.
pub struct Desk {
    pub server: Server<'static>,
    pub link: Box<dyn Link>,
    /// Seconds from 1970 to time 0.
    pub wall_clock: Option<u64>,
    pub port: u16,
    /// Whether anybody may use it.
    pub is_open: bool,
    /// Where it can be reached, as was found last.
    pub urls: Vec<String>,
    /// What is to be said of that.
    pub news: Option<String>,
}

impl Desk {
    /// Moves frames, takes requests, and answers.
    pub fn turn(&mut self, now: u64) {
        self.server.poll(self.link.network(), Clock::at(now, self.wall_clock));
        if let Some(news) = self.find_news() {
            self.news = Some(news);
        }
    }

    /// The time of the next turn that is needed without an event.
    pub fn deadline(&mut self) -> u64 {
        self.server.deadline().min(self.link.network().deadline())
    }

    /// Whether the batch's owner has something to do, or to say.
    pub fn has_work(&mut self) -> bool {
        let has_orders = self.server.has_orders() || self.server.wants_figures();
        has_orders || self.news.is_some() || self.is_drained()
    }

    /// See [`Server::is_drained`].
    pub fn is_drained(&mut self) -> bool {
        self.server.is_drained(self.link.network())
    }

    /// See [`Link::listen`].
    pub fn listen(&mut self, on: bool) -> bool {
        self.link.listen(on)
    }

    /// Where the machine can be reached, if that has changed.
    fn find_news(&mut self) -> Option<String> {
        let addresses = self.link.new_addresses()?;
        // Of a link's own addresses nobody asks for; they are there before any other.
        let known = addresses.iter().map(|address| address.ip).filter(|ip| match ip {
            IpAddr::V4(_) => true,
            IpAddr::V6(ip) => !ip.is_unicast_link_local(),
        });
        let urls: Vec<String> =
            known.map(|ip| format!("http://{}/", SocketAddr::new(ip, self.port))).collect();
        let is_same = core::mem::replace(&mut self.urls, urls) == self.urls;
        if is_same {
            return None;
        }
        Some(match (self.urls.is_empty(), self.is_open) {
            (true, _) => "serving at no address: the network has taken them back\n".into(),
            (false, true) => format!("serving at {} to anybody: no api-key=\n", self.urls.join(" ")),
            (false, false) => format!("serving at {} with a key\n", self.urls.join(" ")),
        })
    }
}
