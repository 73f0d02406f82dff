//! Arguments of calls: valid often enough to get deep, else at the edge of what there is, or anything.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use embodios_abi::network::{QUEUE, RECEIVE, TRANSMIT};
use embodios_abi::{Call, MAX_GRANT, PRIORITIES, Query, layout};

use crate::random::Random;
use crate::threads::{self, Job};
use crate::{arch, calls, incarnation, rings, system};

/// Words of a thread's own memory; more than the largest set of cores has.
const WORDS: usize = 1040;

/// Words that are waited on, in the middle of memory that nothing needs.
#[repr(align(16384))]
struct Arena([AtomicU32; 4096]);

static ARENA: Arena = Arena([const { AtomicU32::new(0) }; 4096]);

/// Words of the arena that are used.
const USED: core::ops::Range<u64> = 2048..2056;

/// Numbers of threads that were created lately.
static THREADS: [AtomicU64; 32] = [const { AtomicU64::new(0) }; 32];

/// Keeps a thread's number; results that are none do no harm.
pub fn remember(thread: u64) {
    THREADS[(thread % 31) as usize].store(thread, Ordering::Relaxed);
}

/// Wakes all that wait on words.
pub fn wake_all() {
    for index in USED {
        let _ = system::call(Call::Wake, [word(index), u64::MAX, 0]);
    }
}

fn word(index: u64) -> u64 {
    ARENA.0[index as usize].as_ptr() as u64
}

/// A thread's own memory for its arguments.
pub struct Scratch {
    words: [u64; WORDS],
    record: [u64; 3],
}

impl Scratch {
    /// Spaces, which do no harm on the console.
    pub const fn new() -> Self {
        Self { words: [0x2020_2020_2020_2020; WORDS], record: [0; 3] }
    }

    /// The next call's number and arguments.
    pub fn call(&mut self, random: &mut Random) -> (u64, [u64; 3]) {
        if random.one_in(40) {
            return (
                random.of(&[calls::CALLS, 64, 1 << 32, u64::MAX, calls::CALLS + 40]),
                [random.next(); 3],
            );
        }
        loop {
            let number = random.below(calls::CALLS);
            let call = Call::from_number(number);
            if let Some(arguments) = call.and_then(|call| self.arguments(call, random)) {
                return (number, arguments);
            }
        }
    }

    /// Arguments for `call`; `None` for one that is not its turn.
    fn arguments(&mut self, call: Call, random: &mut Random) -> Option<[u64; 3]> {
        Some(match call {
            Call::ConsoleWrite => self.console_write(random)?,
            // No input comes: a read of at least one byte into the program's memory would never return.
            Call::ConsoleRead => {
                let length = random.of(&[0, 1, 1 << 63, u64::MAX]);
                [if length == 0 { self.address(random) } else { data_address(random) | 1 << 63 }, length, 0]
            }
            Call::ThreadCreate => {
                let (address, count) = self.set(random);
                self.record = [priority(random), address, count];
                let entry = if random.one_in(4) {
                    data_address(random)
                } else {
                    arch::thread_start as *const () as u64
                };
                let job = random.of(&[Job::Fuzz, Job::End]);
                let argument = threads::argument(job, random.next());
                let record = self.record.as_ptr() as u64;
                [entry, argument, if random.one_in(8) { self.address(random) } else { record }]
            }
            Call::ThreadExit => random.one_in(50).then_some([0; 3])?,
            Call::ThreadJoin => [thread(random), deadline(random), 0],
            Call::Yield | Call::ReleaseCores => [random.next(), 0, 0],
            Call::Sleep => [deadline(random), 0, 0],
            Call::Wait => {
                let index = USED.start + random.below(USED.end - USED.start);
                let expected = ARENA.0[index as usize].load(Ordering::Relaxed);
                let address = if random.one_in(6) { self.address(random) } else { word(index) };
                [address, random.of(&[expected.into(), expected.into(), 1, u64::MAX]), deadline(random)]
            }
            Call::Wake => {
                let index = USED.start + random.below(USED.end - USED.start);
                ARENA.0[index as usize].store(random.below(3) as u32, Ordering::Relaxed);
                let address = if random.one_in(6) { self.address(random) } else { word(index) };
                [address, random.of(&[0, 1, 2, 1 << 32, u64::MAX]), 0]
            }
            Call::AffinitySet => {
                let (address, count) = self.set(random);
                [thread(random), address, count]
            }
            Call::AffinityGet => {
                let address = if random.one_in(3) { self.address(random) } else { self.own() };
                [thread(random), address, random.of(&[0, 1, 2, 1024, 1 << 61, u64::MAX])]
            }
            Call::PrioritySet => [thread(random), priority(random), 0],
            Call::ReserveCores => {
                let (address, count) = self.set(random);
                random.one_in(8).then_some([address, count, 0])?
            }
            Call::MemoryGrant => {
                let much = random.one_in(256).then_some(MAX_GRANT);
                let edges = [0, MAX_GRANT + 1, 1 << 40, 1 << 63, u64::MAX - layout::LARGE_PAGE, u64::MAX];
                let bytes = much.unwrap_or_else(|| random.of(&edges));
                [if random.one_in(32) { layout::LARGE_PAGE } else { bytes }, 0, 0]
            }
            Call::Query => [random.of(&[0, 1, 2, 3, 4, 5, u64::MAX]), 0, 0],
            Call::Power => [random.of(&[2, 1 << 32, u64::MAX]), random.next(), 0],
            Call::SelfTest => random.one_in(20_000).then_some([0; 3])?,
            Call::TestHook => [random.of(&[3, 1 << 32, u64::MAX]), 0, 0],
            // A way to die, which has its own odds.
            Call::Abort => None?,
            Call::Submit => {
                rings::scribble(random);
                let queue = random.of(&[RECEIVE, TRANSMIT, TRANSMIT, TRANSMIT, 2, 1 << 32, u64::MAX]);
                let count = random.of(&[0, 1, 2, QUEUE as u64, QUEUE as u64 + 1, 1 << 61, u64::MAX]);
                self.words[..QUEUE].fill_with(|| rings::buffer(random));
                [queue, if random.one_in(4) { self.address(random) } else { self.own() }, count]
            }
        })
    }

