//! The worker pool's contract: the division of work, the workers' cores, and refusals.

mod stages;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use embodios_host::Host;
use embodios_pool::platform::{CoreSet, Platform as _, PlatformError};
use embodios_pool::{DEFAULT_SPIN, Deterministic, Mode, Pool, PoolError, PoolSettings};

fn pool(workers: usize, spin: u32) -> Pool {
    let settings = PoolSettings { spin, ..PoolSettings::default() };
    Pool::start(Host::unpinned(workers), &CoreSet::first(workers), settings).unwrap()
}

fn set(cores: &str) -> CoreSet {
    cores.parse().unwrap()
}

/// The core of each worker, as the core itself says, by worker.
fn places(pool: &mut Pool) -> Vec<usize> {
    let places = vec![(); pool.workers()].iter().map(|()| AtomicUsize::new(usize::MAX)).collect::<Vec<_>>();
    let platform = pool.platform();
    pool.run(&|worker| places[worker].store(platform.current_core(), Relaxed));
    places.into_iter().map(AtomicUsize::into_inner).collect()
}

#[test]
fn every_part_is_done_once_with_any_number_of_workers() {
    for workers in 1..=8 {
        // No spinning at all is the hardest case for wake-ups; the second mixes both ways.
        for spin in [0, 20, DEFAULT_SPIN] {
            let mut pool = pool(workers, spin);
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
    let mut pool = pool(3, DEFAULT_SPIN);
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
fn slices_of_one_length_are_cut_alike() {
    for workers in [1, 3, 4] {
        let mut pool = pool(workers, DEFAULT_SPIN);
        for count in 0..=5 {
            let mut slices: Vec<_> = (0..count).map(|_| vec![0; 23]).collect();
            let all = slices.iter_mut().map(|slice| &mut **slice);
            pool.split_across::<usize, 5>(all, 4, |first, runs| {
                assert_eq!(runs.len(), count);
                assert!(first % 4 == 0 && runs.iter().all(|run| run.len() == runs[0].len()));
                for (slice, run) in runs.iter_mut().enumerate() {
                    run.iter_mut()
                        .enumerate()
                        .for_each(|(index, value)| *value += 100 * slice + first + index);
                }
            });
            for (slice, values) in slices.iter().enumerate() {
                assert!(values.iter().enumerate().all(|(index, &value)| value == 100 * slice + index));
            }
        }
    }
}

#[test]
#[should_panic(expected = "slices of one length")]
fn slices_of_two_lengths_are_refused() {
    let (mut first, mut second) = ([0; 8], [0; 9]);
    let slices = [&mut first[..], &mut second[..]].into_iter();
    pool(2, DEFAULT_SPIN).split_across::<_, 2>(slices, 4, |_, _| {});
}

#[test]
fn workers_sleep_and_come_back() {
    let mut pool = pool(4, 10);
    for _ in 0..20 {
        let calls = AtomicUsize::new(0);
        pool.run(&|_| {
            calls.fetch_add(1, Relaxed);
        });
        assert_eq!(calls.into_inner(), 4);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let asleep: u64 = pool.monitor().workers()[1..].iter().map(|worker| worker.work.asleep_ns).sum();
    assert!(asleep > 3 * 10 * 1_000_000, "{asleep}");
}

#[test]
fn a_worker_is_where_it_was_put() {
    let host = Host::unpinned(8);
    host.set_affinity(host.current_thread(), &set("5-6")).unwrap();
    let mut pool = Pool::start(host, &CoreSet::first(4), PoolSettings::default()).unwrap();
    assert_eq!(places(&mut pool), [0, 1, 2, 3]);
    pool.resize(&set("1,3,7")).unwrap();
    assert_eq!((places(&mut pool), pool.cores()), (vec![1, 3, 7], &[1, 3, 7][..]));
    assert_eq!(host.affinity(host.current_thread()), Ok(set("1")));
    drop(pool);
    assert_eq!(host.affinity(host.current_thread()), Ok(set("5-6")));
}

#[test]
fn processors_are_asked_where_a_worker_runs() {
    let mut cores = std::thread::available_parallelism().unwrap().get();
    while cores > 0 {
        let host = Host::leak(cores);
        let mut pool = Pool::start(host, &CoreSet::first(cores), PoolSettings::default()).unwrap();
        for _ in 0..50 {
            assert!(places(&mut pool).into_iter().eq(0..cores));
        }
        let last = cores - 1;
        pool.resize(&CoreSet::from_iter([last])).unwrap();
        assert_eq!(places(&mut pool), [last]);
        drop(pool);
        let moved = host.set_affinity(host.current_thread(), &CoreSet::from_iter([last]));
        assert_eq!((moved, host.current_core()), (Ok(()), last));
        cores /= 2;
    }
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut cores = Host::unpinned(4).cores().to_vec();
    cores[3].online = false;
    let host = Host::described(cores);
    let before = host.affinity(host.current_thread());
    for (cores, error) in [
        (CoreSet::new(), PlatformError::NoCores),
        (set("1-3"), PlatformError::Offline(3)),
        (set("0,9"), PlatformError::Offline(9)),
    ] {
        assert_eq!(Pool::start(host, &cores, PoolSettings::default()).err(), Some(error));
        assert_eq!(host.affinity(host.current_thread()), before);
        let mut pool = Pool::start(host, &set("0-1"), PoolSettings::default()).unwrap();
        assert_eq!(pool.resize(&cores), Err(PoolError::Platform(error)));
        assert_eq!(places(&mut pool), [0, 1]);
    }
    assert_eq!(host.affinity(host.current_thread()), before);
}

#[test]
fn a_grain_is_not_cut() {
    for (mode, grain) in [(Mode::Static, 7), (Mode::Dynamic, 7), (Mode::Static, 100), (Mode::Dynamic, 100)] {
        let mut pool = pool(3, 20);
        pool.set_mode(mode);
        let parts = Mutex::new(Vec::new());
        pool.parallel_for(5..70, grain, |_, part| parts.lock().unwrap().push(part)).unwrap();
        let mut parts = parts.into_inner().unwrap();
        parts.sort_unstable_by_key(|part| part.start);
        assert_eq!((parts[0].start, parts[parts.len() - 1].end), (5, 70));
        assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start), "{parts:?}");
        assert!(parts.iter().all(|part| (part.start - 5) % grain == 0), "{parts:?}");
    }
}

#[test]
fn static_shares_are_always_the_same() {
    let shares = |pool: &Pool| {
        let shares = Mutex::new(vec![0..0; 3]);
        pool.parallel_for(0..1000, 1, |worker, part| shares.lock().unwrap()[worker] = part).unwrap();
        shares.into_inner().unwrap()
    };
    let pool = pool(3, 20);
    assert!((0..100).all(|_| shares(&pool) == [0..333, 333..666, 666..1000]));
}

#[test]
fn idle_workers_take_work_from_a_busy_one() {
    let mut pool = pool(2, DEFAULT_SPIN);
    pool.set_mode(Mode::Dynamic);
    // The caller's first piece ends only when all others are done, so the other worker must take the caller's.
    let done = AtomicUsize::new(0);
    let begun = AtomicUsize::new(0);
    pool.parallel_for(0..100, 1, |_, part| {
        if begun.fetch_add(1, Relaxed) == 0 {
            while done.load(Relaxed) < 99 {
                std::thread::yield_now();
            }
        }
        done.fetch_add(part.len(), Relaxed);
    })
    .unwrap();
    let workers = pool.monitor().workers();
    assert_eq!(workers.iter().map(|worker| worker.work.items).sum::<u64>(), 100);
    assert!(workers.iter().any(|worker| worker.work.items == 1 && worker.work.steals == 0));
    assert!(workers.iter().any(|worker| worker.work.items == 99 && worker.work.steals > 1));
}

#[test]
fn a_short_loop_stays_with_the_caller() {
    let pool = pool(2, DEFAULT_SPIN);
    let outcome = pool.parallel_for(3..4, 0, |worker, part| assert_eq!((worker, part), (0, 3..4)));
    assert_eq!(outcome, Ok(()));
    let calls = AtomicUsize::new(0);
    pool.parallel_for(9..9, 0, |_, _| {
        calls.fetch_add(1, Relaxed);
    })
    .unwrap();
    pool.parallel_for(0..1 << 40, 0, |_, _| {
        calls.fetch_add(1, Relaxed);
    })
    .unwrap();
    assert_eq!(calls.into_inner(), 2);
}

#[test]
fn a_loop_inside_a_loop_runs_on_its_worker() {
    for mode in [Mode::Static, Mode::Dynamic] {
        let mut pool = pool(3, 20);
        pool.set_mode(mode);
        let (pool, sum) = (&pool, AtomicUsize::new(0));
        pool.parallel_for(0..12, 1, |outer, _| {
            let calls = AtomicUsize::new(0);
            pool.parallel_for(0..1_000_000, 1, |inner, part| {
                assert_eq!((inner, part), (outer, 0..1_000_000));
                calls.fetch_add(1, Relaxed);
            })
            .unwrap();
            sum.fetch_add(calls.into_inner(), Relaxed);
        })
        .unwrap();
        assert_eq!(sum.into_inner(), if mode == Mode::Static { 3 } else { 12 });
    }
}

#[test]
fn a_pool_at_work_refuses_a_stranger() {
    let pool = &pool(2, 20);
    pool.parallel_for(0..2, 1, |worker, _| {
        if worker == 0 {
            let stranger = || pool.parallel_for(0..5, 1, |_, _| unreachable!());
            let outcome = std::thread::scope(|scope| scope.spawn(stranger).join().unwrap());
            assert!(matches!(outcome, Err(PoolError::Foreign(_))), "{outcome:?}");
        }
    })
    .unwrap();
}

#[test]
fn a_panic_is_contained_and_reported() {
    for (workers, mode) in [(1, Mode::Static), (3, Mode::Static), (3, Mode::Dynamic)] {
        let mut pool = pool(workers, 20);
        pool.set_mode(mode);
        for bad in [0, 17, 29] {
            let outcome = pool.parallel_for(0..30, 1, |_, part| {
                assert!(!part.contains(&bad), "index {bad}");
            });
            let Err(PoolError::Panicked { worker, message }) = outcome else { panic!("{outcome:?}") };
            assert!(worker < workers && message == format!("index {bad}"), "{worker} {message}");
            assert_eq!(pool.parallel_for(0..30, 1, |_, _| {}), Ok(()));
        }
        let last = workers - 1;
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(&|worker| assert!(worker != last, "worker {last}"));
        }));
        assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&format!("worker {last}")));
        assert_eq!(places(&mut pool).len(), workers);
    }
}

