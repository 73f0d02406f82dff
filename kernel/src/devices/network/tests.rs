//! The driver against devices that work and devices that lie.

use super::*;
use crate::devices::transport::fake::{Fake, Manners};
use crate::devices::transport::status;
use core::sync::atomic::AtomicU64;
use embodios_abi::network::encode_buffer;
use proptest::prelude::*;
use std::sync::Arc;

const WORKS: u64 = 1 << 32 | MAC | 1 << 15;

fn network(manners: Manners) -> (Network, Arc<AtomicU64>, Arc<AtomicU64>) {
    let fake = Fake::new(manners);
    let (chosen, notified) = (fake.chosen.clone(), fake.notified.clone());
    (
        Network::on(Box::new(fake), SharedMemory::of_test(shared::END), SharedMemory::of_test(own::END)),
        chosen,
        notified,
    )
}

fn working() -> (Network, Arc<AtomicU64>) {
    let (mut network, chosen, notified) =
        network(Manners { offered: WORKS, entries: QUEUE as u16, ..Manners::default() });
    network.start().expect("it works");
    assert_eq!(chosen.load(Ordering::Relaxed), 1 << 32 | MAC);
    assert_eq!(notified.load(Ordering::Relaxed), 0);
    (network, notified)
}

fn descriptor(network: &Network, table: u64, index: u64) -> [u64; 2] {
    // SAFETY: inside the table of a test.
    unsafe { *((network.own.start.0 + table + 16 * index) as *const [u64; 2]) }
}

#[test]
fn every_descriptor_of_receive_is_a_buffer_to_fill() {
    let (network, _) = working();
    assert_eq!(network.mac, [0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0, 0]);
    for index in 0..QUEUE as u64 {
        let address = network.shared.start.0 + index * BUFFER as u64;
        let [at, rest] = descriptor(&network, own::RECEIVE_DESCRIPTORS, index);
        assert_eq!((at, rest), (address, BUFFER as u64 | 2 << 32));
    }
}

#[test]
fn a_device_that_does_not_keep_to_the_protocol_is_named_and_not_used() {
    let entries = QUEUE as u16;
    let legacy = Manners { offered: MAC, entries, ..Manners::default() };
    let refuses = Manners { offered: WORKS, hides: status::FEATURES_OK, entries, ..Manners::default() };
    let short = Manners { offered: WORKS, entries: entries - 1, ..Manners::default() };
    let stuck = Manners { offered: WORKS, sticks: 1, entries, ..Manners::default() };
    for (manners, error) in [
        (legacy, DeviceError::Legacy),
        (refuses, DeviceError::FeaturesRefused),
        (short, DeviceError::ShortQueue { queue: 0, entries: (entries - 1).into() }),
        (stuck, DeviceError::StuckInReset),
    ] {
        let (mut network, ..) = network(manners);
        assert_eq!(network.start(), Err(error));
        assert_eq!(network.send([encode_buffer(0, 64)].into_iter()), Err(Error::NoSuchBuffer));
    }
}

#[test]
fn nothing_of_an_earlier_engine_is_left() {
    let (mut network, _) = working();
    let shared = network.shared;
    // SAFETY: the memory of this test.
    let words = unsafe {
        core::slice::from_raw_parts(shared.start.0 as *const AtomicU64, shared.length() as usize / 8)
    };
    words.iter().for_each(|word| word.store(u64::MAX, Ordering::Relaxed));
    network.start().expect("it works again");
    let buffers = shared::AVAILABLE as usize / 8;
    assert!(words[..buffers].iter().all(|word| word.load(Ordering::Relaxed) == 0));
    assert_eq!(network.event().load(Ordering::Relaxed), 0);
}

