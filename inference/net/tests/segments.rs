//! Connections segment by segment, with a peer that may say anything.

mod common;

use common::packets::{checksums, segment_of};
use common::{Echo, Exchange, MILLISECOND, SECOND, Segment, World, pattern, settings};
use embodios_net::{Network, Received, Settings};

/// A stack that nobody speaks to but by hand.
struct Alone {
    world: World,
    echo: Echo,
}

impl Alone {
    fn new(settings: Settings) -> Self {
        let mut world = World::new(settings);
        // Once, so that each end knows the other's address.
        let mut echo = Echo::default();
        let mut exchange = Exchange::new(world.client.connect(), Vec::new());
        assert!(world.run(SECOND, &mut |stack| echo.serve(stack), &mut |client| exchange.go_on(client)));
        world.pass(SECOND, &mut |stack| echo.serve(stack));
        world.link.borrow_mut().log = Some(Vec::new());
        Self { world, echo: Echo::default() }
    }

    /// Puts a segment in front of the stack. Result: the segments that it sends at once.
    fn say(&mut self, segment: &Segment) -> Vec<Segment> {
        let frame = segment.frame("192.0.2.2", "192.0.2.1");
        self.world.link.borrow_mut().put(0, &frame, 0);
        self.hear()
    }

    fn hear(&mut self) -> Vec<Segment> {
        let world = &mut self.world;
        world.link.borrow_mut().now = world.now;
        for _ in 0..3 {
            world.stack.poll(world.now);
            self.echo.serve(&mut world.stack);
        }
        let log = world.link.borrow_mut().log.replace(Vec::new()).expect("there is one");
        world.now += MILLISECOND;
        log.iter().filter_map(|frame| segment_of(frame)).collect()
    }

    /// Connects from a port, with sequence number 1000. Result: the stack's.
    fn connect(&mut self, port: u16) -> u32 {
        let answers = self.say(&Segment::syn(port, 1000));
        let [answer] = &answers[..] else { panic!("{answers:?}") };
        assert!(answer.syn && answer.acknowledge == Some(1001), "{answer:?}");
        let next = answer.sequence.wrapping_add(1);
        assert_eq!(self.say(&Segment::new(port, 1001, Some(next))), []);
        next
    }
}

#[test]
fn a_reset_ends_a_connection_in_every_phase() {
    let mut alone = Alone::new(settings());
    let reset = |port, sequence| Segment { rst: true, ..Segment::new(port, sequence, None) };
    // Before the handshake is over.
    assert_eq!(alone.say(&Segment::syn(5001, 1000)).len(), 1);
    assert_eq!(alone.say(&reset(5001, 1001)), []);
    assert_eq!(alone.echo.accepted, 0);
    // Before anything was sent.
    alone.connect(5002);
    assert_eq!(alone.say(&reset(5002, 1001)), []);
    assert_eq!((alone.echo.accepted, alone.echo.gone), (1, 1));
    // With bytes under way.
    let next = alone.connect(5003);
    let said = Segment { bytes: pattern(1000), ..Segment::new(5003, 1001, Some(next)) };
    // In two segments, since the client has not said what it takes.
    let answers: Vec<_> = alone.say(&said).into_iter().flat_map(|answer| answer.bytes).collect();
    assert_eq!(answers, pattern(1000));
    assert_eq!(alone.say(&reset(5003, 2001)), []);
    assert_eq!(alone.echo.gone, 2);
    // After the peer's end, with the answer under way.
    let next = alone.connect(5004);
    let last = Segment { fin: true, bytes: pattern(10), ..Segment::new(5004, 1001, Some(next)) };
    let answers = alone.say(&last);
    assert!(answers.iter().any(|answer| answer.fin) && alone.echo.ended == 1, "{answers:?}");
    assert_eq!(alone.say(&reset(5004, 1012)), []);
    assert_eq!(alone.world.link.borrow().resets, 0);
    // Nothing of them is left: as many as there may be still fit.
    for port in 6000..6128 {
        alone.connect(port);
    }
    assert_eq!(alone.say(&Segment::syn(7000, 1)), []);
    assert_eq!(alone.world.stack.figures().turned_away, 1);
}

