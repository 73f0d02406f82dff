//! IPv6 addresses and a way out from what routers advertise (stateless autoconfiguration, RFC 4861 and 4862).
//!
//! Asks for an advertisement a few times, takes unasked ones at any time, and forgets what has run out. Not the
//! protocols' own: theirs wakes for ever where there is no router, and can be made to panic by one.

use alloc::vec::Vec;
use core::net::Ipv6Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Packet, Icmpv6Repr,
};
use smoltcp::wire::{IPV6_LINK_LOCAL_ALL_ROUTERS, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscRepr};

/// Maximum number of prefixes in use.
pub(crate) const MAX_PREFIXES: usize = 2;

const SECOND: u64 = 1_000_000_000;
/// Questions asked without an answer, and the time between them (RFC 4861, 10).
const QUESTIONS: u8 = 3;
const BETWEEN: u64 = 4 * SECOND;
/// Bytes in front of an advertisement's options.
const FIXED_PART: usize = 16;
/// Option that describes a prefix, its bytes, and its flag "make addresses of it".
const PREFIX_OPTION: u8 = 3;
const PREFIX_BYTES: usize = 32;
const AUTONOMOUS: u8 = 0x40;
/// Bits of prefixes that addresses are made of.
pub(crate) const PREFIX_BITS: u8 = 64;
/// Prefix of the addresses that are valid on the link only.
pub(crate) const LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
/// Time that no advertisement can cut a prefix's validity below (RFC 4862, 5.5.3 e).
const KEPT: u64 = 2 * 3600 * SECOND;
/// Seconds that stand for ever.
const FOREVER: u32 = u32::MAX;

/// What is known of the link's routers.
#[derive(Debug)]
pub(crate) struct Routers {
    mac: EthernetAddress,
    questions: u8,
    next_question: u64,
    /// The way out, and until when.
    router: Option<(Ipv6Addr, u64)>,
    /// Prefixes, and until when each is valid.
    prefixes: Vec<(Ipv6Addr, u64)>,
}

/// Address that a host makes of a prefix of 64 bits and its MAC (EUI-64).
pub(crate) fn own_address(prefix: Ipv6Addr, mac: EthernetAddress) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let mut address = prefix.octets();
    address[8..].copy_from_slice(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    address.into()
}

impl Routers {
    pub(crate) fn new(mac: EthernetAddress) -> Self {
        Self { mac, questions: QUESTIONS, next_question: 0, router: None, prefixes: Vec::new() }
    }

    /// Router to all other networks.
    pub(crate) fn router(&self) -> Option<Ipv6Addr> {
        self.router.map(|(router, _)| router)
    }

