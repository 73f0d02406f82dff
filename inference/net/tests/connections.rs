//! Connections in all their phases, with a client that keeps to the rules on a network that may not.

mod common;

use common::packets::segment_of;
use common::{
    CLIENT_MAC, Echo, End, Exchange, Faults, MILLISECOND, SECOND, Segment, World, pattern, settings,
};
use embodios_net::{Address, Network, Received, Settings, Stack};
use smoltcp::socket::tcp::State;

#[test]
fn bytes_go_both_ways_over_every_kind_of_address() {
    for address in ["192.0.2.1", "2001:db8::1", "fe80::ff:fe00:1"] {
        let mut world = World::new(settings());
        let mut echo = Echo::default();
        let mut exchange = Exchange::new(world.client.connect_to(address, 65_536), pattern(300_000));
        assert!(world.run(10 * SECOND, &mut |stack| echo.serve(stack), &mut |client| exchange.go_on(client)));
        assert_eq!(exchange.received, exchange.send, "{address}");
        assert_eq!((echo.accepted, echo.ended, world.link.borrow().resets), (1, 1, 0));
    }
}

#[test]
fn a_client_that_has_sent_all_is_still_answered() {
    let mut world = World::new(settings());
    let handle = world.client.connect();
    let mut exchange = Exchange::new(handle, b"request".to_vec());
    let answer = pattern(200_000);
    let (mut sent, mut connection, mut ends) = (0, None, 0);
    let mut serve = |stack: &mut Stack<End>| {
        connection = connection.or_else(|| stack.accept());
        let Some(open) = connection else { return };
        let mut buffer = [0; 100];
        match stack.receive(open, &mut buffer) {
            Received::End => ends += 1,
            Received::Gone => return,
            Received::Bytes(bytes) => assert_eq!(&buffer[..bytes], b"request"),
            Received::Nothing => {}
        }
        if ends > 0 {
            assert_eq!(stack.receive(open, &mut []), Received::End);
            sent += stack.send(open, &answer[sent..]);
            if sent == answer.len() {
                stack.close(open);
                assert!(!stack.is_delivered());
            }
        }
    };
    assert!(world.run(10 * SECOND, &mut serve, &mut |client| exchange.go_on(client)));
    world.pass(SECOND, &mut |_| {});
    assert!(world.stack.is_delivered());
    assert_eq!(exchange.received, answer);
}

#[test]
fn a_client_that_ends_before_it_has_sent_anything_is_seen() {
    let mut world = World::new(settings());
    let mut echo = Echo::default();
    let mut exchange = Exchange::new(world.client.connect(), Vec::new());
    assert!(world.run(SECOND, &mut |stack| echo.serve(stack), &mut |client| exchange.go_on(client)));
    assert_eq!((echo.accepted, echo.ended, echo.gone), (1, 1, 0));
}

#[test]
fn a_network_that_makes_mistakes_costs_time_and_no_bytes() {
    let all = Faults { lost: 30, repeated: 30, late: 100, damaged: 20, cut: 10 };
    let faults = [
        Faults { lost: 100, ..Faults::default() },
        Faults { repeated: 300, ..Faults::default() },
        Faults { late: 500, ..Faults::default() },
        Faults { damaged: 100, ..Faults::default() },
        Faults { cut: 100, ..Faults::default() },
        all,
    ];
    for (seed, faults) in (1..).zip(faults.into_iter().cycle().take(60)) {
        let mut world = World::with(settings(), faults, seed);
        let mut echo = Echo::default();
        let address = ["192.0.2.1", "2001:db8::1"][seed as usize % 2];
        let mut exchange = Exchange::new(world.client.connect_to(address, 65_536), pattern(60_000));
        let done =
            world.run(590 * SECOND, &mut |stack| echo.serve(stack), &mut |client| exchange.go_on(client));
        assert!(done, "{seed} {faults:?}: {} of {} back", exchange.received.len(), exchange.sent);
        assert!(exchange.received == exchange.send, "{seed} {faults:?}");
    }
}

