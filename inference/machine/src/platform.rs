//! [`Platform`] over system calls.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use embodios_abi::{CoreCounts, CoreFlags, Error, ExitStatus, PRIORITIES, PowerAction, Query};
use embodios_pool::platform::{
    Core, CoreCounters, CoreSet, Counter, FULL_CAPACITY, Mark, Memory, NEVER, Platform, PlatformError, Power,
    ThreadId,
};
use spin::Once;

use crate::clock::Clock;
use crate::{arch, cores, heap, selftest, system};

/// Priority of every thread but those of tests, in the middle: the kernel gives it to the first one, too.
pub const PRIORITY: u64 = PRIORITIES / 2;

// Both sides of the ABI have one scale of capacity, though neither knows the other.
const _: () = assert!(embodios_abi::FULL_CAPACITY == FULL_CAPACITY as u32);

/// A started thread's entry and argument, on their way to it.
pub struct Task {
    entry: extern "C" fn(usize),
    argument: usize,
}

impl Task {
    /// Does what the thread was started for.
    pub fn run(self) {
        (self.entry)(self.argument);
    }
}

static MACHINE: Once<Machine> = Once::new();

/// The machine, for threads that know nothing else.
///
/// Panics before [`init`], which the first thread calls before there are others.
pub fn machine() -> &'static Machine {
    MACHINE.get().expect("the machine is there before any thread")
}