    /// Addresses made of the prefixes.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.prefixes.iter().map(|(prefix, _)| own_address(*prefix, self.mac))
    }

    /// Takes an advertisement, an ICMP message whose checksum is right. One that breaks the rules changes nothing.
    pub(crate) fn advertise(&mut self, from: Ipv6Addr, message: &[u8], now: u64) {
        let (Some(fixed), Some(options)) = (message.first_chunk::<FIXED_PART>(), message.get(FIXED_PART..))
        else {
            return;
        };
        let Some(prefixes) = prefixes(options) else { return };
        let seconds = u64::from(u16::from_be_bytes([fixed[6], fixed[7]]));
        self.questions = 0;
        match self.router {
            Some((router, _)) if router != from => {}
            _ if seconds > 0 => self.router = Some((from, now.saturating_add(seconds * SECOND))),
            Some(_) => self.lose_router(now),
            None => {}
        }
        for (prefix, seconds) in prefixes {
            self.take_prefix(prefix, seconds, now);
        }
        self.expire(now);
    }

    fn take_prefix(&mut self, prefix: Ipv6Addr, seconds: u32, now: u64) {
        let until = match seconds {
            FOREVER => u64::MAX,
            _ => now.saturating_add(u64::from(seconds) * SECOND),
        };
        if let Some((_, known)) = self.prefixes.iter_mut().find(|(known, _)| *known == prefix) {
            *known = until.max((*known).min(now.saturating_add(KEPT)));
        } else if self.prefixes.len() < MAX_PREFIXES {
            self.prefixes.push((prefix, until));
        }
    }

    /// Forgets what has run out.
    pub(crate) fn expire(&mut self, now: u64) {
        self.prefixes.retain(|(_, until)| *until > now);
        if self.router.is_some_and(|(_, until)| until <= now) {
            self.lose_router(now);
        }
    }

    /// Asks again: another router may be there.
    fn lose_router(&mut self, now: u64) {
        self.router = None;
        (self.questions, self.next_question) = (QUESTIONS, now);
    }

    /// Time when something runs out or is to be asked.
    pub(crate) fn deadline(&self) -> u64 {
        let question = if self.questions > 0 { self.next_question } else { u64::MAX };
        let router = self.router.map_or(u64::MAX, |(_, until)| until);
        self.prefixes.iter().map(|(_, until)| *until).fold(question.min(router), u64::min)
    }

    /// Frame that asks routers to advertise, if it is time for one.
    pub(crate) fn question(&mut self, now: u64) -> Option<Vec<u8>> {
        if self.questions == 0 || now < self.next_question {
            return None;
        }
        self.questions -= 1;
        self.next_question = now.saturating_add(BETWEEN);
        let from = own_address(LINK, self.mac);
        let to = IPV6_LINK_LOCAL_ALL_ROUTERS;
        let message = Icmpv6Repr::Ndisc(NdiscRepr::RouterSolicit { lladdr: Some(self.mac.into()) });
        let ip = Ipv6Repr {
            src_addr: from,
            dst_addr: to,
            next_header: IpProtocol::Icmpv6,
            payload_len: message.buffer_len(),
            hop_limit: 255,
        };
        let group = EthernetAddress([0x33, 0x33, 0, 0, 0, 2]);
        let link = EthernetRepr { src_addr: self.mac, dst_addr: group, ethertype: EthernetProtocol::Ipv6 };
        let mut bytes = alloc::vec![0; link.buffer_len() + ip.buffer_len() + message.buffer_len()];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes);
        link.emit(&mut frame);
        let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
        ip.emit(&mut packet);
        let mut icmp = Icmpv6Packet::new_unchecked(packet.payload_mut());
        message.emit(&from, &to, &mut icmp, &ChecksumCapabilities::default());
        Some(bytes)
    }
}

/// Prefixes to make addresses of, with the seconds that each is valid. None where an option has no length.
fn prefixes(mut options: &[u8]) -> Option<Vec<(Ipv6Addr, u32)>> {
    let mut found = Vec::new();
    while let [kind, eighths, ..] = *options {
        let bytes = usize::from(eighths) * 8;
        let (option, rest) = options.split_at_checked(bytes).filter(|_| bytes > 0)?;
        if kind == PREFIX_OPTION
            && let Some(option) = option.first_chunk::<PREFIX_BYTES>()
            && found.len() < MAX_PREFIXES
        {
            found.extend(prefix(option));
        }
        options = rest;
    }
    Some(found)
}

fn prefix(option: &[u8; PREFIX_BYTES]) -> Option<(Ipv6Addr, u32)> {
    let word = |at: usize| u32::from_be_bytes([option[at], option[at + 1], option[at + 2], option[at + 3]]);
    let (bits, flags, valid, preferred) = (option[2], option[3], word(4), word(8));
    let mut address = [0; 16];
    address[..8].copy_from_slice(&option[16..24]);
    let address = Ipv6Addr::from(address);
    let unicast = !address.is_multicast() && !address.is_unicast_link_local() && !address.is_unspecified();
    let serves = bits == PREFIX_BITS && flags & AUTONOMOUS != 0 && preferred <= valid;
    (unicast && serves).then_some((address, valid))
}

#[cfg(test)]
mod tests;
