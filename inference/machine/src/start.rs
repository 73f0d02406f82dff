//! From the kernel's hand-over to the console, and what a panic does.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::slice;
use core::sync::atomic::AtomicU32;

use embodios_abi::command_line::{self, Reader};
use embodios_abi::{EngineInfo, INFO_MAGIC, ModuleInfo, NetworkInfo, Span};
use embodios_console::{self, Module, Start};

use crate::clock::Clock;
use crate::platform::Task;
use crate::{arch, cores, fault, network, platform, system};

/// Said of a build that is not optimised as a whole.
const BUILD: &str = match option_env!("EMBODIOS_PROFILE") {
    Some(_) => " (quick build)",
    None => "",
};

/// First Rust code of thread 0.
pub extern "C" fn main_thread(info: *const EngineInfo) -> ! {
    // SAFETY: the kernel passes the address of a record that stays mapped, read-only, for good.
    let info = unsafe { &*info };
    assert!(info.magic == INFO_MAGIC, "start-up information has magic {:#x}", info.magic);
    let Some(clock) = Clock::new(info.counter_zero, info.counter_hz) else {
        panic!("the kernel gives the counter's frequency as 0");
    };
    // SAFETY: the kernel fills the spans with live, read-only records of the types named.
    let (infos, modules) = unsafe { (records(info.cores), records::<ModuleInfo>(info.modules)) };
    let modules: Vec<Module> =
        modules.iter().map(|module| Module { name: text(module.name), bytes: bytes(module.bytes) }).collect();
    // SAFETY: as above.
    let networks = unsafe { records::<NetworkInfo>(info.networks) };
    cores::init(infos);
    // SAFETY: the kernel's address of a live word that stays mapped, read-only, for good; it is only loaded from.
    let interrupts = unsafe { AtomicU32::from_ptr(info.interrupts as *mut u32) };
    embodios_console::run(
        platform::init(clock, info.max_threads, interrupts),
        &Start {
            machine: &alloc::format!("{} {}{BUILD}", arch::NAME, text(info.machine)),
            restarts: info.restarts,
            died_loading: info.silent_crashes > 0,
            has_bad_words: info.bad_words > 0,
            command_line: &engine_words(text(info.command_line)),
            modules: &modules,
            fault: Some(fault::commit),
            network: network::init(networks.first()),
            wall_clock: (info.wall_clock > 0).then_some(info.wall_clock),
            seed: seed(info.random),
        },
    )
}

/// A random number from what sources there are, the processor and a device's number `device`.
fn seed(device: u64) -> Option<u64> {
    let device = (device != 0).then_some(device);
    arch::random().map(|number| number ^ device.unwrap_or(0)).or(device)
}

/// The words of a command line that are not the kernel's alone: the engine's, and unknown ones.
fn engine_words(line: &str) -> String {
    let words = command_line::words(line).filter(|word| word.reader() != Some(Reader::Kernel));
    words.map(|word| word.text).collect::<Vec<_>>().join(" ")
}

/// First Rust code of every other thread.
pub extern "C" fn thread(task: *mut Task) -> ! {
    // SAFETY: `Machine::start_with_priority` made the box for this thread alone.
    let task = unsafe { Box::from_raw(task) };
    task.run();
    system::thread_exit()
}

/// The records of a span.
///
/// # Safety
/// The span must be the kernel's, of records of type `T`.
unsafe fn records<T>(span: Span) -> &'static [T] {
    if span.count == 0 {
        return &[];
    }
    // SAFETY: the kernel's spans lie in memory that stays mapped, read-only, for good.
    unsafe { slice::from_raw_parts(span.address as *const T, span.count as usize) }
}

fn bytes(span: Span) -> &'static [u8] {
    // SAFETY: spans come from the kernel only, and every byte is a record of one byte.
    unsafe { records(span) }
}

/// A span's text, as far as it is UTF-8.
fn text(span: Span) -> &'static str {
    bytes(span).utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

#[cfg(not(test))]
mod last_words {
    use core::fmt::{self, Write};
    use core::panic::PanicInfo;

    use crate::cores;
    use crate::system;

    /// Bytes of a message that are kept.
    const LIMIT: usize = 512;

    /// Text in place, cut off where it is full: a panic may come from the allocator.
    struct Message {
        text: [u8; LIMIT],
        length: usize,
    }

    impl Write for Message {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let count = text.len().min(LIMIT - self.length);
            self.text[self.length..self.length + count].copy_from_slice(&text.as_bytes()[..count]);
            self.length += count;
            Ok(())
        }
    }

    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        let mut message = Message { text: [0; LIMIT], length: 0 };
        let _ = write!(message, "{info}");
        if let Some(core) = cores::reserved_here() {
            let _ = write!(message, "\ncore {core} is reserved: nothing may allocate there");
        }
        system::abort(&message.text[..message.length])
    }

    /// The prebuilt `alloc` names it for unwinding; as panics abort, nothing gets here.
    #[unsafe(no_mangle)]
    extern "C" fn _Unwind_Resume() -> ! {
        system::abort(b"unwinding in a program whose panics abort")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_left_out() {
        assert_eq!(
            engine_words("log=info model=a  housekeeping=1 lgo hook.absent=1 exec=log=x;  y"),
            "model=a housekeeping=1 lgo exec=log=x;  y"
        );
    }

    #[test]
    fn the_console_knows_every_word_that_is_for_it() {
        for (name, reader) in command_line::WORDS {
            let word = alloc::format!("{name}=x");
            let unknown = embodios_console::unknown_words(&word);
            let alone = embodios_console::unknown_words(name);
            assert_eq!(unknown.is_empty() || alone.is_empty(), reader != Reader::Kernel, "{name}");
        }
    }
}
