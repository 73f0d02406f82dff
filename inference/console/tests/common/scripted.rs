//! The console on a host whose terminal is in memory.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use embodios_console::{Fault, Module, Start, run};
use embodios_fixtures::STORY;
use embodios_host::Host;
use embodios_pool::platform::{
    Core, CoreCounters, CoreSet, Counter, Memory, Platform, PlatformError, Power, ThreadId,
};

/// A host whose terminal is in memory.
struct Scripted {
    host: &'static Host,
    input: Mutex<VecDeque<u8>>,
    output: Mutex<Vec<u8>>,
    writes: AtomicU32,
    /// A person presses Ctrl-C when this is shown; never if it is empty.
    interrupted_at: &'static str,
}

impl Platform for Scripted {
    fn cores(&self) -> &[Core] {
        self.host.cores()
    }
    fn start_thread(
        &self,
        cores: &CoreSet,
        entry: extern "C" fn(usize),
        argument: usize,
    ) -> Result<ThreadId, PlatformError> {
        self.host.start_thread(cores, entry, argument)
    }
    fn join_thread(&self, thread: ThreadId) -> Result<(), PlatformError> {
        self.host.join_thread(thread)
    }
    fn current_thread(&self) -> ThreadId {
        self.host.current_thread()
    }
    fn set_affinity(&self, thread: ThreadId, cores: &CoreSet) -> Result<(), PlatformError> {
        self.host.set_affinity(thread, cores)
    }
    fn affinity(&self, thread: ThreadId) -> Result<CoreSet, PlatformError> {
        self.host.affinity(thread)
    }
    fn reserve_cores(&self, cores: &CoreSet) -> Result<(), PlatformError> {
        self.host.reserve_cores(cores)
    }
    fn release_cores(&self) {
        self.host.release_cores();
    }
    fn yield_now(&self) {
        self.host.yield_now();
    }
    fn sleep_ns(&self, nanoseconds: u64) {
        self.host.sleep_ns(nanoseconds);
    }
    fn wait(&self, word: &AtomicU32, expected: u32, deadline: u64) {
        self.host.wait(word, expected, deadline);
    }
    fn wake(&self, word: &AtomicU32, count: u32) {
        self.host.wake(word, count);
    }
    fn now_ns(&self) -> u64 {
        self.host.now_ns()
    }
    fn current_core(&self) -> usize {
        self.host.current_core()
    }
    fn write(&self, bytes: &[u8]) {
        self.writes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.output.lock().unwrap().extend(bytes);
    }
    fn read(&self, buffer: &mut [u8]) -> usize {
        let mut input = self.input.lock().unwrap();
        let count = input.len().min(buffer.len());
        for (byte, typed) in buffer.iter_mut().zip(input.drain(..count)) {
            *byte = typed;
        }
        count
    }
    fn interrupts(&self) -> u32 {
        let output = self.output.lock().unwrap();
        let shown = |text: &str| output.windows(text.len()).any(|window| window == text.as_bytes());
        u32::from(!self.interrupted_at.is_empty() && shown(self.interrupted_at))
    }
    fn memory(&self) -> Memory {
        Memory { total: 1 << 30, free: 1 << 29, engine: 1 << 21, idle: 1 << 20 }
    }
    fn core_counters(&self, core: usize) -> CoreCounters {
        self.host.core_counters(core)
    }
    fn uncounted(&self) -> &'static [&'static str] {
        self.host.uncounted()
    }
    fn counters(&self, report: &mut dyn FnMut(Counter)) {
        report(("system calls", 12));
    }
    fn self_test(&self, _wakes: u32) -> (u32, u32) {
        self.write(b"test scripted platform ... ok\n");
        (1, 0)
    }
    fn power(&self, action: Power) -> PlatformError {
        panic_any(action)
    }
}

/// A session that has ended.
pub struct Session {
    pub output: String,
    pub action: Power,
    pub writes: u32,
}

pub fn session(cores: usize, modules: &[Module], command_line: &str, restarts: u64, typed: &str) -> Session {
    interrupted_session(cores, modules, command_line, restarts, (typed, ""))
}

/// A session with what is `typed`, in which a Ctrl-C has its effect when some text is shown.
pub fn interrupted_session(
    cores: usize,
    modules: &[Module],
    command_line: &str,
    restarts: u64,
    (typed, interrupted_at): (&str, &'static str),
) -> Session {
    let platform: &'static Scripted = Box::leak(Box::new(Scripted {
        host: Host::unpinned(cores),
        input: Mutex::new(typed.bytes().collect()),
        output: Mutex::default(),
        writes: AtomicU32::new(0),
        interrupted_at,
    }));
    let fault: fn(Fault) -> ! = |fault| panic_any(fault);
    let start = Start {
        has_bad_words: false,
        machine: "scripted",
        restarts,
        died_loading: false,
        command_line,
        modules,
        fault: Some(fault),
        network: None,
        wall_clock: None,
        seed: None,
    };
    let Err(payload) = catch_unwind(AssertUnwindSafe(|| run(platform, &start)));
    let output = String::from_utf8(platform.output.lock().unwrap().clone()).unwrap();
    let action = match payload.downcast::<Power>() {
        Ok(action) => *action,
        Err(other) => resume_unwind(other),
    };
    Session { output, action, writes: platform.writes.load(std::sync::atomic::Ordering::Relaxed) }
}

pub const MODULE: Module = Module { name: "story.gguf", bytes: STORY };
pub const GOOD: Power = Power::Off { success: true };
pub const BAD: Power = Power::Off { success: false };

/// Runs commands on the story model, also behind a failed one; returns the output after the two lines of the start.
pub fn script(cores: usize, commands: &str) -> (String, Power) {
    let Session { output, action, .. } =
        session(cores, &[MODULE], &format!("keep-going exec={commands}"), 0, "");
    let (_, after) = output.split_once("console after ").unwrap();
    (after.split_once('\n').unwrap().1.to_owned(), action)
}

pub fn line<'o>(output: &'o str, start: &str) -> &'o str {
    output.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start:?} in {output}"))
}
