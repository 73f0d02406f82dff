//! The platform on host threads: tests, benchmarks and comparison with other engines need no emulator.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;
use std::vec::Vec;

use super::{Core, Counter, Memory, Platform, PlatformError, Power};

std::thread_local! {
    /// Dense index of the core that this thread stands for.
    static CURRENT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Threads of this process. There may be more cores than the machine has: threads then share.
#[derive(Debug)]
pub struct Host {
    cores: Vec<Core>,
    processors: Vec<core_affinity::CoreId>,
    start: Instant,
    waits: AtomicU64,
    wakes: AtomicU64,
}

impl Host {
    /// A platform of `cores` cores, for the rest of the process. The calling thread is core 0; it is
    /// pinned like the others when there is a processor for each.
    ///
    /// # Panics
    /// When `cores` is 0.
    #[must_use]
    pub fn leak(cores: usize) -> &'static Self {
        assert!(cores > 0, "a platform has a core");
        let processors = core_affinity::get_core_ids().unwrap_or_default();
        let hardware_id = |index: usize| match processors.len() {
            0 => index as u64,
            count => processors[index % count].id as u64,
        };
        let host = Self {
            cores: (0..cores).map(|index| Core { hardware_id: hardware_id(index), online: true }).collect(),
            processors,
            start: Instant::now(),
            waits: AtomicU64::new(0),
            wakes: AtomicU64::new(0),
        };
        Box::leak(Box::new(host))
    }

    /// Pins the calling thread as core `index`, unless cores share processors.
    pub fn pin(&self, index: usize) {
        CURRENT.set(index);
        if self.cores.len() <= self.processors.len() {
            core_affinity::set_for_current(self.processors[index]);
        }
    }
}

impl Platform for Host {
    fn cores(&self) -> &[Core] {
        &self.cores
    }

    fn start_thread(
        &self,
        core: usize,
        entry: extern "C" fn(usize),
        argument: usize,
    ) -> Result<(), PlatformError> {
        if core >= self.cores.len() {
            return Err(PlatformError::NoSuchCore(core));
        }
        let pin = (self.cores.len() <= self.processors.len()).then(|| self.processors[core]);
        std::thread::spawn(move || {
            CURRENT.set(core);
            if let Some(processor) = pin {
                core_affinity::set_for_current(processor);
            }
            entry(argument);
        });
        Ok(())
    }

    fn wait(&self, word: &AtomicU32, expected: u32) {
        self.waits.fetch_add(1, Ordering::Relaxed);
        atomic_wait::wait(word, expected);
    }

    fn wake(&self, word: &AtomicU32, count: u32) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        if count == 1 { atomic_wait::wake_one(word) } else { atomic_wait::wake_all(word) }
    }

    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn current_core(&self) -> usize {
        CURRENT.get()
    }

    fn write(&self, bytes: &[u8]) {
        let mut output = std::io::stdout();
        // A closed terminal leaves nobody to tell.
        let _ = output.write_all(bytes).and_then(|()| output.flush());
    }

    fn read(&self, buffer: &mut [u8]) -> usize {
        std::io::stdin().read(buffer).unwrap_or(0)
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
        }
    }

    fn counters(&self, report: &mut dyn FnMut(Counter)) {
        report(("waits", self.waits.load(Ordering::Relaxed)));
        report(("wakes", self.wakes.load(Ordering::Relaxed)));
    }

    fn self_test(&self) -> (u32, u32) {
        (0, 0)
    }

    fn power(&self, action: Power) -> ! {
        match action {
            Power::Off { success } => std::process::exit(i32::from(!success)),
            Power::Reboot => {
                self.write(b"a host process does not reboot; ending\n");
                std::process::exit(0)
            }
        }
    }
}
