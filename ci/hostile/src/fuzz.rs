//! Any call with any arguments, from many threads on all cores, with crashes among them.
//!
//! The first thread does nothing but watch: it counts the calls that the kernel has served, starts threads anew where
//! they have ended, and wakes those that wait for ever. Numbers: `seed`; `calls`, after which the machine ends;
//! `crash`, calls between two crashes; `every`, calls between two lines of progress.

mod arguments;
mod judge;

use core::sync::atomic::{AtomicU64, Ordering};

use embodios_abi::{Call, ExitStatus, PRIORITIES};

use crate::death::{self, WAYS_AMONG_OTHERS};
use crate::random::Random;
use crate::threads::{self, Job};
use crate::{incarnation, say, system, wrong};
use arguments::Scratch;

/// The highest priority: the first thread must not starve.
const HIGHEST: u64 = PRIORITIES - 1;

/// Time between two looks of the first thread, in milliseconds.
const LOOK: u64 = 5;

/// Looks without a call served, after which the first thread wakes all and ends reservations.
const PATIENCE: u64 = 4;

/// Looks without a call served, after which an incarnation is of no use any more.
const LAST_PATIENCE: u64 = 200;

/// Most calls that the first thread itself makes between two looks.
const OWN_CALLS: u64 = 16;

/// Threads that a core begins with.
const THREADS_A_CORE: u64 = 8;

/// Threads that this incarnation has tried to start.
static TRIED: AtomicU64 = AtomicU64::new(0);

/// Runs one incarnation.
pub fn run() -> ! {
    incarnation::begin();
    let goal = incarnation::option("calls", 100_000);
    if incarnation::calls_served() >= goal {
        finish()
    }
    let this = system::query(embodios_abi::Query::CurrentThread);
    let _ = system::call(Call::PrioritySet, [this, HIGHEST, 0]);
    for index in 0..THREADS_A_CORE * incarnation::cores() {
        start_one(index);
    }
    watch(goal)
}

/// Starts a fuzzing thread at a random priority.
fn start_one(core: u64) {
    let index = TRIED.fetch_add(1, Ordering::Relaxed);
    if let Ok(thread) = threads::start(Job::Fuzz, index, core % incarnation::cores(), index * 7 % PRIORITIES)
    {
        arguments::remember(thread);
    }
}

/// Watches until enough calls are served, then ends the incarnation.
fn watch(goal: u64) -> ! {
    let every = incarnation::option("every", 1_000_000);
    let (mut served, mut still) = (incarnation::calls_served(), 0);
    loop {
        let _ = system::call(Call::Sleep, [incarnation::after(LOOK), 0, 0]);
        let now = incarnation::calls_served();
        if now / every > served / every {
            say!("fuzz: {now} calls");
        }
        if now >= goal {
            system::abort(b"enough calls")
        }
        // The calls of this thread since the last look are not more than these.
        still = if now > served + OWN_CALLS { 0 } else { still + 1 };
        served = now;
        if still >= PATIENCE {
            let _ = system::call(Call::ReleaseCores, [0; 3]);
            arguments::wake_all();
        }
        if still == LAST_PATIENCE {
            system::abort(b"all threads wait for ever")
        }
        start_one(served);
    }
}

/// The last incarnation: the kernel still does all that it is for.
fn finish() -> ! {
    for core in 0..incarnation::cores() {
        let joined = threads::start(Job::End, 0, core, HIGHEST)
            .and_then(|thread| system::call(Call::ThreadJoin, [thread, u64::MAX, 0]));
        if joined != Ok(0) {
            wrong!("a thread on core {core}: {joined:?}");
        }
    }
    let tests = system::call(Call::SelfTest, [0; 3]);
    let passed = tests.is_ok_and(|result| result >> 32 > 0 && result as u32 == 0);
    say!(
        "fuzz: {} calls served on {} cores in {} incarnations",
        incarnation::calls_served(),
        incarnation::cores(),
        incarnation::number() + 1
    );
    system::power_off(if passed { ExitStatus::Success } else { ExitStatus::Failure })
}

/// Makes calls until the incarnation ends, or the thread by one of them.
pub fn thread(number: u64) -> ! {
    let mut random = Random::new(incarnation::option("seed", 1), incarnation::number(), number);
    let crash = incarnation::option("crash", 20_000);
    let mut scratch = Scratch::new();
    loop {
        if random.one_in(crash) {
            death::die(random.of(WAYS_AMONG_OTHERS))
        }
        let (number, arguments) = scratch.call(&mut random);
        let result = system::raw(number, arguments);
        judge::judge(number, arguments, result);
        if number == Call::ThreadCreate as u64 {
            arguments::remember(result);
        }
    }
}