#[test]
fn sixty_four_at_once_are_taken_without_a_reset_or_a_repetition() {
    let mut world = World::new(settings());
    let mut echo = Echo::default();
    let mut exchanges: Vec<_> =
        (0..64).map(|number| Exchange::new(world.client.connect(), pattern(1000 + number))).collect();
    let done = world.run(900 * MILLISECOND, &mut |stack| echo.serve(stack), &mut |client| {
        exchanges.iter_mut().map(|exchange| usize::from(!exchange.go_on(client))).sum::<usize>() == 0
    });
    assert!(done, "a request was repeated");
    assert!(exchanges.iter().all(|exchange| exchange.received == exchange.send));
    assert_eq!((world.link.borrow().resets, world.stack.figures().turned_away), (0, 0));
}

#[test]
fn a_thousand_at_once_are_all_served_in_the_end_and_none_is_reset() {
    let mut world = World::new(settings());
    let mut echo = Echo::default();
    let mut exchanges: Vec<_> = (0..1000)
        .map(|number| Exchange::new(world.client.connect_to("192.0.2.1", 2048), pattern(100 + number)))
        .collect();
    let mut left: Vec<usize> = (0..exchanges.len()).collect();
    let done = world.run(300 * SECOND, &mut |stack| echo.serve(stack), &mut |client| {
        left.retain(|number| !exchanges[*number].go_on(client));
        left.is_empty()
    });
    assert!(done, "{} of {} were not served", left.len(), exchanges.len());
    assert!(exchanges.iter().all(|exchange| exchange.received == exchange.send));
    assert_eq!(world.link.borrow().resets, 0);
    assert!(world.stack.figures().turned_away > 0);
}

#[test]
fn a_slow_reader_is_waited_for_and_slows_nobody_else() {
    let mut world = World::new(settings());
    let slow = world.client.connect_to("192.0.2.1", 4096);
    let answer = pattern(100_000);
    let (mut connection, mut sent, mut echo) = (None, 0, Echo::default());
    let mut serve = |stack: &mut Stack<End>| {
        connection = connection.or_else(|| stack.accept());
        let Some(open) = connection else { return };
        if sent < answer.len() {
            sent += stack.send(open, &answer[sent..]);
            assert!(stack.unsent(open) <= 32 << 10);
            if sent == answer.len() {
                stack.close(open);
            }
        }
        echo.serve(stack);
    };
    world.pass(300 * SECOND, &mut serve);
    let mut other = Exchange::new(world.client.connect(), pattern(50_000));
    assert!(world.run(SECOND, &mut serve, &mut |client| other.go_on(client)));
    assert_eq!(other.received, other.send);
    let mut received = Vec::new();
    let done = world.run(60 * SECOND, &mut serve, &mut |client| {
        client.receive(slow, &mut received);
        client.ended(slow)
    });
    assert!(done && received == answer, "{} bytes", received.len());
}

#[test]
fn a_peer_that_is_gone_is_noticed_idle_or_not() {
    for bytes in [0, 10_000] {
        let mut world = World::new(settings());
        let handle = world.client.connect();
        let (mut connection, mut gone) = (None, None);
        assert!(world.run(
            SECOND,
            &mut |stack| connection = connection.or_else(|| stack.accept()),
            &mut |client| client.state(handle) == State::Established
        ));
        world.pass(SECOND, &mut |stack| connection = connection.or_else(|| stack.accept()));
        let open = connection.expect("it is connected");
        world.link.borrow_mut().broken = true;
        assert_eq!(world.stack.send(open, &pattern(bytes)), bytes);
        let cut = world.now;
        for _ in 0..100 {
            world.pass(SECOND, &mut |_| {});
            if gone.is_none() && world.stack.receive(open, &mut []) == Received::Gone {
                gone = Some(world.now);
            }
        }
        let after = (gone.expect("it is noticed") - cut) / SECOND;
        assert!((40..=65).contains(&after), "after {after} s");
        world.stack.close(open);
    }
}

