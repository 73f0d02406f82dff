//! Calls that succeed, each made again and again: a core is in the middle of one when another core crashes.

use core::sync::atomic::{AtomicU32, Ordering};

use embodios_abi::network::{QUEUE, encode_buffer};
use embodios_abi::{Call, layout};

use crate::threads::{self, Job};
use crate::{incarnation, storm, system};

/// Calls there are: numbers below it.
pub const CALLS: u64 = Call::ALL.len() as u64;

/// A word to wait on.
static WORD: AtomicU32 = AtomicU32::new(0);

/// Makes call `number` until the end of the incarnation.
pub fn repeat(number: u64) -> ! {
    let Some(call) = Call::from_number(number) else { threads::sleep() };
    storm::arrive();
    let mut turn = 0u64;
    loop {
        turn += 1;
        let mut words = threads::set_of(turn % incarnation::cores());
        let result = system::call(call, arguments(call, turn, &mut words));
        // Threads and memory are used up at some time; then others may need the core.
        if result.is_err() {
            let _ = system::call(Call::Yield, [0; 3]);
        }
    }
}

/// Arguments with which `call` does something, and nothing that ends the incarnation but where it must.
fn arguments(call: Call, turn: u64, words: &mut [u64; threads::SET_WORDS]) -> [u64; 3] {
    let set = words.as_mut_ptr() as u64;
    let count = incarnation::cores() / 64 + 1;
    let word = WORD.as_ptr() as u64;
    let this = || system::query(embodios_abi::Query::CurrentThread);
    match call {
        Call::ConsoleWrite => {
            [incarnation::module().address, if turn.is_multiple_of(64) { 512 } else { 0 }, 0]
        }
        Call::ConsoleRead => [set, if turn.is_multiple_of(64) { 8 } else { 0 }, 0],
        Call::ThreadCreate => {
            let entry = crate::arch::thread_start as *const () as u64;
            let job = if turn.is_multiple_of(2) { Job::End } else { Job::Sleep };
            // The words hold the set, and behind it the record.
            let record = &mut words[threads::SET_WORDS - 3..];
            record.copy_from_slice(&[turn % 32, set, count.min(8)]);
            [entry, threads::argument(job, 0), record.as_ptr() as u64]
        }
        Call::ThreadExit | Call::Yield | Call::ReleaseCores => [0; 3],
        Call::ThreadJoin => [turn % incarnation::info().max_threads, incarnation::after(1), 0],
        Call::Sleep => [incarnation::after(turn % 2), 0, 0],
        Call::Wait => [word, WORD.load(Ordering::Relaxed).into(), incarnation::after(turn % 3)],
        Call::Wake => [word, u64::MAX, 0],
        Call::AffinitySet | Call::AffinityGet => [this(), set, count],
        Call::PrioritySet => [this(), turn % 32, 0],
        Call::ReserveCores => [set, count, 0],
        Call::MemoryGrant => [layout::LARGE_PAGE, 0, 0],
        Call::Query => [turn % 5, 0, 0],
        Call::Power => [2, 0, 0],
        Call::SelfTest => [0; 3],
        Call::TestHook => [9, 0, 0],
        Call::Submit => {
            words[0] = encode_buffer((turn % QUEUE as u64) as u32, 60);
            [turn % 2, set, turn % 2]
        }
        Call::Abort => [incarnation::module().address, incarnation::module().count, 0],
    }
}
