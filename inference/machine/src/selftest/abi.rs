//! Calls that the kernel has to refuse or bound, and what it must have given a fresh engine.

use alloc::format;
use alloc::string::String;

use embodios_abi::{Call, Error, MAX_GRANT, Query, Span, ThreadRecord, decode_result, layout};
use embodios_pool::platform::Platform;

use super::{Outcome, Test, check, only};
use crate::platform::Machine;
use crate::{arch, system};

pub const TESTS: &[Test] = &[
    ("a thread begins in code of the engine only", thread_entries),
    ("addresses that are not the engine's are refused", addresses),
    ("sets of cores that the machine does not have are refused", sets),
    ("a call takes a bounded part of a long write", long_writes),
    ("grants are bounded, and a refused call costs no memory", grants),
];

/// Makes a call with any arguments.
fn call(call: Call, arguments: [u64; 3]) -> Result<u64, Error> {
    // SAFETY: the tests pass addresses that the kernel refuses, or memory that is only read.
    decode_result(unsafe { arch::system_call(call as u64, arguments) })
}

fn expect(found: Result<u64, Error>, wanted: Error, what: impl Fn() -> String) -> Outcome {
    check(found == Err(wanted), || format!("{}: {found:?} and not {wanted:?}", what()))
}

/// Addresses of the kernel, of nothing, and of more bits than there are.
fn foreign() -> impl Iterator<Item = u64> {
    let fixed = [
        0,
        8,
        0x1000,
        0x20_0000,
        arch::KERNEL_ADDRESS as u64,
        layout::ENGINE_START - 8,
        layout::ENGINE_START,
        layout::ENGINE_END,
        layout::ENGINE_END + 0x1_8000,
        layout::STACKS - 8,
        layout::HEAP + (1 << 38),
        (1 << 47) - 8,
    ];
    let high = [1 << 47, 1 << 48, 1 << 63, 0xffff_8000_0000_0000, u64::MAX - 7].into_iter();
    // The engine's own addresses with bits above the 48 that are looked up.
    fixed.into_iter().chain(high).chain([48, 52, 63].map(|bit| layout::IMAGE | 1 << bit))
}

fn thread_entries(_: &Machine) -> Outcome {
    let cores = only(0);
    let words = cores.words();
    let record = ThreadRecord {
        priority: 0,
        cores: Span { address: words.as_ptr() as u64, count: words.len() as u64 },
    };
    let begin = |entry| call(Call::ThreadCreate, [entry, 0, &raw const record as u64]);
    let data = [0u64; 2];
    let own = [data.as_ptr() as u64, layout::INFO, layout::STATISTICS, layout::HEAP, layout::MODULES];
    for entry in foreign().chain(own) {
        expect(begin(entry), Error::BadAddress, || format!("a thread at {entry:#x}"))?;
    }
    Ok(())
}

fn addresses(_: &Machine) -> Outcome {
    let word = 0u64;
    let own = &raw const word as u64;
    for address in foreign() {
        let calls = [
            (Call::ConsoleWrite, [address, 1, 0]),
            (Call::ConsoleRead, [address, 1, 0]),
            (Call::ThreadCreate, [arch::thread_start as *const () as u64, 0, address]),
            (Call::Wait, [address, 1, 0]),
            (Call::Wake, [address, 1, 0]),
            (Call::ReserveCores, [address, 1, 0]),
        ];
        for (number, arguments) in calls {
            expect(call(number, arguments), Error::BadAddress, || format!("{number:?} at {address:#x}"))?;
        }
    }
    // The length reaches past the end of the address space, or of the engine's part of it.
    for length in [u64::MAX, u64::MAX - own + 1, 1 << 63] {
        let write = call(Call::ReserveCores, [own & !7, length / 8, 0]);
        check(write.is_err(), || format!("a set of {length:#x} bytes: {write:?}"))?;
    }
    // Memory that the engine may only read is not written to.
    expect(call(Call::ConsoleRead, [layout::INFO, 8, 0]), Error::BadAddress, || {
        "input over constants".into()
    })?;
    expect(call(Call::Wake, [own + 1, 1, 0]), Error::BadAddress, || "a word at an odd address".into())
}

fn sets(machine: &Machine) -> Outcome {
    let cores = super::online(machine);
    let reserve = |words: &[u64]| call(Call::ReserveCores, [words.as_ptr() as u64, words.len() as u64, 0]);
    let mut words = [0u64; 40];
    expect(reserve(&words), Error::NoCores, || "no core".into())?;
    for core in [cores, cores + 1, 64 * words.len() - 1] {
        if core < 64 * words.len() {
            words = [0; 40];
            words[core / 64] |= 1 << (core % 64);
            expect(reserve(&words), Error::Offline, || format!("core {core} of {cores}"))?;
        }
    }
    expect(call(Call::ReserveCores, [0, 1 << 40, 0]), Error::Offline, || "a set of 2^46 cores".into())
}

fn long_writes(machine: &Machine) -> Outcome {
    // An empty line is all that is seen of it.
    let blanks = [b' '; 4096];
    let written = call(Call::ConsoleWrite, [blanks.as_ptr() as u64, blanks.len() as u64, 0]);
    machine.write(b"\n");
    check(written.is_ok_and(|written| written <= 512), || format!("{written:?} bytes were written at once"))
}

fn grants(_: &Machine) -> Outcome {
    let free = || system::query(Query::MemoryFree);
    let before = free();
    for bytes in [0, MAX_GRANT + 1, 1 << 40, u64::MAX] {
        expect(call(Call::MemoryGrant, [bytes, 0, 0]), Error::OutOfMemory, || format!("{bytes:#x} bytes"))?;
    }
    for entry in foreign() {
        let refused = call(Call::ThreadCreate, [entry, 0, 0]);
        check(refused.is_err(), || format!("a thread at {entry:#x}: {refused:?}"))?;
    }
    check(free() == before, || format!("{before:?} bytes were free, {:?} are", free()))
}
