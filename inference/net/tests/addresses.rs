//! Addresses that a stack asks for: from a DHCP server of a few lines, and from a router by hand.

mod common;

use common::{CLIENT_MAC, End, SECOND, SERVER_MAC, World};
use embodios_net::{Frames, Network, Received, Settings, Stack};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpPacket, DhcpRepr};
use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Packet};
use smoltcp::wire::{IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr, Ipv6Address, Ipv6Packet, Ipv6Repr};
use smoltcp::wire::{UdpPacket, UdpRepr};

/// A stack with nothing given.
fn nothing_given() -> Settings {
    Settings::new(common::PORT, 7)
}

fn addresses(stack: &Stack<End>) -> Vec<String> {
    stack.addresses().iter().map(ToString::to_string).collect()
}

/// A DHCP server: it gives what it is told, for so many seconds, as long as it answers.
#[derive(Clone, Copy)]
struct Server {
    from: Ipv4Address,
    gives: Ipv4Address,
    mask: Ipv4Address,
    router: Ipv4Address,
    seconds: u32,
    answers: bool,
    refuses: bool,
}

const SERVER: Server = Server {
    from: Ipv4Address::new(192, 0, 2, 2),
    gives: Ipv4Address::new(192, 0, 2, 50),
    mask: Ipv4Address::new(255, 255, 255, 0),
    router: Ipv4Address::new(192, 0, 2, 2),
    seconds: 3600,
    answers: true,
    refuses: false,
};

impl Server {
    /// Answer to a frame of the stack's, if it is a question.
    fn answer(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        let packet = Ipv4Packet::new_checked(frame.payload()).ok().filter(|packet| packet.version() == 4)?;
        let udp = UdpPacket::new_checked(packet.payload()).ok()?;
        if udp.dst_port() != DHCP_SERVER_PORT || !self.answers {
            return None;
        }
        let question = DhcpPacket::new_checked(udp.payload()).expect("it is whole");
        let question = DhcpRepr::parse(&question).expect("it is right");
        let message_type = match question.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request if self.refuses => DhcpMessageType::Nak,
            DhcpMessageType::Request => DhcpMessageType::Ack,
            other => panic!("{other:?}"),
        };
        let dhcp = DhcpRepr {
            message_type,
            your_ip: self.gives,
            server_ip: self.from,
            router: Some(self.router),
            subnet_mask: Some(self.mask),
            server_identifier: Some(self.from),
            lease_duration: Some(self.seconds),
            client_identifier: None,
            parameter_request_list: None,
            requested_ip: None,
            max_size: None,
            ..question
        };
        let ports = UdpRepr { src_port: DHCP_SERVER_PORT, dst_port: DHCP_CLIENT_PORT };
        let (from, to) = (self.from, Ipv4Address::BROADCAST);
        let ip = Ipv4Repr {
            src_addr: from,
            dst_addr: to,
            next_header: IpProtocol::Udp,
            payload_len: ports.header_len() + dhcp.buffer_len(),
            hop_limit: 64,
        };
        let link = EthernetRepr {
            src_addr: EthernetAddress(CLIENT_MAC),
            dst_addr: EthernetAddress(SERVER_MAC),
            ethertype: EthernetProtocol::Ipv4,
        };
        let none = ChecksumCapabilities::default();
        let mut bytes = vec![0; 14 + ip.buffer_len() + ip.payload_len];
        link.emit(&mut EthernetFrame::new_unchecked(&mut bytes));
        ip.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[14..]), &none);
        let fill =
            |payload: &mut [u8]| dhcp.emit(&mut DhcpPacket::new_unchecked(payload)).expect("there is room");
        let mut udp = UdpPacket::new_unchecked(&mut bytes[34..]);
        ports.emit(&mut udp, &from.into(), &to.into(), dhcp.buffer_len(), fill, &none);
        Some(bytes)
    }

    /// Answers what the stack has sent.
    fn serve(&self, world: &World) -> usize {
        let log = world.link.borrow_mut().log.replace(Vec::new()).unwrap_or_default();
        let answers: Vec<_> = log.iter().filter_map(|frame| self.answer(frame)).collect();
        for answer in &answers {
            world.link.borrow_mut().put(0, answer, 0);
        }
        answers.len()
    }
}

/// Lets time pass with a server, second by second. Result: its answers.
fn pass(world: &mut World, seconds: u64, server: &Server) -> usize {
    (0..seconds * 4)
        .map(|_| {
            let answers = server.serve(world);
            world.pass(SECOND / 4, &mut |_| {});
            answers
        })
        .sum()
}

fn world() -> World {
    let world = World::new(nothing_given());
    world.link.borrow_mut().log = Some(Vec::new());
    world
}

