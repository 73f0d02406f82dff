//! Crashes of all cores at once, and a crash while others are in long calls: one report each, and a fresh engine.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use embodios_abi::{Call, ExitStatus, MAX_GRANT, MAX_MESSAGE};

use crate::death::{self, WAYS_AMONG_OTHERS};
use crate::threads::{self, Job};
use crate::{incarnation, system, wrong};

/// Threads that have come to their wait or to their calls.
static ARRIVED: AtomicU64 = AtomicU64::new(0);
/// The sign to crash.
static GO: AtomicBool = AtomicBool::new(false);

/// Says that the calling thread is there.
pub fn arrive() {
    ARRIVED.fetch_add(1, Ordering::Relaxed);
}

/// Waits until `count` threads are there.
pub fn await_arrived(count: u64) {
    while ARRIVED.load(Ordering::Relaxed) < count {
        threads::pause();
    }
}

/// Two threads on each core, and the first one, crash at once. Number: `incarnations`.
pub fn run() -> ! {
    begin();
    let mut threads = 0;
    for index in 0..2 * incarnation::cores() {
        threads += u64::from(threads::start(Job::Storm, index, index % incarnation::cores(), 16).is_ok());
    }
    await_arrived(threads);
    GO.store(true, Ordering::Release);
    death::die(way(0))
}

/// Waits for the sign and crashes.
pub fn thread(number: u64) -> ! {
    arrive();
    while !GO.load(Ordering::Acquire) {
        let _ = system::call(Call::Yield, [0; 3]);
    }
    death::die(way(number))
}

/// The way in which the thread crashes: in each incarnation all in one way, or each in its own.
fn way(number: u64) -> death::Way {
    let index = incarnation::number() / 2 + number * (incarnation::number() % 2);
    WAYS_AMONG_OTHERS[(index % WAYS_AMONG_OTHERS.len() as u64) as usize]
}

/// Calls that ask for as much as there can be.
fn long_calls() -> [(Call, [u64; 3]); 7] {
    let module = incarnation::module();
    [
        (Call::ConsoleWrite, [module.address, module.count, 0]),
        (Call::SelfTest, [0; 3]),
        (Call::MemoryGrant, [MAX_GRANT, 0, 0]),
        (Call::ReserveCores, [module.address, module.count / 8, 0]),
        (
            Call::AffinitySet,
            [system::query(embodios_abi::Query::CurrentThread), module.address, module.count / 8],
        ),
        (Call::Wake, [module.address, u64::MAX, 0]),
        (Call::Abort, [module.address, module.count, 0]),
    ]
}

/// The first thread crashes while all other cores make calls that ask for as much as there can be. Number:
/// `incarnations`.
pub fn long() -> ! {
    begin();
    let call = incarnation::number() % long_calls().len() as u64;
    let started =
        (1..incarnation::cores()).filter(|&core| threads::start(Job::Long, call, core, 16).is_ok()).count();
    await_arrived(started as u64);
    death::die(way(0))
}

/// Makes a long call again and again.
pub fn long_thread(number: u64) -> ! {
    let (call, arguments) = long_calls()[number as usize];
    arrive();
    loop {
        let result = system::call(call, arguments);
        if call == Call::ConsoleWrite && result.is_ok_and(|count| count > MAX_MESSAGE as u64) {
            wrong!("a call wrote {result:?} bytes at once");
        }
    }
}

/// Ends the machine after the last incarnation.
fn begin() {
    incarnation::begin();
    if incarnation::number() >= incarnation::option("incarnations", 20) {
        system::power_off(ExitStatus::Success);
    }
}
