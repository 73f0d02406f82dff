//! Frames that nobody in his right mind sends: the stack lives, keeps its memory bounded, and serves others afterwards.

mod common;

use common::packets::checksums;
use common::{CLIENT_MAC, End, MILLISECOND, SECOND, SERVER_MAC, Segment, World, settings};
use embodios_net::{Network, Received, Settings, Stack};
use proptest::prelude::*;
use smoltcp::socket::tcp::State;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with the live bytes of each thread.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that ends has no figure any more.
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes that a stack of 16 connections takes at most: their buffers, and as much again for all the rest.
const MOST: isize = 2 * 16 * 48 * 1024;

/// A server that answers whatever it gets with as much as there is room for, and closes or aborts at times.
fn babble(stack: &mut Stack<End>, number: usize) {
    while let Some(connection) = stack.accept() {
        stack.send(connection, &[b'x'; 3000]);
    }
    for index in 0..16 {
        let connection = embodios_net::Connection(index);
        let mut buffer = [0; 700];
        match stack.receive(connection, &mut buffer) {
            Received::Bytes(_) => drop(stack.send(connection, &buffer)),
            Received::Nothing if (number + index).is_multiple_of(13) => stack.close(connection),
            Received::Nothing if (number + index).is_multiple_of(29) => stack.abort(connection),
            Received::Nothing => {}
            Received::End => stack.close(connection),
            Received::Gone => stack.abort(connection),
        }
    }
}

/// Change of a frame.
#[derive(Clone, Debug)]
enum Change {
    Bytes(Vec<(prop::sample::Index, u8)>),
    Cut(prop::sample::Index),
    Grow(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let bytes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5);
    prop_oneof![
        6 => bytes.prop_map(Change::Bytes),
        1 => any::<prop::sample::Index>().prop_map(Change::Cut),
        1 => (1usize..100).prop_map(Change::Grow),
    ]
}

fn changed(frame: &[u8], change: &Change) -> Vec<u8> {
    let mut frame = frame.to_vec();
    match change {
        Change::Bytes(bytes) => {
            for (at, value) in bytes {
                // Where a frame goes is left: it would only be passed over.
                let at = 12 + at.index(frame.len() - 12);
                frame[at] = *value;
            }
        }
        Change::Cut(at) => frame.truncate(at.index(frame.len())),
        Change::Grow(more) => frame.resize(frame.len() + more, 0xa5),
    }
    checksums(&mut frame);
    frame
}