const LINK: &str = "fe80::ff:fe00:1/64";
const LEASED: &str = "192.0.2.50/24,192.0.2.2";

#[test]
fn an_address_is_leased_renewed_and_lost() {
    let mut world = world();
    assert!(world.stack.addresses_changed());
    assert_eq!(addresses(&world.stack), [LINK]);
    pass(&mut world, 2, &SERVER);
    assert!(world.stack.addresses_changed() && !world.stack.addresses_changed());
    assert_eq!(addresses(&world.stack), [LEASED, LINK]);
    // A client connects.
    world.client.connect_to("192.0.2.50", 4096);
    let mut connection = None;
    world.pass(SECOND, &mut |stack| connection = connection.or_else(|| stack.accept()));
    let connection = connection.expect("it is connected");
    // For a day it is renewed, about every half of its time.
    let renewals = pass(&mut world, 24 * 3600, &SERVER);
    assert!((40..60).contains(&renewals), "{renewals}");
    assert!(!world.stack.addresses_changed());
    assert_eq!(world.stack.receive(connection, &mut []), Received::Nothing);
    // The server is gone, and with the lease the connection.
    pass(&mut world, 3700, &Server { answers: false, ..SERVER });
    assert!(world.stack.addresses_changed());
    assert_eq!(addresses(&world.stack), [LINK]);
    assert_eq!(world.stack.receive(connection, &mut []), Received::Gone);
    world.stack.close(connection);
    // Another comes, with another network.
    let from = Ipv4Address::new(10, 0, 0, 2);
    let other = Server { from, router: from, gives: Ipv4Address::new(10, 0, 0, 9), ..SERVER };
    pass(&mut world, 20, &other);
    assert_eq!(addresses(&world.stack), ["10.0.0.9/24,10.0.0.2", LINK]);
}

#[test]
fn a_server_that_takes_its_word_back_takes_the_address() {
    let mut world = world();
    pass(&mut world, 2, &SERVER);
    assert_eq!(addresses(&world.stack), [LEASED, LINK]);
    pass(&mut world, 1900, &Server { refuses: true, ..SERVER });
    assert_eq!(addresses(&world.stack), [LINK]);
    pass(&mut world, 20, &SERVER);
    assert_eq!(addresses(&world.stack), [LEASED, LINK]);
}

#[test]
fn what_a_server_gets_wrong_is_not_taken_over() {
    let address = |text: &str| text.parse::<Ipv4Address>().expect("an address");
    let wrong: [(Server, &[&str]); 9] = [
        (Server { router: address("255.255.255.255"), ..SERVER }, &["192.0.2.50/24", LINK]),
        (Server { router: address("224.0.0.1"), ..SERVER }, &["192.0.2.50/24", LINK]),
        (Server { router: address("192.0.2.255"), ..SERVER }, &["192.0.2.50/24", LINK]),
        (Server { router: address("192.0.2.50"), ..SERVER }, &["192.0.2.50/24", LINK]),
        (Server { router: address("10.0.0.1"), ..SERVER }, &["192.0.2.50/24", LINK]),
        (Server { gives: address("192.0.2.255"), ..SERVER }, &[LINK]),
        (Server { gives: address("127.0.0.1"), ..SERVER }, &[LINK]),
        (Server { mask: address("255.0.255.0"), ..SERVER }, &[LINK]),
        (Server { from: address("0.0.0.0"), ..SERVER }, &[LINK]),
    ];
    for (server, expected) in wrong {
        let mut world = world();
        pass(&mut world, 10, &server);
        assert_eq!(addresses(&world.stack), expected);
        // Nor is it fatal when the lease is to be renewed, and when a client behind the router calls.
        let frame = common::Segment::syn(5001, 1).frame("198.51.100.7", "192.0.2.50");
        world.link.borrow_mut().put(0, &frame, 0);
        pass(&mut world, 4000, &server);
    }
}

#[test]
fn without_server_and_router_the_stack_sleeps_between_its_questions() {
    let mut world = world();
    world.pass(3600 * SECOND, &mut |_| {});
    assert_eq!(addresses(&world.stack), [LINK]);
    // A question each four seconds, which the other end hears.
    assert!(world.polls < 2000, "{} polls", world.polls);
}

#[test]
fn a_family_with_an_address_given_asks_nobody() {
    let mut world = World::new(common::settings());
    world.link.borrow_mut().log = Some(Vec::new());
    world.pass(SECOND, &mut |_| {});
    assert_eq!(world.stack.deadline(), u64::MAX);
    assert_eq!(world.link.borrow().log, Some(vec![]));
    assert_eq!(addresses(&world.stack), ["192.0.2.1/24", "2001:db8::1/64", LINK]);
    assert!(world.stack.addresses_changed() && !world.stack.addresses_changed());
}