#[test]
fn groups_work_apart() {
    let mut pool = pool(7, 20);
    for round in 0..300 {
        let sizes = [[3, 2, 1], [1, 1, 5], [2, 2, 2]][round % 3];
        let totals = [(); 3].map(|()| AtomicUsize::new(0));
        pool.groups(&sizes, |group, pool| {
            assert_eq!(pool.workers(), sizes[group]);
            let first: usize = sizes[..group].iter().sum();
            assert_eq!(pool.cores(), (first..first + sizes[group]).collect::<Vec<_>>());
            for _ in 0..=group {
                let mut parts = vec![0; 100];
                pool.split(&mut parts, 1, |first, part| {
                    part.iter_mut().for_each(|value| *value += first + 1)
                });
                assert!(parts.iter().all(|&value| value > 0));
                pool.parallel_for(0..100, 1, |_, part| {
                    totals[group].fetch_add(part.len(), Relaxed);
                })
                .unwrap();
            }
            assert_eq!(pool.groups(&[1], |_, _| ()), Err(PoolError::InGroup));
            assert_eq!(pool.resize(&set("0")), Err(PoolError::InGroup));
        })
        .unwrap();
        assert_eq!(totals.map(AtomicUsize::into_inner), [100, 200, 300]);
    }
    for sizes in [&[4, 4][..], &[0, 1]] {
        let wanted = sizes.iter().sum();
        let refusal = Err(PoolError::Groups { wanted, workers: 7 });
        assert_eq!(pool.groups(sizes, |_, _| unreachable!()), refusal);
    }
    let outcome = pool.groups(&[2, 2], |group, pool| pool.run(&|_| assert!(group != 1, "second")));
    assert!(matches!(outcome, Err(PoolError::Panicked { message, .. }) if message == "second"));
    assert_eq!(places(&mut pool).len(), 7);
}

