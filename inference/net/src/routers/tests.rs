//! Advertisements that are right, and those that are not.

use super::*;

const MAC: EthernetAddress = EthernetAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const OTHER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const PREFIX: &str = "2001:db8:1:2::";
const OURS: &str = "2001:db8:1:2:5054:ff:fe12:3456";

fn option(prefix: &str, bits: u8, flags: u8, valid: u32, preferred: u32) -> Vec<u8> {
    let mut option = vec![PREFIX_OPTION, 4, bits, flags];
    option.extend(valid.to_be_bytes());
    option.extend(preferred.to_be_bytes());
    option.extend([0; 4]);
    option.extend(prefix.parse::<Ipv6Addr>().expect("a prefix").octets());
    option
}

fn message(seconds: u16, options: &[Vec<u8>]) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 64, 0];
    message.extend(seconds.to_be_bytes());
    message.extend([0; 8]);
    message.extend(options.concat());
    message
}

fn ours(routers: &Routers) -> Vec<String> {
    routers.addresses().map(|address| address.to_string()).collect()
}

#[test]
fn a_prefix_and_a_router_are_taken_until_they_run_out() {
    let mut routers = Routers::new(MAC);
    let prefix = option(PREFIX, 64, 0xc0, 7200, 3600);
    // Unknown options, here the router's link address, are passed over.
    let link = vec![1, 1, 2, 0, 0, 0, 0, 9];
    routers.advertise(ROUTER, &message(1800, &[link, prefix]), SECOND);
    assert_eq!((ours(&routers), routers.router()), (vec![OURS.into()], Some(ROUTER)));
    assert_eq!(routers.deadline(), 1801 * SECOND);
    routers.expire(1801 * SECOND);
    assert_eq!((ours(&routers), routers.router()), (vec![OURS.into()], None));
    // It asks whether there is another.
    assert_eq!(routers.deadline(), 1801 * SECOND);
    assert!(routers.question(1801 * SECOND).is_some());
    routers.expire(7201 * SECOND);
    assert!(ours(&routers).is_empty());
}

#[test]
fn questions_end_with_the_third_or_with_an_answer() {
    let mut routers = Routers::new(MAC);
    for time in [0, 4, 8] {
        assert_eq!(routers.deadline(), time * SECOND);
        let frame = routers.question(time * SECOND).expect("it is time");
        assert_eq!(routers.question(time * SECOND), None);
        // To all routers, from our address on the link, with a right checksum.
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 2]);
        let packet = Ipv6Packet::new_checked(&frame[14..]).expect("it is whole");
        assert_eq!(packet.src_addr().to_string(), "fe80::5054:ff:fe12:3456");
        let icmp = Icmpv6Packet::new_checked(packet.payload()).expect("it is whole");
        assert!(icmp.verify_checksum(&packet.src_addr(), &packet.dst_addr()));
    }
    assert_eq!(routers.deadline(), u64::MAX);
    let mut routers = Routers::new(MAC);
    assert!(routers.question(0).is_some());
    routers.advertise(ROUTER, &message(0, &[]), SECOND);
    assert_eq!((routers.deadline(), routers.router()), (u64::MAX, None));
}

#[test]
fn prefixes_that_no_address_can_be_made_of_are_passed_over() {
    for prefix in [
        option("ff02::", 64, 0xc0, 7200, 3600),
        option("fe80::", 64, 0xc0, 7200, 3600),
        option("::", 64, 0xc0, 7200, 3600),
        option(PREFIX, 48, 0xc0, 7200, 3600),
        option(PREFIX, 64, 0x80, 7200, 3600),
        option(PREFIX, 64, 0xc0, 3600, 7200),
        option(PREFIX, 64, 0xc0, 0, 0),
        vec![PREFIX_OPTION, 1, 64, 0xc0, 0, 0, 0, 1],
    ] {
        let mut routers = Routers::new(MAC);
        routers.advertise(ROUTER, &message(1800, std::slice::from_ref(&prefix)), 0);
        assert_eq!((ours(&routers), routers.router()), (vec![], Some(ROUTER)), "{prefix:x?}");
    }
}

#[test]
fn a_damaged_advertisement_changes_nothing() {
    let prefix = option(PREFIX, 64, 0xc0, 7200, 3600);
    let whole = message(1800, std::slice::from_ref(&prefix));
    let no_length = message(1800, &[vec![1, 0, 0, 0, 0, 0, 0, 0], prefix.clone()]);
    for damaged in [&whole[..15], &whole[..whole.len() - 1], &no_length[..]] {
        let mut routers = Routers::new(MAC);
        routers.advertise(ROUTER, damaged, 0);
        assert_eq!((ours(&routers), routers.router()), (vec![], None));
    }
}

#[test]
fn no_advertisement_ends_a_prefix_at_once_and_only_the_router_itself_says_that_it_goes() {
    let mut routers = Routers::new(MAC);
    let prefix = |valid| option(PREFIX, 64, 0xc0, valid, 0);
    routers.advertise(ROUTER, &message(1800, &[prefix(FOREVER)]), 0);
    assert_eq!(routers.deadline(), 1800 * SECOND);
    routers.advertise(OTHER, &message(0, &[prefix(0)]), SECOND);
    assert_eq!((ours(&routers), routers.router()), (vec![OURS.into()], Some(ROUTER)));
    routers.advertise(ROUTER, &message(0, &[]), SECOND);
    assert_eq!(routers.router(), None);
    routers.advertise(OTHER, &message(9000, &[]), SECOND);
    assert_eq!((routers.router(), routers.deadline()), (Some(OTHER), SECOND + KEPT));
}

#[test]
fn a_flood_of_prefixes_takes_two() {
    let mut routers = Routers::new(MAC);
    for number in 0..1000 {
        let prefix = option(&format!("2001:db8:{number:x}::"), 64, 0xc0, 7200, 3600);
        routers.advertise(ROUTER, &message(1800, &[prefix.clone(), prefix.clone(), prefix]), 0);
    }
    assert_eq!(ours(&routers).len(), MAX_PREFIXES);
}