#[test]
fn an_idle_connection_lives_for_hours_and_wakes_nobody_often() {
    let mut world = World::new(settings());
    let mut echo = Echo::default();
    let handle = world.client.connect();
    world.pass(SECOND, &mut |stack| echo.serve(stack));
    let before = world.polls;
    world.pass(7200 * SECOND, &mut |stack| echo.serve(stack));
    assert!(world.polls - before < 4 * 7200 / 15, "{} polls", world.polls - before);
    let mut exchange = Exchange::new(handle, pattern(1000));
    assert!(world.run(SECOND, &mut |stack| echo.serve(stack), &mut |client| exchange.go_on(client)));
    assert_eq!(exchange.received, exchange.send);
}

#[test]
fn connections_that_the_server_ends_never_use_up_the_table() {
    let mut world = World::new(Settings { connections: 4, ..settings() });
    // Each is closed by the server first, and so waits in the table.
    let mut serve = |stack: &mut Stack<End>| {
        while let Some(connection) = stack.accept() {
            assert_eq!(stack.send(connection, b"answer"), 6);
            stack.close(connection);
        }
    };
    for _ in 0..100 {
        let handle = world.client.connect();
        let mut received = Vec::new();
        assert!(world.run(900 * MILLISECOND, &mut serve, &mut |client| {
            client.receive(handle, &mut received);
            client.ended(handle) && client.state(handle) == State::CloseWait
        }));
        assert_eq!(received, b"answer");
        world.client.socket(handle).close();
        assert!(world.run(MILLISECOND, &mut serve, &mut |client| client.state(handle) == State::Closed));
    }
    assert_eq!((world.link.borrow().resets, world.stack.figures().turned_away), (0, 0));
}

#[test]
fn a_connection_that_is_gone_before_it_is_accepted_is_not_accepted() {
    let mut world = World::new(settings());
    let (first, second) = (world.client.connect(), world.client.connect());
    world.pass(SECOND, &mut |_| {});
    world.client.socket(first).abort();
    world.pass(SECOND, &mut |_| {});
    let connection = world.stack.accept().expect("the second is there");
    assert_eq!(world.stack.accept(), None);
    assert_eq!(world.stack.receive(connection, &mut []), Received::Nothing);
    assert_eq!(world.client.state(second), State::Established);
}

#[test]
fn a_client_behind_the_gateway_is_answered_through_it() {
    let given = |text| Address::parse(text).expect("it is right");
    let addresses = vec![given("192.0.2.1/24,192.0.2.2"), given("2001:db8::1/64,fe80::2")];
    let mut world = World::new(Settings { addresses, ..settings() });
    for (from, to) in [("198.51.100.7", "192.0.2.1"), ("2001:db8:9::7", "2001:db8::1")] {
        world.link.borrow_mut().log = Some(Vec::new());
        world.link.borrow_mut().put(0, &Segment::syn(5001, 1000).frame(from, to), 0);
        world.pass(2 * SECOND, &mut |_| {});
        let log = world.link.borrow_mut().log.take().expect("there is one");
        let answer = log.iter().find(|frame| segment_of(frame).is_some_and(|segment| segment.syn));
        let answer = answer.expect("it is answered");
        assert_eq!(answer[..6], CLIENT_MAC);
        world.link.borrow_mut().put(
            0,
            &Segment { rst: true, ..Segment::new(5001, 1001, None) }.frame(from, to),
            0,
        );
        world.pass(SECOND, &mut |_| {});
    }
}

#[test]
fn a_device_without_room_is_waited_for_and_not_asked_without_pause() {
    let mut world = World::new(settings());
    world.link.borrow_mut().room = 2;
    let mut echo = Echo::default();
    let mut exchange = Exchange::new(world.client.connect(), pattern(100_000));
    assert!(world.run(10 * SECOND, &mut |stack| echo.serve(stack), &mut |client| exchange.go_on(client)));
    assert_eq!(exchange.received, exchange.send);
    // With no room at all, time goes on in steps.
    world.link.borrow_mut().room = 0;
    let handle = world.client.connect();
    let before = world.polls;
    world.pass(SECOND / 10, &mut |stack| echo.serve(stack));
    assert!(world.polls - before < 200, "{} polls", world.polls - before);
    world.link.borrow_mut().room = 2;
    assert!(world.run(SECOND, &mut |stack| echo.serve(stack), &mut |client| {
        client.state(handle) == State::Established
    }));
}
