//! The platform on host threads: tests, benchmarks and comparison with other engines need no emulator.
//!
//! Owns the threads it starts and where they may run. Linux only, as far as pinning goes.
//! Empty under shuttle's atomics, with which no thread of the host can wait.
#![cfg(not(shuttle))]

mod counters;
pub mod file;
pub mod network;
mod threads;
mod topology;

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::vec::Vec;

use embodios_pool::platform::{
    Core, CoreCounters, CoreSet, Counter, FULL_CAPACITY, Memory, NEVER, Platform, PlatformError, Power,
    ThreadId,
};
use rustix::thread::{Timespec, futex};

use counters::Counts;
use threads::Threads;

/// Threads of this process.
#[derive(Debug)]
pub struct Host {
    cores: Vec<Core>,
    threads: Threads,
    counts: Vec<Counts>,
    start: Instant,
}

impl Host {
    /// A platform of `cores` cores, for the rest of the process. Each is a processor of the machine, and the calling
    /// thread is confined to them; when there are fewer processors than that, the cores are only names, as
    /// with [`Self::described`].
    ///
    /// # Panics
    /// When `cores` is 0.
    #[must_use]
    pub fn leak(cores: usize) -> &'static Self {
        let mut processors = topology::processors();
        if cores > processors.len() {
            return Self::unpinned(cores);
        }
        processors.truncate(cores);
        let host = Self::new(topology::cores(&processors), processors);
        // As on a machine, the first thread may run everywhere; the system may refuse, and nothing is lost then.
        let _ = host.set_affinity(host.current_thread(), &CoreSet::first(cores));
        host
    }

    /// As [`Self::described`], with `cores` cores that are all alike.
    ///
    /// # Panics
    /// When `cores` is 0.
    #[must_use]
    pub fn unpinned(cores: usize) -> &'static Self {
        let core = |index: usize| Core {
            hardware_id: index as u64,
            online: true,
            package: 0,
            physical: index as u32,
            capacity: FULL_CAPACITY,
            housekeeping: index == 0,
        };
        Self::described((0..cores).map(core).collect())
    }

    /// A platform with any cores at all. Threads run on whatever processors the system gives them; a core is
    /// only the name of the place where a thread's affinity says that it is.
    ///
    /// # Panics
    /// When there is no core.
    #[must_use]
    pub fn described(cores: Vec<Core>) -> &'static Self {
        Self::new(cores, Vec::new())
    }

    fn new(cores: Vec<Core>, processors: Vec<usize>) -> &'static Self {
        assert!(!cores.is_empty(), "a platform has a core");
        let counts = cores.iter().map(|_| Counts::default()).collect();
        let online = (0..cores.len()).filter(|&index| cores[index].online).collect();
        let threads = Threads::new(processors, online);
        Box::leak(Box::new(Self { cores, threads, counts, start: Instant::now() }))
    }

    /// The counts of the core that runs this.
    fn here(&self) -> &Counts {
        &self.counts[self.current_core()]
    }

    /// Counts a refusal where it was refused.
    fn counted<T>(&self, result: Result<T, PlatformError>) -> Result<T, PlatformError> {
        if let Err(PlatformError::Reserved(core)) = result {
            self.counts[core].refused.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
}

impl Platform for Host {
    fn cores(&self) -> &[Core] {
        &self.cores
    }

    fn start_thread(
        &self,
        cores: &CoreSet,
        entry: extern "C" fn(usize),
        argument: usize,
    ) -> Result<ThreadId, PlatformError> {
        self.counted(self.threads.start(cores, entry, argument))
    }

    fn join_thread(&self, thread: ThreadId) -> Result<(), PlatformError> {
        self.threads.join(thread)
    }

    fn current_thread(&self) -> ThreadId {
        threads::current()
    }

    fn set_affinity(&self, thread: ThreadId, cores: &CoreSet) -> Result<(), PlatformError> {
        self.counted(self.threads.set_affinity(thread, cores))
    }

    fn affinity(&self, thread: ThreadId) -> Result<CoreSet, PlatformError> {
        self.threads.affinity(thread)
    }

    fn reserve_cores(&self, cores: &CoreSet) -> Result<(), PlatformError> {
        self.counted(self.threads.reserve(cores))
    }

    fn release_cores(&self) {
        self.threads.release();
    }

    fn yield_now(&self) {
        std::thread::yield_now();
    }

    fn sleep_ns(&self, nanoseconds: u64) {
        std::thread::sleep(Duration::from_nanos(nanoseconds));
    }

    fn wait(&self, word: &AtomicU32, expected: u32, deadline: u64) {
        let limit = (deadline != NEVER).then(|| Duration::from_nanos(deadline.saturating_sub(self.now_ns())));
        // A time of centuries is none.
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        // However it ends, the caller looks again.
        let _ = futex::wait(word, futex::Flags::PRIVATE, expected, limit.as_ref());
        self.here().wakeups_received.fetch_add(1, Ordering::Relaxed);
    }

    fn wake(&self, word: &AtomicU32, count: u32) {
        self.here().wakeups_sent.fetch_add(1, Ordering::Relaxed);
        // A private futex refuses no valid word.
        let _ = futex::wake(word, futex::Flags::PRIVATE, count.min(i32::MAX as u32));
    }

    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn current_core(&self) -> usize {
        self.threads.current_core()
    }

    fn write(&self, bytes: &[u8]) {
        let mut output = std::io::stdout();
        // A closed terminal leaves no place for an error.
        let _ = output.write_all(bytes).and_then(|()| output.flush());
    }

    fn read(&self, buffer: &mut [u8]) -> usize {
        std::io::stdin().read(buffer).unwrap_or(0)
    }

    fn model_memory(&self, bytes: usize) -> Option<&'static mut [u8]> {
        file::memory(bytes).ok().map(|memory| &mut **Box::leak(Box::new(memory)))
    }

    fn memory(&self) -> Memory {
        let line = |file: &str, key: &str| {
            let text = std::fs::read_to_string(file).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
        };
        Memory {
            total: line("/proc/meminfo", "MemTotal:").unwrap_or(0),
            free: line("/proc/meminfo", "MemAvailable:").unwrap_or(0),
            engine: line("/proc/self/status", "VmRSS:").unwrap_or(0),
            // The system has it back.
            idle: 0,
        }
    }

    fn core_counters(&self, core: usize) -> CoreCounters {
        let Some(counts) = self.counts.get(core) else { return CoreCounters::default() };
        counts.read(&self.threads.on_core(core))
    }

    fn uncounted(&self) -> &'static [&'static str] {
        counters::UNCOUNTED
    }

    fn counters(&self, _report: &mut dyn FnMut(Counter)) {}

    fn self_test(&self, _wakes: u32) -> (u32, u32) {
        (0, 0)
    }

    fn power(&self, action: Power) -> PlatformError {
        match action {
            Power::Off { success } => std::process::exit(i32::from(!success)),
            Power::Reboot => {
                self.write(b"a host process does not reboot; ending\n");
                std::process::exit(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_at_its_deadline_or_at_once_where_the_word_is_another() {
        let host = Host::unpinned(1);
        let word = AtomicU32::new(7);
        let deadline = host.now_ns() + 20_000_000;
        while host.now_ns() < deadline {
            host.wait(&word, 7, deadline);
        }
        host.wait(&word, 7, 0);
        host.wait(&word, 8, NEVER);
    }
}
