//! Reserved cores get no memory and no new thread, and what was refused is counted.

use alloc::alloc::{alloc, dealloc};
use alloc::format;
use core::alloc::Layout;
use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};

use embodios_abi::Error;
use embodios_pool::platform::{NEVER, Platform, PlatformError};

use super::{Outcome, Test, check, context, join_all, online, only, start};
use crate::platform::{Machine, PRIORITY, machine};
use crate::{arch, system};

pub const TESTS: &[Test] = &[("a reserved core is refused memory and threads", reserved)];

/// States of [`Tenant::word`].
const RESERVED: u32 = 1;
const TRIED: u32 = 2;

/// A thread of the core that is reserved.
struct Tenant {
    word: AtomicU32,
    /// Number of its requests that were refused.
    refused: AtomicU32,
}

extern "C" fn ask_for_memory(argument: usize) {
    // SAFETY: the test that starts it gives it this and joins it.
    let tenant: &Tenant = unsafe { context(argument) };
    while tenant.word.load(Ordering::Acquire) != RESERVED {
        machine().wait(&tenant.word, 0, NEVER);
    }
    let grant = system::memory_grant(1) == Err(Error::Reserved);
    let layout = Layout::new::<u64>();
    // Not seen through: the compiler may leave out an unused allocation, and takes it for granted then.
    // SAFETY: the layout is not empty.
    let block = black_box(unsafe { alloc(layout) });
    if !block.is_null() {
        // SAFETY: just allocated.
        unsafe { dealloc(block, layout) };
    }
    tenant.refused.store(u32::from(grant) + u32::from(block.is_null()), Ordering::Release);
    tenant.word.store(TRIED, Ordering::Release);
    machine().wake(&tenant.word, 1);
}

fn reserved(machine: &Machine) -> Outcome {
    let core = online(machine) - 1;
    let tenant = Tenant { word: AtomicU32::new(0), refused: AtomicU32::new(0) };
    let cores = only(core);
    let thread = start(machine, &cores, &tenant, ask_for_memory)?;
    let me = machine.current_thread();
    let before: u64 = (0..=core).map(|core| machine.core_counters(core).refused_allocations).sum();
    // On a machine with one core this thread gets no memory either until the cores are released.
    let kept = machine.reserve_cores(&cores);
    tenant.word.store(RESERVED, Ordering::Release);
    machine.wake(&tenant.word, 1);
    while tenant.word.load(Ordering::Acquire) == RESERVED {
        machine.wait(&tenant.word, RESERVED, NEVER);
    }
    // SAFETY: no thread begins; if one did, its task would be none, and the engine would end.
    let started = unsafe { system::thread_create(&cores, PRIORITY, arch::thread_start, 0) };
    let moved = machine.set_affinity(me, &cores);
    machine.release_cores();
    join_all(machine, [thread])?;
    let after: u64 = (0..=core).map(|core| machine.core_counters(core).refused_allocations).sum();
    check(kept == Ok(()), || format!("not reserved: {kept:?}"))?;
    check(started == Err(Error::Reserved), || format!("a thread for core {core}: {started:?}"))?;
    check(moved == Err(PlatformError::Reserved(core)), || format!("a move to core {core}: {moved:?}"))?;
    let refused = tenant.refused.load(Ordering::Acquire);
    check(refused == 2, || format!("{refused} of 2 requests for memory were refused"))?;
    check(after - before == 4, || format!("{} of 4 refusals are counted", after - before))?;
    let thread = start(machine, &cores, &tenant, no_work)?;
    join_all(machine, [thread])
}

extern "C" fn no_work(_: usize) {}
