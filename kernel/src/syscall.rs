//! What each system call does. Checks come first; nothing the engine passes is trusted.

use crate::memory::memory;
use crate::per_cpu::{self, count};
use crate::{engine, input, kprintln, output, power, selftest, thread, user, wait};
use embodios_abi::{Call, Error, PowerAction, Query, encode_result};
use embodios_arch::{Arch, Architecture};

/// Longest piece that one core writes to the console before others have a turn, in bytes.
const WRITE_PIECE: usize = 4096;

/// Serves a call; the value for the result register.
pub fn dispatch(number: u64, arguments: [u64; 3]) -> u64 {
    count(&per_cpu::this().counters.system_calls);
    let result = match Call::from_number(number) {
        Some(call) => serve(call, arguments),
        None => Err(Error::Unknown),
    };
    encode_result(result)
}

fn serve(call: Call, [a, b, c]: [u64; 3]) -> Result<u64, Error> {
    match call {
        Call::ConsoleWrite => {
            user::bytes(a, b)?.chunks(WRITE_PIECE).for_each(output::write);
            engine::has_spoken();
            Ok(b)
        }
        Call::ConsoleRead => {
            let mut buffer = user::Buffer::new(a, b)?;
            Ok(input::read(buffer.length(), |index, byte| buffer.put(index, byte)) as u64)
        }
        Call::ThreadStart => {
            let core = per_cpu::by_engine_index(a).ok_or(Error::Unknown)?;
            thread::start(core, engine::thread_start(core.cpu, b, c)).map(|()| 0)
        }
        Call::ThreadExit => thread::exit(),
        Call::Wait => wait::wait(a, user::word(a)?, b as u32, (c != u64::MAX).then_some(c)).map(|()| 0),
        Call::Wake => user::word(a).map(|_| wait::wake(a, b)),
        Call::MemoryGrant => {
            engine::with(|engine| engine.grant(a)).and_then(Result::ok).ok_or(Error::OutOfMemory)
        }
        Call::Query => Query::from_number(a).map(answer).ok_or(Error::Unknown),
        Call::Power => match a {
            a if a == PowerAction::Off as u64 => power::off(b),
            a if a == PowerAction::Reboot as u64 => power::reboot(),
            _ => Err(Error::Unknown),
        },
        Call::SelfTest => {
            let (passed, failed) = selftest::run();
            Ok(u64::from(passed) << 32 | u64::from(failed))
        }
        Call::OverflowKernelStack => Ok(selftest::overflow_stack(0)),
        Call::Abort => {
            let message = user::bytes(a, b).unwrap_or_default();
            kprintln!("engine failed on core {}:", per_cpu::this().cpu);
            message.chunks(WRITE_PIECE).for_each(output::write);
            output::write(b"\n");
            engine::restart()
        }
    }
}

fn answer(query: Query) -> u64 {
    let this = per_cpu::this();
    match query {
        Query::MemoryTotal => memory().total(),
        Query::MemoryFree => memory().free_bytes(),
        Query::MemoryGranted => engine::with(|engine| engine.granted()).unwrap_or(0),
        Query::CurrentCore => per_cpu::engine_index(this),
        Query::CurrentHardwareId => Arch::hardware_id().0,
        Query::Wakeups => per_cpu::total(|counters| &counters.wakeups),
        Query::IpisSent => per_cpu::total(|counters| &counters.ipis_sent),
        Query::SystemCalls => per_cpu::total(|counters| &counters.system_calls),
        Query::Interrupts => per_cpu::total(|counters| &counters.interrupts),
    }
}
