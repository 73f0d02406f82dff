//! The worker pool under load: every part is done exactly once, and every wake-up arrives.

use std::sync::atomic::{AtomicUsize, Ordering};

use embodios_inference::platform::host::Host;
use embodios_inference::platform::{CoreSet, PlatformError};
use embodios_inference::pool::{DEFAULT_SPIN, Pool, Settings};

#[test]
fn every_part_is_done_once_with_any_number_of_workers() {
    for workers in 1..=8 {
        // No spinning at all is the hardest case for wake-ups; the second mixes both ways.
        for spin in [0, 20, DEFAULT_SPIN] {
            let mut pool =
                Pool::start(Host::unpinned(workers), &CoreSet::first(workers), Settings { spin }).unwrap();
            assert_eq!(pool.workers(), workers);
            let mut counts = vec![0u32; 1003];
            let rounds = if spin == 0 { 2_000 } else { 300 };
            for round in 0..rounds {
                let length = round % counts.len();
                pool.split(&mut counts[..length], 4, |first, part| {
                    assert!(first % 4 == 0);
                    part.iter_mut().for_each(|count| *count += 1);
                });
            }
            for (index, &count) in counts.iter().enumerate() {
                let expected = (0..rounds).filter(|round| round % 1003 > index).count();
                assert_eq!(count as usize, expected, "element {index}, {workers} workers, spin {spin}");
            }
        }
    }
}

#[test]
fn pairs_stay_together() {
    let mut pool =
        Pool::start(Host::unpinned(3), &CoreSet::first(3), Settings { spin: DEFAULT_SPIN }).unwrap();
    let (mut first, mut second) = (vec![0; 7 * 5], vec![0; 7 * 2]);
    pool.split_both((&mut first, 5), (&mut second, 2), |unit, first, second| {
        for (unit, (first, second)) in (unit..).zip(first.chunks_mut(5).zip(second.chunks_mut(2))) {
            first.fill(unit);
            second.fill(unit);
        }
    });
    assert!(first.iter().enumerate().all(|(index, &unit)| unit == index / 5));
    assert!(second.iter().enumerate().all(|(index, &unit)| unit == index / 2));
}

#[test]
fn workers_sleep_and_come_back() {
    let host = Host::unpinned(4);
    let mut pool = Pool::start(host, &CoreSet::first(4), Settings { spin: 10 }).unwrap();
    for _ in 0..20 {
        let calls = AtomicUsize::new(0);
        pool.run(&|_| {
            calls.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(calls.into_inner(), 4);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[test]
fn a_pool_ends_and_another_begins() {
    let host = Host::unpinned(4);
    for round in 0..200 {
        let mut pool =
            Pool::start(host, &CoreSet::first(1 + round % 4), Settings { spin: DEFAULT_SPIN }).unwrap();
        let mut parts = vec![0; 8];
        pool.split(&mut parts, 1, |first, part| part.iter_mut().for_each(|value| *value += first + 1));
        assert!(parts.iter().all(|&value| value > 0));
    }
}

#[test]
fn more_workers_than_cores_are_refused() {
    assert_eq!(
        Pool::start(Host::unpinned(2), &CoreSet::first(3), Settings { spin: 0 }).err(),
        Some(PlatformError::Offline(2))
    );
    assert_eq!(
        Pool::start(Host::unpinned(2), &CoreSet::first(0), Settings { spin: 0 }).err(),
        Some(PlatformError::NoCores)
    );
}
