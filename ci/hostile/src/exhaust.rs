//! All there is of one thing: threads, run queues, sets of cores, memory. The kernel answers with errors, refused
//! calls keep nothing, and the next incarnation gets as much.

use embodios_abi::{Call, Error, ExitStatus, MAX_GRANT, PRIORITIES, Query, Span, layout};

use crate::threads::{self, Job};
use crate::{arch, incarnation, say, system, wrong};

/// Threads of a machine with fewer than 64 cores.
const MOST_THREADS: usize = 256;

/// Priority of the first thread; the others stay below it, so that it has its core when it wants it.
const FIRST_PRIORITY: u64 = PRIORITIES / 2;

/// Words of sets that are longer than any machine's.
const LONG_SET: usize = 1024;

/// Refused calls that are made in a row.
const REFUSALS: u64 = 1000;

/// Runs three incarnations: each uses up everything, the second in another order than the others.
pub fn run() -> ! {
    incarnation::begin();
    if incarnation::number() == 3 {
        let passed = matches!(system::call(Call::SelfTest, [0; 3]), Ok(result) if result as u32 == 0);
        system::power_off(if passed { ExitStatus::Success } else { ExitStatus::Failure });
    }
    if incarnation::number() == 1 {
        use_up_memory();
        use_up_threads();
    } else {
        use_up_threads();
        use_up_memory();
    }
    refuse_for_free();
    system::abort(b"everything is used up")
}

/// Starts threads until no more are to be had, and moves them through all queues.
fn use_up_threads() {
    let limit = incarnation::info().max_threads;
    let (mut numbers, mut created) = ([0; MOST_THREADS], 0u64);
    let refusal = loop {
        let job = if created.is_multiple_of(2) { Job::Yield } else { Job::Sleep };
        match threads::start(job, 0, created % incarnation::cores(), created % FIRST_PRIORITY) {
            Ok(number) => {
                numbers[created as usize % MOST_THREADS] = number;
                created += 1;
            }
            Err(error) => break error,
        }
    };
    say!("{created} threads of {limit}: {refusal:?}");
    if !matches!(refusal, Error::TooManyThreads | Error::OutOfMemory) || created >= limit {
        wrong!("after {created} threads of {limit} the kernel says {refusal:?}");
    }
    for core in 0..incarnation::cores() {
        let set = threads::set_of(core);
        for priority in (0..FIRST_PRIORITY).chain([0]) {
            for &thread in numbers.iter().take(created as usize) {
                let _ = system::call(Call::PrioritySet, [thread, priority, 0]);
                if priority == 0 {
                    let _ = system::call(Call::AffinitySet, [thread, set.as_ptr() as u64, core / 64 + 1]);
                }
            }
        }
    }
}

/// Takes memory until no more is to be had, in pieces of all sizes.
fn use_up_memory() {
    let mut size = MAX_GRANT;
    while size >= layout::LARGE_PAGE {
        while let Ok(address) = system::call(Call::MemoryGrant, [size, 0, 0]) {
            for at in (address..address + size).step_by(layout::LARGE_PAGE as usize) {
                // SAFETY: the memory is the program's, and nothing else is in it.
                unsafe { (at as *mut u64).write_volatile(at) }
            }
        }
        size /= 2;
    }
    let (granted, free) = (system::query(Query::MemoryGranted), system::query(Query::MemoryFree));
    say!("{granted} bytes granted, {free} left");
    if granted == 0 || free >= 2 * layout::LARGE_PAGE {
        wrong!("{granted} bytes were granted and {free} are left");
    }
}

/// Makes calls that are refused, and looks whether they keep memory.
fn refuse_for_free() {
    let set = [u64::MAX; LONG_SET];
    let cores = Span { address: set.as_ptr() as u64, count: LONG_SET as u64 };
    let this = threads::set_of(0);
    let record = [0, this.as_ptr() as u64, 1];
    let long_record = [0, cores.address, cores.count];
    let entry = arch::thread_start as *const () as u64;
    // Memory that the first refusal needed is there for the others.
    let mut before = None;
    for _ in 0..REFUSALS {
        let results = [
            system::call(Call::ThreadCreate, [entry, 0, record.as_ptr() as u64]),
            system::call(Call::ThreadCreate, [entry, 0, long_record.as_ptr() as u64]),
            system::call(Call::ReserveCores, [cores.address, cores.count, 0]),
            system::call(Call::MemoryGrant, [MAX_GRANT, 0, 0]),
            system::call(Call::MemoryGrant, [u64::MAX, 0, 0]),
        ];
        if let Some(result) = results.iter().find(|result| result.is_ok()) {
            wrong!("what cannot be had is given: {result:?} of {results:?}");
        }
        let free = system::query(Query::MemoryFree);
        if *before.get_or_insert(free) != free {
            wrong!("refused calls keep memory: {before:?} bytes were free, {free} are");
            break;
        }
    }
}