#[test]
fn a_reset_outside_of_the_window_changes_nothing() {
    let mut alone = Alone::new(settings());
    let next = alone.connect(5001);
    let wrong = Segment { rst: true, ..Segment::new(5001, 999_999_999, None) };
    assert_eq!(alone.say(&wrong), []);
    let said = Segment { bytes: b"there".to_vec(), ..Segment::new(5001, 1001, Some(next)) };
    assert_eq!(alone.say(&said)[0].bytes, b"there");
}

#[test]
fn a_repeated_request_neither_harms_its_connection_nor_makes_a_second() {
    let mut alone = Alone::new(settings());
    // Before the answer has come: it is repeated later, not made anew.
    let first = alone.say(&Segment::syn(5001, 1000));
    assert_eq!((first.len(), alone.say(&Segment::syn(5001, 1000))), (1, vec![]));
    let next = first[0].sequence.wrapping_add(1);
    alone.say(&Segment::new(5001, 1001, Some(next)));
    // Where the place in front of its connection's is free, so that a socket that listens would stand there.
    let next = alone.connect(5002);
    assert_eq!(alone.say(&Segment { rst: true, ..Segment::new(5001, 1001, None) }), []);
    let answers = alone.say(&Segment::syn(5002, 1000));
    assert!(answers.iter().all(|answer| !answer.rst && !answer.syn), "{answers:?}");
    let said = Segment { bytes: b"there".to_vec(), ..Segment::new(5002, 1001, Some(next)) };
    assert_eq!(alone.say(&said)[0].bytes, b"there");
    assert_eq!(alone.echo.accepted, 2);
}

#[test]
fn an_answer_to_a_request_is_repeated_and_its_connection_forgotten() {
    let mut alone = Alone::new(Settings { connections: 2, ..settings() });
    assert_eq!(alone.say(&Segment::syn(5001, 1000)).len(), 1);
    alone.world.now += SECOND;
    let again = alone.hear();
    assert!(again.len() == 1 && again[0].syn, "{again:?}");
    // The table is full until the older has had its time.
    assert_eq!(alone.say(&Segment::syn(5002, 1000)).len(), 1);
    assert_eq!(alone.say(&Segment::syn(5003, 1000)), []);
    alone.world.now += 2 * SECOND;
    let answers = alone.say(&Segment::syn(5003, 1000));
    assert!(answers.iter().any(|answer| answer.syn && answer.to == 5003), "{answers:?}");
    // Without pressure too, and without a word.
    alone.world.now += 10 * SECOND;
    alone.hear();
    alone.hear();
    assert_eq!(alone.world.stack.deadline(), u64::MAX);
    assert_eq!(alone.world.link.borrow().resets, 0);
}

#[test]
fn an_event_leaves_at_once_in_a_segment_of_its_own() {
    let mut alone = Alone::new(settings());
    alone.connect(5001);
    let (connection, _) = alone.echo.open.pop_first().expect("there is one");
    // None before it is acknowledged.
    for event in ["data: 1\n\n", "data: 2\n\n", "data: [DONE]\n\n"] {
        assert_eq!(alone.world.stack.send(connection, event.as_bytes()), event.len());
        let heard = alone.hear();
        let [segment] = &heard[..] else { panic!("{heard:?}") };
        assert_eq!(segment.bytes, event.as_bytes());
    }
}

