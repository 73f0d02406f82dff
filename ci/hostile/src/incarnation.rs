//! Inputs of an incarnation: the attack with its numbers, the machine, and the number of earlier incarnations.

use core::slice;

use embodios_abi::{CoreStatistics, EngineInfo, ModuleInfo, Query, Span, command_line, layout};

use crate::{arch, say, system};

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// The start-up information.
pub fn info() -> &'static EngineInfo {
    // SAFETY: the kernel maps the record there, read-only, for good.
    unsafe { &*(layout::INFO as *const EngineInfo) }
}

/// Incarnations before this one.
pub fn number() -> u64 {
    info().restarts
}

/// Cores that take threads.
pub fn cores() -> u64 {
    info().online
}

/// The first module's bytes, the largest run of bytes that may be read.
pub fn module() -> Span {
    // SAFETY: the kernel fills the span with live, read-only records; there is one, the built-in model.
    unsafe { (*(info().modules.address as *const ModuleInfo)).bytes }
}

/// Words behind `exec=`.
fn words() -> impl Iterator<Item = &'static str> {
    let Span { address, count } = info().command_line;
    // SAFETY: the kernel's span of bytes, read-only, for good.
    let line = unsafe { slice::from_raw_parts(address as *const u8, count as usize) };
    let line = line.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let script = command_line::words(line).find(|word| word.name == "exec").and_then(|word| word.value);
    script.unwrap_or("").split_ascii_whitespace()
}

/// The attack.
pub fn mode() -> &'static str {
    words().next().unwrap_or("")
}

/// The number `name` of the attack.
pub fn option(name: &str, default: u64) -> u64 {
    let value = words().filter_map(|word| word.split_once('=')).find(|&(key, _)| key == name);
    value.and_then(|(_, value)| value.parse().ok()).unwrap_or(default)
}

/// Prints the incarnation's number and the free memory, for the host to compare. Nothing is granted before it.
pub fn begin() {
    say!("incarnation {} begins with {} bytes free", number(), system::query(Query::MemoryFree));
}

/// System calls that the kernel has served since the machine started.
pub fn calls_served() -> u64 {
    (0..cores()).map(|core| statistics(core).read().system_calls).sum()
}

/// A core's record. All cores of the machines that are attacked are online, so that record and core have one number.
fn statistics(core: u64) -> &'static CoreStatistics {
    // SAFETY: the kernel maps a record for each core, read-only for this program, which only reads atomics.
    unsafe { &*((layout::STATISTICS + core * PAGE) as *const CoreStatistics) }
}

/// The counter's value so many milliseconds from now.
pub fn after(milliseconds: u64) -> u64 {
    arch::counter() + info().counter_hz / 1000 * milliseconds
}
