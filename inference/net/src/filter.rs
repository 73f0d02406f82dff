//! What a received frame is, before the protocols see it.
//!
//! A request to connect needs a socket that listens, which is made when the request is there. Frames that no peer in
//! its right mind sends, and that would confuse the protocols, are refused.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use smoltcp::wire::{EthernetFrame, EthernetProtocol, Icmpv6Message, Icmpv6Packet};
use smoltcp::wire::{IpAddress, IpEndpoint, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket};

/// Kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// For the protocols.
    Ordinary,
    /// For them too: a TCP segment.
    Tcp(Ends, Part),
    /// A router's advertisement, which is whole and from a router on this link: the router, and the ICMP message.
    Advertisement(Ipv6Addr, &'a [u8]),
    /// For nobody.
    Refused,
}

/// Ends of a connection, as a frame names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) from: IpEndpoint,
    pub(crate) to: IpEndpoint,
}

/// What a TCP segment is to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Request to connect: the first segment (SYN).
    Request,
    /// Nothing but an acknowledgement.
    Acknowledgement,
    /// Anything else.
    Other,
}

/// Hop limit of messages between neighbours, which no router lets through (RFC 4861, 6.1).
const NEIGHBOUR: u8 = 255;

/// Looks at a frame.
pub(crate) fn look(bytes: &[u8]) -> Kind<'_> {
    let Ok(frame) = EthernetFrame::new_checked(bytes) else { return Kind::Refused };
    // Addressed to a group: nothing that belongs to a connection (RFC 1122, 4.2.3.10).
    let group = frame.dst_addr().is_broadcast() || frame.dst_addr().is_multicast();
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => ipv4(frame.payload(), group),
        EthernetProtocol::Ipv6 => ipv6(frame.payload(), group),
        EthernetProtocol::Arp => Kind::Ordinary,
        EthernetProtocol::Unknown(_) => Kind::Refused,
    }
}

fn ipv4(bytes: &[u8], group: bool) -> Kind<'_> {
    let Ok(packet) = Ipv4Packet::new_checked(bytes) else { return Kind::Refused };
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    // The protocols take a fragment for a whole packet, and answer whom they were told.
    if packet.more_frags() || packet.frag_offset() != 0 || !is_host(from) || to.is_loopback() {
        return Kind::Refused;
    }
    match packet.next_header() {
        IpProtocol::Tcp if group || to.is_multicast() || to.is_broadcast() => Kind::Refused,
        IpProtocol::Tcp => tcp(from.into(), to.into(), packet.payload()),
        _ => Kind::Ordinary,
    }
}

/// Whether an address can be a sender's.
fn is_host(address: Ipv4Addr) -> bool {
    let none = address.is_unspecified() || address.is_loopback() || address.is_broadcast();
    !none && !address.is_multicast()
}

fn ipv6(bytes: &[u8], group: bool) -> Kind<'_> {
    let Ok(packet) = Ipv6Packet::new_checked(bytes) else { return Kind::Refused };
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    if from.is_loopback() || to.is_loopback() || to.is_unspecified() {
        return Kind::Refused;
    }
    let payload = packet.payload();
    match packet.next_header() {
        IpProtocol::Tcp if group || to.is_multicast() => Kind::Refused,
        IpProtocol::Tcp => tcp(from.into(), to.into(), payload),
        // The protocols would look for TCP behind the options, where a request to connect is not seen here.
        IpProtocol::HopByHop if payload.first() == Some(&u8::from(IpProtocol::Tcp)) => Kind::Refused,
        IpProtocol::Icmpv6 => icmpv6(&packet, from, to),
        _ => Kind::Ordinary,
    }
}

fn icmpv6<'a>(packet: &Ipv6Packet<&'a [u8]>, from: Ipv6Addr, to: Ipv6Addr) -> Kind<'a> {
    let bytes = packet.payload();
    let Ok(message) = Icmpv6Packet::new_checked(bytes) else { return Kind::Refused };
    if message.msg_type() != Icmpv6Message::RouterAdvert {
        return Kind::Ordinary;
    }
    let near = packet.hop_limit() == NEIGHBOUR && from.is_unicast_link_local();
    if near && message.msg_code() == 0 && message.verify_checksum(&from, &to) {
        Kind::Advertisement(from, bytes)
    } else {
        Kind::Refused
    }
}

fn tcp(from: IpAddress, to: IpAddress, bytes: &[u8]) -> Kind<'_> {
    let Ok(packet) = TcpPacket::new_checked(bytes) else { return Kind::Refused };
    if packet.src_port() == 0 || packet.dst_port() == 0 {
        return Kind::Refused;
    }
    let endpoint = |address: IpAddress, port| IpEndpoint::from(SocketAddr::new(address.into(), port));
    let ends = Ends { from: endpoint(from, packet.src_port()), to: endpoint(to, packet.dst_port()) };
    let part = match (packet.syn(), packet.ack(), packet.rst() || packet.fin()) {
        (true, false, _) => Part::Request,
        (false, true, false) if packet.payload().is_empty() => Part::Acknowledgement,
        _ => Part::Other,
    };
    Kind::Tcp(ends, part)
}