#[test]
fn what_was_taken_is_delivered_after_close_and_the_wait_for_the_peer_is_bounded() {
    let mut alone = Alone::new(settings());
    let mut next = alone.connect(5001);
    let (connection, _) = alone.echo.open.pop_first().expect("there is one");
    assert_eq!(alone.world.stack.send(connection, &pattern(5000)), 5000);
    assert_eq!(alone.world.stack.unsent(connection), 5000);
    alone.world.stack.close(connection);
    // Its number is nobody's now.
    assert_eq!(alone.world.stack.receive(connection, &mut []), Received::Gone);
    assert_eq!(alone.world.stack.send(connection, b"more"), 0);
    let (mut received, mut fin) = (Vec::<u8>::new(), false);
    let mut answers = alone.hear();
    while !fin {
        for answer in &answers {
            assert_eq!(answer.sequence, next);
            received.extend(&answer.bytes);
            next = next.wrapping_add(answer.bytes.len() as u32);
            fin |= answer.fin;
        }
        answers = alone.say(&Segment::new(5001, 1001, Some(next.wrapping_add(fin.into()))));
    }
    assert_eq!(received, pattern(5000));
    // The peer goes on sending, and never ends: its bytes are nobody's, but acknowledged.
    next = next.wrapping_add(1);
    let mut sequence = 1001;
    for _ in 0..50 {
        let said = Segment { bytes: pattern(1000), ..Segment::new(5001, sequence, Some(next)) };
        alone.say(&said);
        sequence += 1000;
        alone.world.now += 20 * MILLISECOND;
        let heard = alone.hear();
        assert!(heard.iter().any(|answer| answer.acknowledge == Some(sequence)), "{heard:?}");
    }
    alone.world.now += 30 * SECOND;
    alone.say(&Segment::new(5001, sequence, Some(next)));
    alone.world.now += 30 * SECOND;
    assert!(alone.hear().iter().any(|answer| answer.rst));
    alone.hear();
    assert_eq!(alone.world.stack.deadline(), u64::MAX);
}

#[test]
fn a_peer_whose_window_stays_shut_when_it_has_all_is_reset() {
    let mut alone = Alone::new(settings());
    let next = alone.connect(5001);
    let (connection, _) = alone.echo.open.pop_first().expect("there is one");
    // It has no room, and then has got it all nevertheless, the end too.
    let shut = |next| Segment { window: 0, ..Segment::new(5001, 1001, Some(next)) };
    assert_eq!(alone.say(&shut(next)), []);
    assert_eq!(alone.world.stack.send(connection, &pattern(5000)), 5000);
    alone.world.stack.close(connection);
    alone.hear();
    alone.say(&shut(next.wrapping_add(5001)));
    let mut sent = 0;
    for _ in 0..10 {
        alone.world.now += SECOND;
        sent += alone.hear().len();
    }
    assert!(sent < 20, "{sent} segments");
    assert_eq!((alone.world.stack.figures().cut, alone.world.link.borrow().resets), (1, 1));
    assert_eq!(alone.world.stack.deadline(), u64::MAX);
}

#[test]
fn abort_resets_and_forgets() {
    let mut alone = Alone::new(settings());
    alone.connect(5001);
    let (connection, _) = alone.echo.open.pop_first().expect("there is one");
    alone.world.stack.send(connection, b"never");
    alone.world.stack.abort(connection);
    let answers = alone.hear();
    assert!(answers.len() == 1 && answers[0].rst, "{answers:?}");
    alone.hear();
    assert_eq!(alone.world.stack.deadline(), u64::MAX);
}

#[test]
fn connections_whose_peers_never_end_make_way_too() {
    let mut alone = Alone::new(Settings { connections: 4, ..settings() });
    for port in 5001..5021 {
        let next = alone.connect(port);
        let (connection, _) = alone.echo.open.pop_first().expect("there is one");
        alone.world.stack.close(connection);
        assert!(alone.hear().iter().any(|answer| answer.fin));
        assert_eq!(alone.say(&Segment::new(port, 1001, Some(next.wrapping_add(1)))), []);
    }
    assert_eq!(alone.world.stack.figures().turned_away, 0);
}