#[test]
fn deterministic_mode_reserves_and_restores() {
    let host = Host::unpinned(4);
    let settings = PoolSettings { mode: Mode::Dynamic, ..PoolSettings::default() };
    let mut pool = Pool::start(host, &set("1-2"), settings).unwrap();
    extern "C" fn nothing(_: usize) {}
    let refused = |core: usize| host.core_counters(core).refused_allocations;
    let deterministic = Deterministic { budget_ns: 0, spin: true };
    pool.deterministic(deterministic, |pool| {
        pool.set_mode(Mode::Dynamic);
        let shares = Mutex::new(Vec::new());
        // Shorter than any threshold, and yet each worker has its share.
        pool.parallel_for(0..2, 0, |worker, part| shares.lock().unwrap().push((worker, part))).unwrap();
        let mut shares = shares.into_inner().unwrap();
        shares.sort_by_key(|share| share.0);
        assert_eq!(shares, [(0, 0..1), (1, 1..2)]);
        assert_eq!(host.start_thread(&set("2-3"), nothing, 0).err(), Some(PlatformError::Reserved(2)));
        assert_eq!(pool.resize(&set("1")), Err(PoolError::Deterministic));
        let apart = host.start_thread(&set("3"), nothing, 0).unwrap();
        assert_eq!(host.set_affinity(apart, &set("1")), Err(PlatformError::Reserved(1)));
        host.join_thread(apart).unwrap();
    })
    .unwrap();
    assert_eq!((refused(1), refused(2), refused(3)), (1, 1, 0));
    let misses = |pool: &Pool| pool.monitor().workers()[0].work.budget_misses;
    // Every job takes longer than 0 ns.
    assert_eq!(misses(&pool), 1);
    pool.run(&|_| ());
    assert_eq!(misses(&pool), 1);
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.deterministic(deterministic, |pool| pool.run(&|_| panic!("inside")))
    }));
    assert!(unwound.is_err());
    let thread = host.start_thread(&set("2"), nothing, 0).unwrap();
    host.join_thread(thread).unwrap();
    pool.resize(&set("0,3")).unwrap();
    assert_eq!(places(&mut pool), [0, 3]);
}

#[test]
fn statistics_add_up_and_can_be_read_meanwhile() {
    let mut pool = pool(3, 20);
    let monitor = pool.monitor();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0u64;
            while !stop.load(Relaxed) {
                for worker in monitor.workers() {
                    // Each job of this test is one range of ten items.
                    assert_eq!(worker.work.items, worker.work.ranges * 10, "{worker:?}");
                }
                reads += 1;
            }
            reads
        });
        for _ in 0..2_000 {
            pool.parallel_for(0..30, 10, |_, _| {}).unwrap();
        }
        stop.store(true, Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
    for (index, worker) in monitor.workers().iter().enumerate() {
        assert_eq!((worker.core, worker.work.items, worker.work.dispatches), (index, 20_000, 2_000));
        assert!(worker.work.working_ns > 0);
    }
    let dispatches = monitor.dispatches();
    assert_eq!(dispatches.count, 2_000);
    assert!(
        dispatches.p50_ns <= dispatches.p99_ns && dispatches.p999_ns <= dispatches.max_ns,
        "{dispatches:?}"
    );
    pool.reset_statistics();
    assert!(monitor.workers().iter().all(|worker| worker.work == Default::default()));
    assert_eq!(monitor.dispatches().count, 0);
}
