//! System calls as functions: each wraps one call of `embodios_abi::Call` behind a safe signature.

use core::sync::atomic::AtomicU32;

use embodios_abi::{Call, Error, Hook, PowerAction, Query, Span, ThreadRecord, decode_result};
use embodios_pool::platform::CoreSet;

use crate::arch;

/// # Safety
/// As [`arch::system_call`].
unsafe fn call(call: Call, arguments: [u64; 3]) -> Result<u64, Error> {
    // SAFETY: the caller vouches for the arguments.
    decode_result(unsafe { arch::system_call(call as u64, arguments) })
}

/// For the calls that `embodios_abi` marks as blocking.
///
/// # Safety
/// As [`arch::blocking_call`].
unsafe fn blocking(call: Call, arguments: [u64; 3]) -> Result<u64, Error> {
    // SAFETY: the caller vouches for the arguments.
    decode_result(unsafe { arch::blocking_call(call as u64, arguments) })
}

/// Writes `bytes` to the console, as far as it takes them at once. Result: how many that were.
pub fn console_write(bytes: &[u8]) -> Result<u64, Error> {
    // SAFETY: the kernel reads the bytes of a live slice.
    unsafe { call(Call::ConsoleWrite, [bytes.as_ptr() as u64, bytes.len() as u64, 0]) }
}

/// Waits for input. Result: how many bytes of `buffer` were filled.
pub fn console_read(buffer: &mut [u8]) -> Result<u64, Error> {
    // SAFETY: the kernel writes inside a slice that this call borrows alone.
    unsafe { blocking(Call::ConsoleRead, [buffer.as_mut_ptr() as u64, buffer.len() as u64, 0]) }
}

/// Starts a thread on `cores` at `entry(argument)`. Result: its number.
///
/// # Safety
/// `entry` must be sound to run with `argument` on another core, on a bare stack.
pub unsafe fn thread_create(
    cores: &CoreSet,
    priority: u64,
    entry: extern "C" fn() -> !,
    argument: usize,
) -> Result<u64, Error> {
    let record = ThreadRecord { priority, cores: span(cores) };
    let record = &raw const record as u64;
    // SAFETY: the kernel reads a live record and the words of a live set; the caller vouches for the entry.
    unsafe { call(Call::ThreadCreate, [entry as usize as u64, argument as u64, record]) }
}

/// Ends the calling thread.
pub fn thread_exit() -> ! {
    // SAFETY: no arguments.
    let refusal = unsafe { call(Call::ThreadExit, [0; 3]) };
    panic!("the kernel refused to end a thread: {refusal:?}")
}

/// Waits until a thread is gone, at most until the counter shows `deadline`.
pub fn thread_join(thread: u64, deadline: u64) -> Result<u64, Error> {
    // SAFETY: no addresses.
    unsafe { blocking(Call::ThreadJoin, [thread, deadline, 0]) }
}

/// Lets other threads of this core run.
pub fn yield_now() -> Result<u64, Error> {
    // SAFETY: no arguments.
    unsafe { blocking(Call::Yield, [0; 3]) }
}

/// Sleeps until the counter shows `deadline`.
pub fn sleep(deadline: u64) -> Result<u64, Error> {
    // SAFETY: no addresses.
    unsafe { blocking(Call::Sleep, [deadline, 0, 0]) }
}

/// Sleeps while `word` holds `expected`, until a wake, at most until the counter shows `deadline`; may return early.
pub fn wait(word: &AtomicU32, expected: u32, deadline: u64) -> Result<u64, Error> {
    // SAFETY: the kernel reads a live, aligned word.
    unsafe { blocking(Call::Wait, [word.as_ptr() as u64, expected.into(), deadline]) }
}

/// Wakes up to `count` threads that wait on `word`.
pub fn wake(word: &AtomicU32, count: u32) -> Result<u64, Error> {
    // SAFETY: the kernel uses the address as a key.
    unsafe { call(Call::Wake, [word.as_ptr() as u64, count.into(), 0]) }
}

/// Confines a thread to `cores`.
pub fn affinity_set(thread: u64, cores: &CoreSet) -> Result<u64, Error> {
    let Span { address, count } = span(cores);
    // SAFETY: the kernel reads the words of a live set.
    unsafe { blocking(Call::AffinitySet, [thread, address, count]) }
}

/// Reads a thread's set of cores into `words`. Result: how many words it needs.
pub fn affinity_get(thread: u64, words: &mut [u64]) -> Result<u64, Error> {
    // SAFETY: the kernel writes inside a slice that this call borrows alone.
    unsafe { call(Call::AffinityGet, [thread, words.as_mut_ptr() as u64, words.len() as u64]) }
}

/// Sets a thread's priority.
pub fn priority_set(thread: u64, priority: u64) -> Result<u64, Error> {
    // SAFETY: no addresses.
    unsafe { call(Call::PrioritySet, [thread, priority, 0]) }
}

/// Keeps `cores` for the threads on them.
pub fn reserve_cores(cores: &CoreSet) -> Result<u64, Error> {
    let Span { address, count } = span(cores);
    // SAFETY: the kernel reads the words of a live set.
    unsafe { call(Call::ReserveCores, [address, count, 0]) }
}

/// Ends what [`reserve_cores`] began.
pub fn release_cores() -> Result<u64, Error> {
    // SAFETY: no arguments.
    unsafe { call(Call::ReleaseCores, [0; 3]) }
}

/// Place of a set's words.
fn span(cores: &CoreSet) -> Span {
    Span { address: cores.words().as_ptr() as u64, count: cores.words().len() as u64 }
}

/// Maps at least `bytes` more bytes after the last grant. Result: address of the first.
pub fn memory_grant(bytes: usize) -> Result<u64, Error> {
    // SAFETY: new memory is not in use.
    unsafe { call(Call::MemoryGrant, [bytes as u64, 0, 0]) }
}

/// One number the kernel knows.
pub fn query(query: Query) -> Result<u64, Error> {
    // SAFETY: no addresses.
    unsafe { call(Call::Query, [query as u64, 0, 0]) }
}

/// Ends or restarts the machine with an `ExitStatus` code. Returns why not, if it is not allowed.
pub fn power(action: PowerAction, code: u32) -> Result<u64, Error> {
    // SAFETY: no addresses.
    unsafe { call(Call::Power, [action as u64, code.into(), 0]) }
}

/// Runs the kernel's tests. Result: `passed << 32 | failed`.
pub fn self_test() -> Result<u64, Error> {
    // SAFETY: no arguments.
    unsafe { call(Call::SelfTest, [0; 3]) }
}

/// Has the kernel do something to itself.
pub fn test_hook(hook: Hook) -> Result<u64, Error> {
    // SAFETY: no addresses; the kernel contains what follows.
    unsafe { call(Call::TestHook, [hook as u64, 0, 0]) }
}

/// Hands buffers of a device's queue over, each named by a word. Result: how many were taken.
pub fn submit(queue: u64, words: &[u64]) -> Result<u64, Error> {
    // SAFETY: the kernel reads the words of a live slice; the buffers are a device's.
    unsafe { call(Call::Submit, [queue, words.as_ptr() as u64, words.len() as u64]) }
}

/// Stops the engine as failed, with `message` as its last words.
pub fn abort(message: &[u8]) -> ! {
    loop {
        // SAFETY: the kernel reads the bytes of a live slice.
        let _ = unsafe { call(Call::Abort, [message.as_ptr() as u64, message.len() as u64, 0]) };
    }
}
