//! [`Platform`] over system calls.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hint::spin_loop;
use core::sync::atomic::AtomicU32;

use embodios_abi::{CoreInfo, Error, ExitStatus, PowerAction, Query};
use embodios_inference::platform::{Core, CoreCounters, CoreSet, Counter, FULL_CAPACITY, Memory};
use embodios_inference::platform::{Platform, PlatformError, Power, ThreadId};

use crate::clock::Clock;
use crate::{arch, memory, system};

/// What [`Query`] can count, as `stats` names it.
const COUNTERS: [(&str, Query); 4] = [
    ("system calls", Query::SystemCalls),
    ("interrupts", Query::Interrupts),
    ("wake-ups", Query::Wakeups),
    ("inter-processor interrupts", Query::IpisSent),
];

/// How long a core may take to end a thread that has done its work, in nanoseconds.
const EXIT_NS: u64 = 1_000_000_000;

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

/// The machine under the engine.
pub struct Machine {
    cores: Vec<Core>,
    clock: Clock,
}

impl Machine {
    /// A machine with these cores, in the kernel's order.
    pub fn new(cores: &[CoreInfo], clock: Clock) -> Self {
        let core = |(index, core): (usize, &CoreInfo)| Core {
            hardware_id: core.hardware_id,
            online: core.online != 0,
            package: 0,
            physical: index as u32,
            capacity: FULL_CAPACITY,
            housekeeping: index == 0,
        };
        Self { cores: cores.iter().enumerate().map(core).collect(), clock }
    }
}

/// A number that the kernel always answers.
fn query(query: Query) -> u64 {
    system::query(query).unwrap_or_else(|error| panic!("the kernel does not answer {query:?}: {error:?}"))
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
        let core = cores.iter().next().ok_or(PlatformError::NoCores)?;
        let task = Box::into_raw(Box::new(Task { entry, argument }));
        let asked = self.now_ns();
        let error = loop {
            // SAFETY: the thread takes over the box, and only it does.
            match unsafe { system::thread_start(core, arch::thread_start, task as usize) } {
                Ok(_) => return Ok(ThreadId(core as u32)),
                // The core's last thread has said that it is done, but may not be gone yet.
                Err(Error::Busy) if self.now_ns() - asked < EXIT_NS => spin_loop(),
                Err(error) => break error,
            }
        };
        // SAFETY: no thread started, so the box is still this function's.
        drop(unsafe { Box::from_raw(task) });
        Err(match error {
            Error::Busy => PlatformError::Reserved(core),
            _ => PlatformError::Offline(core),
        })
    }

    /// A pool's worker has left the pool before it is joined; the next start on its core waits for the thread.
    fn join_thread(&self, _thread: ThreadId) -> Result<(), PlatformError> {
        Ok(())
    }

    fn current_thread(&self) -> ThreadId {
        ThreadId(query(Query::CurrentCore) as u32)
    }

    /// Threads stay on their core: only that is accepted.
    fn set_affinity(&self, thread: ThreadId, cores: &CoreSet) -> Result<(), PlatformError> {
        let elsewhere = cores.iter().find(|&core| core != thread.0 as usize);
        if cores.is_empty() {
            return Err(PlatformError::NoCores);
        }
        elsewhere.map_or(Ok(()), |core| Err(PlatformError::Reserved(core)))
    }

    fn affinity(&self, thread: ThreadId) -> Result<CoreSet, PlatformError> {
        Ok(CoreSet::from_iter([thread.0 as usize]))
    }

    fn reserve_cores(&self, cores: &CoreSet) -> Result<(), PlatformError> {
        cores.iter().next().map_or(Err(PlatformError::NoCores), |core| Err(PlatformError::Reserved(core)))
    }

    fn release_cores(&self) {}

    fn yield_now(&self) {}

    fn sleep_ns(&self, nanoseconds: u64) {
        let end = self.now_ns() + nanoseconds;
        while self.now_ns() < end {
            spin_loop();
        }
    }

    fn wait(&self, word: &AtomicU32, expected: u32) {
        if let Err(error) = system::wait(word, expected) {
            panic!("the kernel refused to wait: {error:?}");
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
        query(Query::CurrentCore) as usize
    }

    fn write(&self, bytes: &[u8]) {
        if let Err(error) = system::console_write(bytes) {
            panic!("the kernel refused console output: {error:?}");
        }
    }

    fn read(&self, buffer: &mut [u8]) -> usize {
        match system::console_read(buffer) {
            Ok(count) => count as usize,
            Err(error) => panic!("the kernel refused console input: {error:?}"),
        }
    }

    fn memory(&self) -> Memory {
        Memory {
            total: query(Query::MemoryTotal),
            free: query(Query::MemoryFree),
            engine: query(Query::MemoryGranted),
        }
    }

    fn core_counters(&self, _core: usize) -> CoreCounters {
        CoreCounters::default()
    }

    fn counters(&self, report: &mut dyn FnMut(Counter)) {
        for (name, number) in COUNTERS {
            report((name, query(number)));
        }
    }

    fn self_test(&self) -> (u32, u32) {
        let kernel = match system::self_test() {
            Ok(counts) => ((counts >> 32) as u32, counts as u32),
            Err(error) => panic!("the kernel refused to test itself: {error:?}"),
        };
        let right = memory::check();
        self.write(if right {
            b"test engine memory functions ... ok\n"
        } else {
            b"test engine memory functions ... FAILED\n"
        });
        (kernel.0 + u32::from(right), kernel.1 + u32::from(!right))
    }

    fn power(&self, action: Power) -> ! {
        match action {
            Power::Off { success: true } => system::power(PowerAction::Off, ExitStatus::Success.code()),
            Power::Off { success: false } => system::power(PowerAction::Off, ExitStatus::Failure.code()),
            Power::Reboot => system::power(PowerAction::Reboot, ExitStatus::Success.code()),
        }
    }
}