/// Takes note of the machine whose cores are [`cores::all`].
pub fn init(clock: Clock, max_threads: u64, interrupts: &'static AtomicU32) -> &'static Machine {
    MACHINE.call_once(|| Machine::new(clock, max_threads, interrupts))
}

/// The machine under the engine.
pub struct Machine {
    cores: Vec<Core>,
    clock: Clock,
    max_threads: u64,
    /// Number of Ctrl-C received, counted by the kernel.
    interrupts: &'static AtomicU32,
}

impl Machine {
    fn new(clock: Clock, max_threads: u64, interrupts: &'static AtomicU32) -> Self {
        let core = |core: &cores::Core| Core {
            hardware_id: core.info().hardware_id,
            online: core.is_online(),
            package: core.info().package,
            physical: core.info().physical,
            capacity: core.info().capacity as u16,
            housekeeping: core.is(CoreFlags::HOUSEKEEPING),
        };
        Self { cores: cores::all().iter().map(core).collect(), clock, max_threads, interrupts }
    }

    /// The machine's clock.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Starts a thread with a priority; see [`Platform::start_thread`].
    pub fn start_with_priority(
        &self,
        cores: &CoreSet,
        priority: u64,
        entry: extern "C" fn(usize),
        argument: usize,
    ) -> Result<ThreadId, PlatformError> {
        let task = Box::into_raw(Box::new(Task { entry, argument }));
        // SAFETY: the thread takes over the box, and only it does.
        let started = unsafe { system::thread_create(cores, priority, arch::thread_start, task as usize) };
        started.map(ThreadId).map_err(|error| {
            // SAFETY: no thread started, so the box is still this function's.
            drop(unsafe { Box::from_raw(task) });
            refusal(error, cores, ThreadId(0))
        })
    }
}

/// A number that the kernel always answers.
fn query(query: Query) -> u64 {
    system::query(query).unwrap_or_else(|error| panic!("the kernel does not answer {query:?}: {error:?}"))
}

/// Meaning of a refusal of a request that named `cores` and `thread`.
fn refusal(error: Error, cores: &CoreSet, thread: ThreadId) -> PlatformError {
    let all = cores::all();
    let first = |wanted: &dyn Fn(usize) -> bool| cores.iter().find(|&core| wanted(core)).unwrap_or_default();
    match error {
        Error::NoCores => PlatformError::NoCores,
        Error::Offline => {
            PlatformError::Offline(first(&|core| !all.get(core).is_some_and(cores::Core::is_online)))
        }
        Error::Reserved => {
            PlatformError::Reserved(first(&|core| all.get(core).is_some_and(cores::Core::is_reserved)))
        }
        Error::NoSuchThread => PlatformError::NoSuchThread(thread),
        Error::OutOfMemory => PlatformError::OutOfMemory,
        Error::TooManyThreads => PlatformError::TooManyThreads(machine().max_threads),
        Error::Unknown
        | Error::BadAddress
        | Error::TimedOut
        | Error::NotAllowed
        | Error::Busy
        | Error::NoSuchBuffer => {
            panic!("the kernel does not understand a request for cores {cores} or thread {thread}: {error:?}")
        }
    }
}

impl Platform for Machine {
    fn cores(&self) -> &[Core] {
        &self.cores
    }

    fn start_thread(
        &self,
        cores: &CoreSet,
        entry: extern "C" fn(usize),
        argument: usize,
    ) -> Result<ThreadId, PlatformError> {
        self.start_with_priority(cores, PRIORITY, entry, argument)
    }

    fn join_thread(&self, thread: ThreadId) -> Result<(), PlatformError> {
        let joined = system::thread_join(thread.0, NEVER);
        joined.map(drop).map_err(|error| refusal(error, &CoreSet::new(), thread))
    }

    fn current_thread(&self) -> ThreadId {
        ThreadId(query(Query::CurrentThread))
    }

    fn set_affinity(&self, thread: ThreadId, cores: &CoreSet) -> Result<(), PlatformError> {
        system::affinity_set(thread.0, cores).map(drop).map_err(|error| refusal(error, cores, thread))
    }

    fn affinity(&self, thread: ThreadId) -> Result<CoreSet, PlatformError> {
        let mut words = alloc::vec![0; self.cores.len().div_ceil(u64::BITS as usize)];
        match system::affinity_get(thread.0, &mut words) {
            Ok(_) => Ok(CoreSet::from_words(&words).unwrap_or_default()),
            Err(error) => Err(refusal(error, &CoreSet::new(), thread)),
        }
    }

    fn reserve_cores(&self, cores: &CoreSet) -> Result<(), PlatformError> {
        system::reserve_cores(cores).map_err(|error| refusal(error, cores, ThreadId(0)))?;
        cores::reserve(|core| cores.contains(core));
        Ok(())
    }

    fn release_cores(&self) {
        cores::reserve(|_| false);
        if let Err(error) = system::release_cores() {
            panic!("the kernel refused to release cores: {error:?}");
        }
    }

    fn yield_now(&self) {
        if let Err(error) = system::yield_now() {
            panic!("the kernel refused to yield: {error:?}");
        }
    }

    fn sleep_ns(&self, nanoseconds: u64) {
        if let Err(error) = system::sleep(arch::counter().saturating_add(self.clock.ticks(nanoseconds))) {
            panic!("the kernel refused to sleep: {error:?}");
        }
    }

    fn wait(&self, word: &AtomicU32, expected: u32, deadline: u64) {
        match system::wait(word, expected, self.clock.counter(deadline)) {
            Ok(_) | Err(Error::TimedOut) => {}
            Err(error) => panic!("the kernel refused to wait: {error:?}"),
        }
    }

    fn wake(&self, word: &AtomicU32, count: u32) {
        if let Err(error) = system::wake(word, count) {
            panic!("the kernel refused to wake: {error:?}");
        }
    }

    fn now_ns(&self) -> u64 {
        self.clock.nanoseconds(arch::counter())
    }

    fn current_core(&self) -> usize {
        cores::current()
    }

    fn write(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match system::console_write(bytes) {
                // The device is busy, or another core writes.
                Ok(0) => self.yield_now(),
                Ok(written) => bytes = &bytes[written as usize..],
                Err(error) => panic!("the kernel refused console output: {error:?}"),
            }
        }
        // A read of nothing has the kernel listen to Ctrl-C, also where a script runs and no thread reads. After the
        // first words, since some hypervisors need milliseconds for it.
        static LISTENING: Once<()> = Once::new();
        LISTENING.call_once(|| {
            let _nothing = system::console_read(&mut []);
        });
    }

    fn read(&self, buffer: &mut [u8]) -> usize {
        match system::console_read(buffer) {
            Ok(count) => count as usize,
            Err(error) => panic!("the kernel refused console input: {error:?}"),
        }
    }

    fn interrupts(&self) -> u32 {
        self.interrupts.load(Ordering::Acquire)
    }

    fn memory(&self) -> Memory {
        Memory {
            total: query(Query::MemoryTotal),
            free: query(Query::MemoryFree),
            engine: query(Query::MemoryGranted),
            idle: heap::idle(),
        }
    }

    fn core_counters(&self, core: usize) -> CoreCounters {
        let Some(core) = cores::all().get(core) else { return CoreCounters::default() };
        // The kernel counts ticks of the counter, the platform nanoseconds. Both lists are whole, so that the compiler
        // finds a figure which only one of them has.
        let CoreCounts {
            switches,
            migrations,
            ticks,
            timer_interrupts,
            ipi_interrupts,
            device_interrupts,
            wakeups_sent,
            wakeups_received,
            // One of `counters`.
            ipis_sent: _,
            system_calls,
            idle_ticks,
            interrupt_ticks,
            refused_allocations,
            idle_since,
        } = core.counts();
        let halted = if idle_since == 0 { 0 } else { arch::counter().saturating_sub(idle_since) };
        CoreCounters {
            switches,
            migrations,
            ticks,
            timer_interrupts,
            ipi_interrupts,
            device_interrupts,
            wakeups_sent,
            wakeups_received,
            idle_ns: self.clock.span(idle_ticks + halted),
            interrupt_ns: self.clock.span(interrupt_ticks),
            system_calls,
            refused_allocations: refused_allocations + core.refused(),
        }
    }

    fn counters(&self, report: &mut dyn FnMut(Counter)) {
        let sent = cores::all().iter().map(|core| core.counts().ipis_sent).sum();
        report(("inter-processor interrupts sent", sent));
    }

    fn mark(&self, mark: Mark) {
        arch::mark(match mark {
            Mark::Begin => embodios_abi::Mark::Begin,
            Mark::Phase => embodios_abi::Mark::Phase,
            Mark::End => embodios_abi::Mark::End,
        });
    }

    fn self_test(&self, wakes: u32) -> (u32, u32) {
        let kernel = match system::self_test() {
            Ok(counts) => ((counts >> 32) as u32, counts as u32),
            Err(error) => {
                self.write(b"test kernel: its own tests ... FAILED\n");
                self.write(format!("  {}\n", not_allowed(error, "allow=tests")).as_bytes());
                (0, 1)
            }
        };
        let engine = selftest::run(self, wakes);
        (kernel.0 + engine.0, kernel.1 + engine.1)
    }

    fn power(&self, action: Power) -> PlatformError {
        let refusal = match action {
            Power::Off { success: true } => system::power(PowerAction::Off, ExitStatus::Success.code()),
            Power::Off { success: false } => system::power(PowerAction::Off, ExitStatus::Failure.code()),
            Power::Reboot => system::power(PowerAction::Reboot, ExitStatus::Success.code()),
        };
        match refusal {
            Ok(_) => panic!("the machine is off, and goes on"),
            Err(error) => not_allowed(error, "allow=power"),
        }
    }
}

/// Meaning of a refusal of a call that the command line allows by `word`.
fn not_allowed(error: Error, word: &'static str) -> PlatformError {
    match error {
        Error::NotAllowed => PlatformError::NotAllowed(word),
        Error::Busy => PlatformError::Busy,
        error => panic!("the kernel does not understand a request that `{word}` allows: {error:?}"),
    }
}
