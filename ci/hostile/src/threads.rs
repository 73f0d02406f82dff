//! Threads: the job of each, and starting one on a core.

use core::sync::atomic::{AtomicU64, Ordering};

use embodios_abi::{Call, Error, Span, ThreadRecord};

use crate::{arch, calls, fuzz, incarnation, remains, storm, system};

/// Words of the largest set of cores that is passed in earnest: 1,024 cores.
pub const SET_WORDS: usize = 16;

/// The job of a thread; with a number it is the argument of its entry.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Job {
    /// Ends.
    End,
    /// Sleeps for ever.
    Sleep,
    /// Lets others run, for ever.
    Yield,
    /// Makes one call again and again.
    Call,
    /// Makes any call with any arguments.
    Fuzz,
    /// Fills its memory with the pattern and sleeps.
    Mark,
    /// Waits for a sign and crashes.
    Storm,
    /// Makes one call that asks for as much as there can be, again and again.
    Long,
}

const JOBS: [Job; 8] =
    [Job::End, Job::Sleep, Job::Yield, Job::Call, Job::Fuzz, Job::Mark, Job::Storm, Job::Long];

/// Threads that came to their job in this incarnation.
pub static STARTED: AtomicU64 = AtomicU64::new(0);

/// First Rust code of every thread but the first.
pub extern "C" fn main_thread(argument: u64) -> ! {
    let job = JOBS.into_iter().find(|&job| job as u64 == argument >> 32);
    let number = argument & u64::from(u32::MAX);
    STARTED.fetch_add(1, Ordering::Relaxed);
    match job {
        None | Some(Job::End) => end(),
        Some(Job::Sleep) => sleep(),
        Some(Job::Yield) => loop {
            let _ = system::call(Call::Yield, [0; 3]);
        },
        Some(Job::Call) => calls::repeat(number),
        Some(Job::Fuzz) => fuzz::thread(number),
        Some(Job::Mark) => {
            remains::leave_on_stack();
            sleep()
        }
        Some(Job::Storm) => storm::thread(number),
        Some(Job::Long) => storm::long_thread(number),
    }
}

/// The argument of a thread's entry.
pub const fn argument(job: Job, number: u64) -> u64 {
    (job as u64) << 32 | number & u32::MAX as u64
}

/// Starts a thread on `core`; its number.
pub fn start(job: Job, number: u64, core: u64, priority: u64) -> Result<u64, Error> {
    let set = set_of(core);
    let cores = Span { address: set.as_ptr() as u64, count: core / 64 + 1 };
    let record = ThreadRecord { priority, cores };
    let entry = arch::thread_start as *const () as u64;
    system::call(Call::ThreadCreate, [entry, argument(job, number), &raw const record as u64])
}

/// The set with one core.
pub fn set_of(core: u64) -> [u64; SET_WORDS] {
    let mut set = [0; SET_WORDS];
    set[(core / 64) as usize] = 1 << (core % 64);
    set
}

/// Ends the calling thread.
pub fn end() -> ! {
    let result = system::call(Call::ThreadExit, [0; 3]);
    panic!("the kernel does not end a thread: {result:?}")
}

/// Sleeps until the end of the incarnation.
pub fn sleep() -> ! {
    loop {
        let _ = system::call(Call::Sleep, [u64::MAX, 0, 0]);
    }
}

/// Waits until `count` threads have come to their job.
pub fn await_started(count: u64) {
    while STARTED.load(Ordering::Relaxed) < count {
        pause();
    }
}

/// Lets threads of any priority run for a moment, which is long beside what a wake-up costs where a hypervisor emulates
/// ring 0.
pub fn pause() {
    let _ = system::call(Call::Sleep, [incarnation::after(5), 0, 0]);
}