    /// Spaces, few and seldom; else bytes that are refused, or none.
    fn console_write(&mut self, random: &mut Random) -> Option<[u64; 3]> {
        if random.one_in(1000) {
            self.words.fill(0x2020_2020_2020_2020);
            return Some([self.own(), random.of(&[1, 8, 511, 512, 513, 8000]), 0]);
        }
        let length = random.of(&[0, 1 << 63, u64::MAX, u64::MAX - 7]);
        Some([if length == 0 { self.address(random) } else { data_address(random) | 1 << 63 }, length, 0])
    }

    fn own(&mut self) -> u64 {
        self.words.as_mut_ptr() as u64
    }

    /// Any address: the thread's own, or one at or beside an edge.
    fn address(&mut self, random: &mut Random) -> u64 {
        if random.one_in(3) { self.own() + random.below(WORDS as u64) * 4 } else { data_address(random) }
    }

    /// Address and count of a set of cores.
    fn set(&mut self, random: &mut Random) -> (u64, u64) {
        let cores = incarnation::cores();
        let own = self.own();
        let needed = cores / 64 + 1;
        match random.below(16) {
            0 => (self.address(random), random.of(&[0, 1, needed, 1 << 61, u64::MAX / 8, u64::MAX])),
            1 => {
                self.words.fill(u64::MAX);
                (own, random.of(&[1, needed, 1024, 1025]))
            }
            2 => {
                self.words.fill(0);
                self.words[random.below(1024) as usize] = 1 << random.below(64);
                (own, 1024)
            }
            3 => (own, 0),
            4 => {
                self.words[0] = random.next();
                (own, 1)
            }
            _ => {
                self.words[..needed as usize].fill(0);
                for _ in 0..=random.below(3) {
                    let missing = u64::from(random.one_in(20));
                    let core = random.below(cores + missing);
                    self.words[(core / 64) as usize] |= 1 << (core % 64);
                }
                (own, needed)
            }
        }
    }
}

/// An address at or beside an edge of what there is, or anywhere, but never one of code.
fn data_address(random: &mut Random) -> u64 {
    let slot = random.below(incarnation::info().max_threads + 1);
    let module = incarnation::module();
    let grants = random.below(64);
    let (_, foreign) = random.of(&arch::FOREIGN);
    let anywhere = random.next() | 1 << 41;
    let edge = random.of(&[
        0,
        incarnation::PAGE,
        foreign,
        layout::ENGINE_START,
        layout::IMAGE,
        word(USED.start),
        layout::INFO,
        layout::SIGNALS,
        layout::STATISTICS,
        layout::STATISTICS + incarnation::cores() * incarnation::PAGE,
        layout::STACKS + slot * layout::STACK_STRIDE,
        layout::STACKS + slot * layout::STACK_STRIDE + layout::VECTOR_STATE_SIZE,
        layout::STACKS + (slot + 1) * layout::STACK_STRIDE - layout::STACK_SIZE,
        layout::HEAP,
        layout::HEAP + grants * layout::LARGE_PAGE,
        layout::MODULES,
        module.address + module.count,
        layout::ENGINE_END,
        1 << 47,
        0xffff_8000_0000_0000,
        u64::MAX,
        anywhere,
    ]);
    match random.below(8) {
        // Before one of these and behind the other there is code.
        _ if edge == layout::IMAGE => edge - random.of(&[1, 8, incarnation::PAGE]),
        _ if edge == layout::STATISTICS => edge + random.of(&[0, 4, 8]),
        0 => edge.wrapping_sub(8),
        1 => edge.wrapping_sub(1),
        2 => edge.wrapping_add(4),
        3 => edge.wrapping_add(random.below(incarnation::PAGE)),
        _ => edge,
    }
}

/// The number of a thread that is, was or never will be.
fn thread(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => random.of(&[255, 256, 1 << 32, 1 << 63, u64::MAX]),
        1 => system::query(Query::CurrentThread),
        2 => random.next(),
        // Not the first thread, which has to watch.
        _ => Some(THREADS[random.below(31) as usize].load(Ordering::Relaxed))
            .filter(|&id| id != 0)
            .unwrap_or(1 << 40),
    }
}

fn priority(random: &mut Random) -> u64 {
    if random.one_in(8) { random.of(&[PRIORITIES, 1 << 32, u64::MAX]) } else { random.below(PRIORITIES) }
}

/// A deadline: past, near, or so far that only others end the wait.
fn deadline(random: &mut Random) -> u64 {
    if random.one_in(1000) {
        return random.of(&[1 << 63, u64::MAX - 1, u64::MAX]);
    }
    let now = arch::counter();
    let near = now + random.below(incarnation::info().counter_hz / 10_000);
    if random.one_in(16) { near } else { random.of(&[0, 1, now.wrapping_sub(1), now]) }
}