#[test]
fn a_client_may_use_its_port_again_at_once() {
    let mut alone = Alone::new(settings());
    let next = alone.connect(5001);
    let (connection, _) = alone.echo.open.pop_first().expect("there is one");
    alone.world.stack.close(connection);
    assert!(alone.hear().iter().any(|answer| answer.fin));
    let last = Segment { fin: true, ..Segment::new(5001, 1001, Some(next.wrapping_add(1))) };
    assert!(alone.say(&last).iter().all(|answer| !answer.rst));
    let answers = alone.say(&Segment::syn(5001, 900_000));
    assert!(answers.len() == 1 && answers[0].syn && answers[0].acknowledge == Some(900_001), "{answers:?}");
    // Also when the reset of its last connection has not left.
    let next = alone.connect(5002);
    let (connection, _) = alone.echo.open.pop_first().expect("there is one");
    alone.world.stack.abort(connection);
    alone.world.link.borrow_mut().room = 0;
    assert_eq!(alone.say(&Segment::syn(5002, next)), []);
    alone.world.link.borrow_mut().room = 256;
    alone.world.now += MILLISECOND;
    assert!(alone.hear().iter().any(|answer| answer.syn && answer.to == 5002));
}

#[test]
fn other_ports_refuse_and_groups_are_not_answered() {
    let mut alone = Alone::new(settings());
    let other = Segment { to: 81, ..Segment::syn(5001, 1000) };
    let answers = alone.say(&other);
    assert!(answers.len() == 1 && answers[0].rst, "{answers:?}");
    let ordinary = Segment::syn(5001, 1000);
    let change = |at: usize, bytes: &[u8]| {
        let mut frame = ordinary.frame("192.0.2.2", "192.0.2.1");
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        checksums(&mut frame);
        frame
    };
    // Behind options for all routers on the way.
    let mut options = ordinary.frame("2001:db8::2", "2001:db8::1");
    (options[19], options[20]) = (28, 0);
    options.splice(54..54, [6, 0, 1, 4, 0, 0, 0, 0]);
    let ways = [
        ("192.0.2.2", "224.0.0.1"),
        ("192.0.2.2", "255.255.255.255"),
        ("192.0.2.2", "127.0.0.1"),
        ("0.0.0.0", "192.0.2.1"),
        ("127.0.0.1", "192.0.2.1"),
        ("224.0.0.1", "192.0.2.1"),
        ("255.255.255.255", "192.0.2.1"),
        ("2001:db8::2", "ff02::1"),
        ("2001:db8::2", "::1"),
        ("2001:db8::2", "::"),
        ("::1", "2001:db8::1"),
    ];
    let mut refused: Vec<_> = ways.map(|(from, to)| ordinary.frame(from, to)).into();
    // To all at once, parts of packets, from and to no port, of no protocol that is known, too short.
    refused.extend([change(0, &[0xff; 6]), change(20, &[0x20]), change(21, &[1])]);
    refused.extend([change(34, &[0, 0]), change(36, &[0, 0]), change(12, &[0x12, 0x34]), options]);
    refused.push(change(0, &[])[..13].to_vec());
    for (number, frame) in (1..).zip(refused) {
        alone.world.link.borrow_mut().put(0, &frame, 0);
        assert_eq!(alone.hear(), [], "{frame:x?}");
        assert_eq!(alone.world.stack.figures().refused, number, "{frame:x?}");
    }
    alone.world.link.borrow_mut().put(0, &ordinary.frame("192.0.2.2", "192.0.2.255"), 0);
    assert_eq!(alone.hear(), []);
}

#[test]
fn a_poll_takes_so_many_frames_and_says_that_there_are_more() {
    let mut alone = Alone::new(settings());
    let frame = Segment::syn(5001, 1000).frame("192.0.2.2", "192.0.2.1");
    for _ in 0..1000 {
        alone.world.link.borrow_mut().put(0, &frame, 0);
    }
    let world = &mut alone.world;
    let before = world.stack.figures().received;
    for expected in [256, 512, 768, 1000] {
        world.link.borrow_mut().now = world.now;
        world.stack.poll(world.now);
        assert_eq!(world.stack.figures().received - before, expected);
        assert_eq!(world.stack.deadline() <= world.now, expected < 1000);
    }
}