/// Frames that the client sends in two connections, and some that networks know beside them.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        // A question for our address (ARP), and an answer.
        [&[0xff; 6], &CLIENT_MAC[..], &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &CLIENT_MAC, &[192, 0, 2, 2], &[0; 6]]
            .concat(),
        [
            &SERVER_MAC[..],
            &CLIENT_MAC,
            &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2],
            &CLIENT_MAC,
            &[192, 0, 2, 2],
            &SERVER_MAC,
        ]
        .concat(),
    ];
    for arp in &mut seeds {
        arp.extend([192, 0, 2, 1]);
    }
    let ipv6 = |next: u8, to: [u8; 16], hops: u8, payload: &[u8]| {
        let from: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
        let length = (payload.len() as u16).to_be_bytes();
        let head =
            [&SERVER_MAC[..], &CLIENT_MAC, &[0x86, 0xdd, 0x60, 0, 0, 0], &length, &[next, hops]].concat();
        let mut frame = [&head[..], &from, &to, payload].concat();
        checksums(&mut frame);
        frame
    };
    let ours = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 1];
    let all = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let solicit = [&[135, 0, 0, 0, 0, 0, 0, 0], &ours[..], &[1, 1], &CLIENT_MAC].concat();
    let advert = [&[136, 0, 0, 0, 0x60, 0, 0, 0], &ours[..], &[2, 1], &CLIENT_MAC].concat();
    let router = [
        &[
            134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4, 64, 0xc0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0,
            0, 0,
        ][..],
        &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    seeds.extend([
        ipv6(58, ours, 255, &solicit),
        ipv6(58, ours, 255, &advert),
        ipv6(58, all, 255, &router),
        ipv6(58, ours, 64, &[128, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
        // Options for all routers on the way, then a question for groups (MLD).
        ipv6(0, all, 1, &[&[58, 0, 5, 2, 0, 0, 1, 0, 130, 0, 0, 0, 0, 100, 0, 0], &[0; 16][..]].concat()),
        ipv6(17, ours, 64, &[0, 53, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4]),
        ipv6(44, ours, 64, &[6, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]),
    ]);
    let mut ping = Segment::syn(1, 1).frame("192.0.2.2", "192.0.2.1");
    ping[23] = 1;
    ping[34..54].copy_from_slice(&[8, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    checksums(&mut ping);
    seeds.push(ping);
    let mut dhcp =
        Segment { bytes: vec![0; 240], ..Segment::syn(1, 1) }.frame("192.0.2.2", "255.255.255.255");
    dhcp[23] = 17;
    dhcp[34..42].copy_from_slice(&[0, 67, 0, 68, 1, 4, 0, 0]);
    dhcp[42..54].copy_from_slice(&[2, 1, 6, 0, 1, 2, 3, 4, 0, 0, 0, 0]);
    checksums(&mut dhcp);
    seeds.push(dhcp);
    seeds
}

/// A world with frames in both directions recorded.
fn small(given: bool) -> World {
    let base = if given { settings() } else { Settings::new(common::PORT, 3) };
    World::new(Settings { connections: 16, ..base })
}

/// After whatever has happened, a client is served.
fn still_serves(world: &mut World) -> Result<(), TestCaseError> {
    // What was there has had its time.
    world.pass(130 * SECOND, &mut |stack| babble(stack, 0));
    let handle = world.client.connect_to("fe80::ff:fe00:1", 4096);
    let done = world.run(10 * SECOND, &mut |stack| babble(stack, 1), &mut |client| {
        client.state(handle) == State::Established || client.socket(handle).can_recv()
    });
    prop_assert!(done);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_bytes_are_outlived(
        given: bool,
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..100),
        kinds in prop::collection::vec(0usize..4, 100),
    ) {
        let before = LIVE.get();
        let mut world = small(given);
        for (mut frame, kind) in frames.into_iter().zip(kinds) {
            // Some go to the stack and say that they are of a kind.
            let head = [&SERVER_MAC[..], &CLIENT_MAC].concat();
            let kind: &[u8] = [&[][..], &[8, 0, 0x45], &[0x86, 0xdd, 0x60], &[8, 6, 0, 1, 8, 0, 6, 4]][kind];
            if !kind.is_empty() {
                frame.splice(0..0, [&head[..], kind].concat());
            }
            checksums(&mut frame);
            world.link.borrow_mut().put(0, &frame, 0);
        }
        world.pass(SECOND, &mut |stack| babble(stack, 0));
        prop_assert!(LIVE.get() - before < MOST);
        still_serves(&mut world)?;
    }

    #[test]
    fn right_frames_with_wrong_places_are_outlived(
        given: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), change(), 0u64..3000), 1..60),
    ) {
        let seeds = seeds();
        let before = LIVE.get();
        let mut world = small(given);
        for (number, (seed, change, wait)) in changes.iter().enumerate() {
            let frame = changed(seed.get::<Vec<u8>>(&seeds), change);
            world.link.borrow_mut().put(0, &frame, 0);
            world.pass(wait * MILLISECOND, &mut |stack| babble(stack, number));
        }
        prop_assert!(LIVE.get() - before < MOST);
        still_serves(&mut world)?;
    }

    /// A peer that knows all numbers, and says what it wants.
    #[test]
    fn a_peer_that_breaks_the_rules_of_tcp_is_outlived(
        steps in prop::collection::vec((0u16..3, any::<u8>(), edge(), edge(), 0usize..1500, 0u64..2000), 1..120),
    ) {
        let before = LIVE.get();
        let mut world = small(true);
        world.link.borrow_mut().log = Some(Vec::new());
        // What the stack has said last, to each port.
        let mut known = [(0u32, 0u32); 3];
        for (number, (port, flags, sequence, acknowledge, bytes, wait)) in steps.into_iter().enumerate() {
            let (next, heard) = known[usize::from(port)];
            let segment = Segment {
                from: 6000 + port,
                to: common::PORT,
                sequence: next.wrapping_add_signed(sequence),
                acknowledge: (flags & 7 != 0).then_some(heard.wrapping_add_signed(acknowledge)),
                syn: flags & 7 == 0 || flags & 0xf8 == 0x80,
                fin: flags & 0x38 == 0x08,
                rst: flags & 0x78 == 0x30,
                window: bytes as u16 * u16::from(flags & 3),
                options: OPTIONS[bytes % OPTIONS.len()].to_vec(),
                bytes: vec![flags; if flags & 0x40 == 0 { 0 } else { bytes }],
            };
            let frame = segment.frame("192.0.2.2", "192.0.2.1");
            world.link.borrow_mut().put(0, &frame, 0);
            world.pass(wait * MILLISECOND, &mut |stack| babble(stack, number));
            for frame in world.link.borrow_mut().log.replace(Vec::new()).unwrap_or_default() {
                if let Some(said) = common::packets::segment_of(&frame)
                    && let Some(known) = said.to.checked_sub(6000).and_then(|port| known.get_mut(usize::from(port)))
                {
                    let length = said.bytes.len() as u32 + u32::from(said.syn) + u32::from(said.fin);
                    *known = (said.acknowledge.unwrap_or(known.0), said.sequence.wrapping_add(length));
                }
            }
        }
        prop_assert!(LIVE.get() - before < MOST);
        still_serves(&mut world)?;
    }
}

/// Options: none, sizes of segments, a window's scale, what may be acknowledged out of order, times, and nonsense.
const OPTIONS: [&[u8]; 9] = [
    &[],
    &[2, 4, 0, 0],
    &[2, 4, 0, 1],
    &[2, 4, 0xff, 0xff],
    &[3, 3, 14, 0],
    &[3, 3, 255, 1, 4, 2, 2, 4],
    &[4, 2, 3, 3, 7, 2, 4, 5, 0xb4, 1, 0, 0],
    &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0],
    &[1, 1, 5, 10, 0, 0, 0, 9, 0, 0, 0, 3],
];

/// A distance in sequence numbers: none, a few, a window, or any.
fn edge() -> impl Strategy<Value = i32> {
    prop_oneof![
        6 => Just(0),
        2 => -3i32..4,
        2 => -40_000i32..40_000,
        1 => any::<i32>(),
        1 => prop::sample::select(vec![i32::MIN, i32::MAX, i32::MIN + 1, 1 << 30]),
    ]
}

#[test]
fn a_flood_of_requests_from_nowhere_takes_no_more_memory_than_the_table() {
    let before = LIVE.get();
    let mut world = small(true);
    for number in 0..20_000u32 {
        let from = format!("192.0.2.{}", 3 + number % 200);
        let frame = Segment::syn(1024 + (number / 200) as u16, number).frame(&from, "192.0.2.1");
        world.link.borrow_mut().put(0, &frame, 0);
        if number % 100 == 0 {
            world.pass(10 * MILLISECOND, &mut |_| {});
            let live = LIVE.get() - before;
            assert!(live < MOST, "{live} bytes");
        }
    }
    assert!(world.stack.figures().turned_away > 19_000);
    assert!(still_serves(&mut world).is_ok());
}