/// A router's advertisement of a prefix, for so many seconds.
fn advertisement(prefix: &str, seconds: u16) -> Vec<u8> {
    let (from, to): (Ipv6Address, Ipv6Address) =
        ("fe80::2".parse().expect("one"), "ff02::1".parse().expect("one"));
    let mut message = vec![134, 0, 0, 0, 64, 0];
    message.extend(seconds.to_be_bytes());
    message.extend([0; 8]);
    message.extend([3, 4, 64, 0xc0, 0, 0]);
    message.extend(seconds.to_be_bytes());
    message.extend([0; 8]);
    message.extend(prefix.parse::<Ipv6Address>().expect("a prefix").octets());
    let ip = Ipv6Repr {
        src_addr: from,
        dst_addr: to,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.len(),
        hop_limit: 255,
    };
    let link = EthernetRepr {
        src_addr: EthernetAddress(CLIENT_MAC),
        dst_addr: EthernetAddress([0x33, 0x33, 0, 0, 0, 1]),
        ethertype: EthernetProtocol::Ipv6,
    };
    let mut bytes = vec![0; 54 + message.len()];
    link.emit(&mut EthernetFrame::new_unchecked(&mut bytes));
    ip.emit(&mut Ipv6Packet::new_unchecked(&mut bytes[14..]));
    bytes[54..].copy_from_slice(&message);
    Icmpv6Packet::new_unchecked(&mut bytes[54..]).fill_checksum(&from, &to);
    bytes
}

#[test]
fn a_router_gives_a_prefix_and_a_way_out() {
    let mut world = world();
    let frame = advertisement("2001:db8::", 7200);
    // From another link, or damaged: nobody's.
    for at in [21, 55, 60] {
        let mut wrong = frame.clone();
        wrong[at] ^= 1;
        world.link.borrow_mut().put(0, &wrong, 0);
    }
    world.pass(SECOND, &mut |_| {});
    assert_eq!((addresses(&world.stack), world.stack.figures().refused), (vec![LINK.to_string()], 3));
    world.link.borrow_mut().put(0, &frame, 0);
    world.pass(SECOND, &mut |_| {});
    assert_eq!(addresses(&world.stack), ["2001:db8::ff:fe00:1/64,fe80::2", LINK]);
    let handle = world.client.connect_to("2001:db8::ff:fe00:1", 4096);
    world.pass(SECOND, &mut |stack| while stack.accept().is_some() {});
    assert_eq!(world.client.state(handle), smoltcp::socket::tcp::State::Established);
    world.pass(7300 * SECOND, &mut |_| {});
    assert_eq!(addresses(&world.stack), [LINK]);
}

#[test]
fn settings_that_cannot_be_are_named() {
    struct Device([u8; 6], usize);
    impl Frames for Device {
        fn mac(&self) -> [u8; 6] {
            self.0
        }
        fn mtu(&self) -> usize {
            self.1
        }
        fn receive(&mut self, _: &mut [u8]) -> Option<usize> {
            None
        }
        fn room(&mut self) -> bool {
            true
        }
        fn send(&mut self, _: &[u8]) {}
        fn flush(&mut self) {}
    }
    let new = |mac, mtu, settings| Stack::new(Device(mac, mtu), settings, 0).map(drop);
    let usual = nothing_given;
    let address = |text| embodios_net::Address::parse(text).expect("it is right");
    let twice = vec![address("192.0.2.1/24"); 2];
    let wrong = [
        (new(SERVER_MAC, 1500, Settings { port: 0, ..usual() }), "port 0 cannot be listened to"),
        (new([0; 6], 1500, usual()), "the network device's address 00-00-00-00-00-00 is no device's"),
        (new([1; 6], 1500, usual()), "the network device's address 01-01-01-01-01-01 is no device's"),
        (
            new(SERVER_MAC, 1279, usual()),
            "1279 bytes is the network device's largest packet: from 1280 to 2022",
        ),
        (new(SERVER_MAC, 1500, Settings { connections: 0, ..usual() }), "0 connections: from 1 to 4096"),
        (
            new(SERVER_MAC, 1500, Settings { send_bytes: 1, ..usual() }),
            "1 bytes of a connection's buffer: from 2048 to 1048576",
        ),
        (new(SERVER_MAC, 1500, Settings { addresses: twice, ..usual() }), "192.0.2.1 is given twice"),
    ];
    for (result, text) in wrong {
        assert_eq!(result.map_err(|error| error.to_string()), Err(text.to_string()));
    }
}
