//! Cost of fork and join and of wake-ups on this host, behind `cargo xtask bench pool`: `pool ROUNDS` prints one JSON
//! object of medians, in nanoseconds, with two threads on two processors.

use std::error::Error;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use embodios_host::Host;
use embodios_pool::platform::{CoreSet, NEVER, Platform as _};
use embodios_pool::{DEFAULT_SPIN, Mode, Pool, PoolSettings};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: pool ROUNDS";
    let rounds: usize = std::env::args().nth(1).ok_or(usage)?.parse()?;
    let host = Host::leak(2);
    let measured = json!({
        "spin_ns": fork_and_join(host, DEFAULT_SPIN, rounds)?,
        "halt_ns": fork_and_join(host, 0, rounds)?,
        "wake_ns": wake_and_back(host, rounds)?,
    });
    println!("{measured}");
    Ok(())
}

/// The middle of the times that `rounds` calls of `once` took.
fn median(host: &Host, rounds: usize, mut once: impl FnMut()) -> u64 {
    let mut time = || {
        let begun = host.now_ns();
        once();
        host.now_ns() - begun
    };
    (0..rounds).for_each(|_| {
        time();
    });
    let mut times: Vec<u64> = (0..rounds.max(1)).map(|_| time()).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// A loop whose body does nothing.
fn fork_and_join(host: &'static Host, spin: u32, rounds: usize) -> Result<u64, Box<dyn Error>> {
    let settings = PoolSettings { spin, mode: Mode::Static };
    let pool = Pool::start(host, &CoreSet::first(2), settings)?;
    pool.parallel_for(0..2, 1, |_, _| {})?;
    Ok(median(host, rounds, || {
        // Nothing in it panics.
        let _ = pool.parallel_for(0..2, 1, |_, part| {
            black_box(part);
        });
    }))
}

/// A ball that two threads throw to each other: odd numbers are the partner's to answer, the last one ends it.
struct Ball {
    host: &'static Host,
    word: AtomicU32,
}

const LAST: u32 = u32::MAX;

extern "C" fn partner(argument: usize) {
    // SAFETY: `wake_and_back` keeps the ball until it has joined this thread.
    let Ball { host, word } = unsafe { &*std::ptr::with_exposed_provenance::<Ball>(argument) };
    loop {
        match word.load(SeqCst) {
            LAST => return,
            odd if odd % 2 == 1 => {
                word.store(odd + 1, SeqCst);
                host.wake(word, 1);
            }
            even => host.wait(word, even, NEVER),
        }
    }
}

/// Waking a thread that sleeps, which wakes this one, which sleeps.
fn wake_and_back(host: &'static Host, rounds: usize) -> Result<u64, Box<dyn Error>> {
    let ball = Ball { host, word: AtomicU32::new(0) };
    let thread =
        host.start_thread(&CoreSet::from_iter([1]), partner, (&raw const ball).expose_provenance())?;
    let home = host.affinity(host.current_thread())?;
    host.set_affinity(host.current_thread(), &CoreSet::from_iter([0]))?;
    let time = median(host, rounds, || {
        let thrown = ball.word.load(SeqCst) + 1;
        ball.word.store(thrown, SeqCst);
        host.wake(&ball.word, 1);
        while ball.word.load(SeqCst) == thrown {
            host.wait(&ball.word, thrown, NEVER);
        }
    });
    ball.word.store(LAST, SeqCst);
    host.wake(&ball.word, 1);
    host.join_thread(thread)?;
    host.set_affinity(host.current_thread(), &home)?;
    Ok(time)
}