#[test]
fn no_memory_is_used_again_before_the_device_has_said_that_it_is_reset() {
    let manners = Manners { offered: WORKS, entries: QUEUE as u16, ..Manners::default() };
    let fake = Fake::new(manners);
    let (notified, queues, lag) = (fake.notified.clone(), fake.queues.clone(), fake.lag.clone());
    let (shared, own) = (SharedMemory::of_test(shared::END), SharedMemory::of_test(own::END));
    let mut network = Network::on(Box::new(fake), shared, own);
    network.start().expect("it works");
    // All that the device was told of is the kernel's for good, whoever the engine is.
    let inside = |part: PhysRange, address: u64| (part.start.0..part.end.0).contains(&address);
    let queues = queues.lock().expect("no test panics here").clone();
    assert_eq!(queues.len(), 2);
    for rings in &queues {
        let Rings { descriptors, available, used } = *rings;
        assert!([descriptors, available, used].into_iter().all(|at| inside(*shared, at) || inside(*own, at)));
        for index in 0..QUEUE as u64 {
            let [at, _] = descriptor(&network, descriptors - own.start.0, index);
            assert!(inside(*shared, at) && inside(*shared, at + BUFFER as u64 - 1));
        }
    }
    // An engine ends while the device is at work, and takes its time to stop.
    lag.store(9, Ordering::Relaxed);
    network.stop().expect("it comes to an end");
    assert_eq!(lag.load(Ordering::Relaxed), 0, "the end was not waited for");
    assert_eq!(network.send([encode_buffer(0, 64)].into_iter()), Err(Error::NoSuchBuffer));
    assert_eq!(network.submit(RECEIVE, 0, 0), Err(Error::NoSuchBuffer));
    assert_eq!(notified.load(Ordering::Relaxed), 0);
    // A fresh engine finds nothing of what came after the end of the one before.
    lag.store(9, Ordering::Relaxed);
    network.start().expect("it works again");
    for rings in &queues {
        let [buffer, _] = descriptor(&network, rings.descriptors - own.start.0, 0);
        // SAFETY: a buffer in the memory of this test.
        assert_eq!(unsafe { *(buffer as *const u64) }, 0);
    }
}

#[test]
fn an_interrupt_is_counted_in_the_word() {
    let (network, _) = working();
    network.interrupt();
    network.interrupt();
    assert_eq!(network.event().load(Ordering::Relaxed), 2);
}

#[test]
fn no_more_is_sent_than_there_is_room_for() {
    let (mut network, notified) = working();
    let words = || (0..QUEUE as u32 + 1).map(|buffer| encode_buffer(buffer % QUEUE as u32, 60));
    assert_eq!(network.send(words()), Ok(QUEUE as u64));
    assert_eq!(network.send(words()), Ok(0));
    // One bell for all, and none where the device looks by itself.
    assert_eq!(notified.load(Ordering::Relaxed), 1 << 32);
    network.half(own::TRANSMIT_USED + 2).store(2, Ordering::Relaxed);
    network.half(own::TRANSMIT_USED).store(NO_NOTIFY, Ordering::Relaxed);
    assert_eq!(network.send(words()), Ok(2));
    assert_eq!(notified.load(Ordering::Relaxed), 1 << 32);
}

proptest! {
    #[test]
    fn whatever_the_engine_names_and_the_device_says_no_other_memory_is_reached(
        rounds in proptest::collection::vec(
            (any::<u16>(), proptest::collection::vec((0..2 * QUEUE as u32, 0..4096u32), 0..300)), 1..20),
        wild in proptest::collection::vec(any::<u64>(), 0..20),
    ) {
        let (mut network, _) = working();
        for (used, words) in rounds {
            network.half(own::TRANSMIT_USED + 2).store(used, Ordering::Relaxed);
            let words = words.into_iter().map(|(buffer, length)| encode_buffer(buffer, length));
            let _ = network.send(words.chain(wild.iter().copied()));
        }
        for index in 0..QUEUE as u64 {
            let [at, rest] = descriptor(&network, own::TRANSMIT_DESCRIPTORS, index);
            prop_assert_eq!(at, network.shared.start.0 + (QUEUE as u64 + index) * BUFFER as u64);
            prop_assert!(rest <= BUFFER as u64, "no flag, and no length beyond the buffer: {:#x}", rest);
            let entry = network.half(own::TRANSMIT_AVAILABLE + ENTRIES + 2 * index);
            prop_assert!(usize::from(entry.load(Ordering::Relaxed)) < QUEUE);
        }
    }
}
