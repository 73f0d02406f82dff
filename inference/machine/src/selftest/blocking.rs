//! Sleeping, joining, waiting and waking.

use alloc::format;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering};

use embodios_abi::Error;
use embodios_pool::platform::{NEVER, Platform, PlatformError, ThreadId};

use super::{Outcome, Test, check, context, join_all, online, only, start};
use crate::platform::{Machine, machine};
use crate::{arch, system};

pub const TESTS: &[Test] = &[
    ("a sleep and a wait end at their deadlines and not before", deadlines),
    ("a thread is joined when it is gone", joining),
];

fn deadlines(machine: &Machine) -> Outcome {
    for nanoseconds in [0, 300_000, 5_000_000] {
        let begin = machine.now_ns();
        machine.sleep_ns(nanoseconds);
        let slept = machine.now_ns() - begin;
        check(slept >= nanoseconds, || format!("a sleep of {nanoseconds} ns took {slept}"))?;
        let word = AtomicU32::new(0);
        let deadline = arch::counter() + machine.clock().ticks(nanoseconds);
        let ended = system::wait(&word, 0, deadline);
        check(ended == Err(Error::TimedOut), || format!("a wait without a wake ended with {ended:?}"))?;
        check(arch::counter() >= deadline, || "a wait ended before its deadline".into())?;
    }
    let word = AtomicU32::new(1);
    let ended = system::wait(&word, 0, 0);
    check(ended == Ok(0), || format!("a wait for another value ended with {ended:?}"))
}

extern "C" fn wait_for_release(argument: usize) {
    // SAFETY: the test that starts it gives it this and joins it.
    let word: &AtomicU32 = unsafe { context(argument) };
    while word.load(Ordering::Acquire) == 0 {
        machine().wait(word, 0, NEVER);
    }
}

fn joining(machine: &Machine) -> Outcome {
    let word = AtomicU32::new(0);
    let thread = start(machine, &only(online(machine) - 1), &word, wait_for_release)?;
    let soon = arch::counter() + machine.clock().ticks(300_000);
    let early = system::thread_join(thread.0, soon);
    word.store(1, Ordering::Release);
    machine.wake(&word, 1);
    join_all(machine, [thread])?;
    check(early == Err(Error::TimedOut), || format!("a thread that waits was joined: {early:?}"))?;
    let again = machine.join_thread(thread);
    check(again == Ok(()), || format!("joined again: {again:?}"))?;
    for nobody in [machine.current_thread(), ThreadId(u64::MAX)] {
        let joined = machine.join_thread(nobody);
        let expected = Err(PlatformError::NoSuchThread(nobody));
        check(joined == expected, || format!("thread {nobody} joined: {joined:?}"))?;
    }
    Ok(())
}

/// Two threads that pass a ball, which is even for one and odd for the other.
struct Game {
    ball: AtomicU32,
    /// Number of turns.
    turns: u32,
}

/// Takes the turns `mine`, `mine + 2` and so on.
fn play(game: &Game, mine: u32) {
    let Game { ball, turns } = game;
    let mut noise = mine + 1;
    for expected in (mine..*turns).step_by(2) {
        loop {
            match ball.load(Ordering::Acquire) {
                seen if seen == expected => break,
                seen => machine().wait(ball, seen, NEVER),
            }
        }
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        for _ in 0..noise >> 24 {
            spin_loop();
        }
        ball.store(expected + 1, Ordering::Release);
        machine().wake(ball, 1);
    }
}

extern "C" fn play_second(argument: usize) {
    // SAFETY: the test that starts it gives it this and joins it.
    play(unsafe { context(argument) }, 1);
}

/// A wake-up lost is a test that does not end.
fn play_with(machine: &Machine, core: usize, turns: u32) -> Outcome {
    let game = Game { ball: AtomicU32::new(0), turns };
    let second = start(machine, &only(core), &game, play_second)?;
    play(&game, 0);
    join_all(machine, [second])?;
    let taken = game.ball.load(Ordering::Acquire);
    check(taken == turns, || format!("{taken} of {turns} turns"))
}

/// With a thread of the last core.
pub fn across_cores(machine: &Machine, turns: u32) -> Outcome {
    play_with(machine, online(machine) - 1, turns)
}

/// With a thread of the calling one's core.
pub fn on_one_core(machine: &Machine, turns: u32) -> Outcome {
    play_with(machine, machine.current_core(), turns)
}
