//! Ways in which an incarnation ends.

use core::hint::black_box;

use embodios_abi::{Call, Hook, layout};

use crate::threads::{self, Job};
use crate::{arch, incarnation, system};

/// A way.
#[derive(Clone, Copy)]
pub enum Way {
    ReadNull,
    ReadNonCanonical,
    WriteKernel,
    ExecuteNull,
    ExecuteData,
    ExecuteKernel,
    ExecuteNonCanonical,
    Undefined,
    StackOverflow,
    CallWithoutStack,
    BadReturn,
    BadThread,
    WildThread,
    Abort,
    LongAbort,
    WildAbort,
    EndlessAbort,
    NoThreadLeft,
}

/// All ways. The last one ends an incarnation only if no other thread lives.
pub const WAYS: [Way; 18] = [
    Way::ReadNull,
    Way::ReadNonCanonical,
    Way::WriteKernel,
    Way::ExecuteNull,
    Way::ExecuteData,
    Way::ExecuteKernel,
    Way::ExecuteNonCanonical,
    Way::Undefined,
    Way::StackOverflow,
    Way::CallWithoutStack,
    Way::BadReturn,
    Way::BadThread,
    Way::WildThread,
    Way::Abort,
    Way::LongAbort,
    Way::WildAbort,
    Way::EndlessAbort,
    Way::NoThreadLeft,
];

/// Ways in which one thread of several ends the incarnation.
pub const WAYS_AMONG_OTHERS: &[Way] = WAYS.split_at(WAYS.len() - 1).0;

/// The lowest address that is not canonical.
const NON_CANONICAL: u64 = 1 << 47;

/// Ends the incarnation. A way that this machine has not is the first one.
pub fn die(way: Way) -> ! {
    let module = incarnation::module();
    match way {
        Way::ReadNull => {}
        Way::ReadNonCanonical => read(NON_CANONICAL),
        Way::WriteKernel => write(arch::KERNEL),
        Way::ExecuteNull => execute(0),
        Way::ExecuteData => execute(layout::INFO),
        Way::ExecuteKernel => execute(arch::KERNEL),
        Way::ExecuteNonCanonical => execute(NON_CANONICAL),
        Way::Undefined => arch::undefined(),
        Way::StackOverflow => arch::fill_stack(0),
        Way::CallWithoutStack => {
            arch::call_without_stack(Call::Query as u64, 8);
            arch::call_without_stack(Call::Abort as u64, NON_CANONICAL + 1);
        }
        Way::BadReturn => {
            let _ = system::call(Call::TestHook, [Hook::BadReturn as u64, 0, 0]);
        }
        Way::BadThread => thread(arch::undefined as *const () as u64),
        Way::WildThread => thread(layout::IMAGE),
        Way::Abort => abort(b"dead".as_ptr() as u64, 4),
        Way::LongAbort => abort(module.address, module.count),
        Way::WildAbort => abort(NON_CANONICAL - 1, 2),
        Way::EndlessAbort => abort(module.address, u64::MAX),
        Way::NoThreadLeft => threads::end(),
    }
    read(0);
    system::abort(b"WRONG: a deadly fault did no harm")
}

/// Reads a word that is not the program's.
pub fn read(address: u64) {
    // SAFETY: never sound; the processor refuses it.
    black_box(unsafe { (address as *const u64).read_volatile() });
}

/// Writes a word that is not the program's.
pub fn write(address: u64) {
    // SAFETY: never sound; the processor refuses it.
    unsafe { (address as *mut u64).write_volatile(0xdead_beef_dead_beef) }
}

/// Calls an address that is no function of the program's.
pub fn execute(address: u64) {
    // SAFETY: never sound; the processor refuses it.
    let function: extern "C" fn() = unsafe { core::mem::transmute(address as usize) };
    function();
}

fn abort(address: u64, length: u64) {
    let _ = system::call(Call::Abort, [address, length, 0]);
}

/// Starts a thread at `entry` on this core and waits for its end.
fn thread(entry: u64) {
    let set = [1u64];
    let record = [0, set.as_ptr() as u64, 1];
    let created =
        system::call(Call::ThreadCreate, [entry, threads::argument(Job::End, 0), record.as_ptr() as u64]);
    if let Ok(thread) = created {
        let _ = system::call(Call::ThreadJoin, [thread, incarnation::after(1000), 0]);
    }
}
