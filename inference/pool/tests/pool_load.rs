//! The worker pool under load, for as many rounds as `EMBODIOS_POOL_ROUNDS` says (50,000 when it says nothing).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use embodios_host::Host;
use embodios_pool::platform::{CoreSet, NEVER, Platform};
use embodios_pool::{Mode, Pool, PoolSettings};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

fn rounds() -> u64 {
    std::env::var("EMBODIOS_POOL_ROUNDS").map_or(50_000, |text| text.parse().unwrap())
}

struct Random(Xoshiro256PlusPlus);

impl Random {
    fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.0.next_u64() % limit as u64) as usize
    }
}

#[test]
fn every_index_exactly_once() {
    const LENGTH: usize = 400;
    let mut random = Random::new(1);
    let counts: Vec<AtomicU32> = (0..LENGTH).map(|_| AtomicU32::new(0)).collect();
    let host = Host::unpinned(4);
    let mut pool = Pool::start(host, &CoreSet::first(2), PoolSettings::default()).unwrap();
    for round in 0..rounds() {
        // More threads than processors are slow: they get fewer rounds.
        if round % 500 == 0 {
            let workers = [1, 2, 2, 2, 2, 2, 2, 3, 2, 2, 4][random.below(11)];
            pool.resize(&CoreSet::first(workers)).unwrap();
        }
        pool.set_mode([Mode::Static, Mode::Dynamic][random.below(2)]);
        let start = random.below(LENGTH);
        let end = start + random.below(LENGTH - start + 1);
        let grain = [0, 1, 1 + random.below(64), 1 + random.below(2 * LENGTH)][random.below(4)];
        pool.parallel_for(start..end, grain, |_, part| {
            counts[part].iter().for_each(|count| {
                count.fetch_add(1, Relaxed);
            });
        })
        .unwrap();
        for (index, count) in counts.iter().enumerate() {
            let expected = u32::from((start..end).contains(&index));
            assert_eq!(count.swap(0, Relaxed), expected, "index {index} of {start}..{end}, grain {grain}");
        }
    }
}

#[test]
fn a_thousand_resizes() {
    let mut random = Random::new(2);
    let host = Host::unpinned(6);
    let mut pool = Pool::start(host, &CoreSet::first(1), PoolSettings::default()).unwrap();
    for _ in 0..1_000 {
        let mut cores: CoreSet = (0..6).filter(|_| random.below(2) == 0).collect();
        cores.insert(random.below(6));
        pool.resize(&cores).unwrap();
        assert!(pool.cores().iter().copied().eq(cores.iter()));
        let mut parts = vec![0; 8];
        pool.split(&mut parts, 1, |first, part| part.iter_mut().for_each(|value| *value += first + 1));
        assert!(parts.iter().all(|&value| value > 0));
    }
}

#[test]
fn no_wake_up_is_lost_between_jobs() {
    // Workers that never spin: every job finds them going to sleep, asleep or waking.
    let mut random = Random::new(3);
    let settings = PoolSettings { spin: 0, mode: Mode::Static };
    let mut pool = Pool::start(Host::unpinned(2), &CoreSet::first(2), settings).unwrap();
    let calls = AtomicU64::new(0);
    let rounds = rounds() / 2;
    for _ in 0..rounds {
        delay(random.below(2_000));
        let slow = random.below(2_000);
        pool.run(&|worker| {
            delay(slow * worker);
            calls.fetch_add(1, Relaxed);
        });
    }
    assert_eq!(calls.into_inner(), 2 * rounds);
}

/// The word that the partner waits for; the partner's answer.
struct Pair {
    host: &'static Host,
    ball: AtomicU32,
    rounds: u32,
}

extern "C" fn partner(argument: usize) {
    // SAFETY: the test keeps the pair until this thread is joined.
    let pair = unsafe { &*std::ptr::with_exposed_provenance::<Pair>(argument) };
    let mut random = Random::new(4);
    for round in 0..pair.rounds {
        pair.answer(2 * round, &mut random);
    }
}

impl Pair {
    /// Waits for `number` and answers with the next one, after a random delay.
    fn answer(&self, number: u32, random: &mut Random) {
        delay(random.below(1_000));
        loop {
            let found = self.ball.load(SeqCst);
            if found == number {
                break;
            }
            self.host.wait(&self.ball, found, NEVER);
        }
        delay(random.below(1_000));
        self.ball.store(number + 1, SeqCst);
        self.host.wake(&self.ball, 1);
    }
}

#[test]
fn no_wake_up_is_lost_between_two_threads() {
    let rounds = u32::try_from(rounds()).unwrap();
    let pair = Pair { host: Host::unpinned(2), ball: AtomicU32::new(0), rounds };
    let argument = (&raw const pair).expose_provenance();
    let thread = pair.host.start_thread(&CoreSet::from_iter([1]), partner, argument).unwrap();
    let mut random = Random::new(5);
    for round in 0..rounds {
        pair.answer(2 * round + 1, &mut random);
    }
    pair.host.join_thread(thread).unwrap();
    assert_eq!(pair.ball.into_inner(), 2 * rounds);
}

/// Passes a little time.
fn delay(turns: usize) {
    (0..turns).for_each(|_| std::hint::spin_loop());
}
