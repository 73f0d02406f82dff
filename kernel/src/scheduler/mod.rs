//! Engine threads on the machine's cores: each core's loop, and the calls that change which thread runs.
//!
//! The kernel keeps one stack a core and none a thread: a call that blocks stores the thread's registers and goes to
//! the core's loop ([`run`]); the waker puts the call's result into the stored registers. One lock
//! guards [`Scheduler`], which decides; this file carries its decisions out on the hardware.
//!
//! Vector registers: a thread that blocks has given them up (see `embodios_abi::Call`). Only one that loses its core
//! against its will has them saved, and restored before it goes on.

mod list;
mod placement;
mod run_queue;
mod state;
mod thread;
mod wait;

#[cfg(all(test, not(shuttle)))]
mod machine_tests;
#[cfg(all(test, shuttle))]
mod model;
#[cfg(test)]
mod tests;

use crate::per_cpu::{self, PerCpu};
use crate::sync::{Mutex, shared};
use crate::time::Instant;
use crate::{engine, input, kprintln};
use core::sync::atomic::Ordering;
use core::time::Duration;
use embodios_abi::{Error, layout};
use embodios_arch::{Arch, Architecture, Transfer, VirtAddr};
use embodios_core_set::CoreSet;
pub use placement::Move;
pub use state::{Scheduler, max_threads};
pub use thread::{Context, Reason, ThreadId};

/// Time slice of threads of one priority, which run in turn.
const QUANTUM: Duration = Duration::from_millis(10);

shared!(SCHEDULER: Mutex<Scheduler> = Mutex::new(Scheduler::new()));

/// A move of vector registers by unprivileged code, for which a core waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// Those of the thread that loses the core.
    Save,
    /// Those of the thread that gets it.
    Restore,
}

/// Changes the state, then tells the cores that it concerns.
pub fn change<T>(change: impl FnOnce(&mut Scheduler) -> T) -> T {
    let this = per_cpu::this();
    let mut scheduler = SCHEDULER.lock();
    let result = change(&mut scheduler);
    // Most changes concern no other core, and a set is costly to move.
    if scheduler.pending_ipis.is_empty() {
        return result;
    }
    let pending_ipis = core::mem::take(&mut scheduler.pending_ipis);
    drop(scheduler);
    for core in pending_ipis.iter().map(|core| &per_cpu::all()[core]) {
        core.need_resched.store(true, Ordering::Release);
        if core.cpu != this.cpu {
            core.interrupt();
        }
    }
    result
}

fn quantum() -> u64 {
    (Instant::from_counter(0) + QUANTUM).counter()
}

/// Takes the calling core's thread off it: it goes on with `context` when `reason` is over, at the latest when the
/// counter shows `deadline`.
pub fn block(context: &Context, reason: Reason, deadline: Option<u64>) -> ! {
    let core = per_cpu::this().cpu.index();
    change(|scheduler| scheduler.block(core, context.clone(), reason, deadline));
    leave_stack()
}

/// As [`block`], if `is_over` says that there is something to wait for: it looks under the lock that wakers take.
/// Otherwise its answer.
pub fn block_unless<T>(
    context: &Context,
    reason: Reason,
    deadline: Option<u64>,
    is_over: impl FnOnce(&mut Scheduler) -> Option<T>,
) -> T {
    let core = per_cpu::this().cpu.index();
    let over = change(|scheduler| {
        let over = is_over(scheduler);
        if over.is_none() {
            scheduler.block(core, context.clone(), reason, deadline);
        }
        over
    });
    over.unwrap_or_else(|| leave_stack())
}

/// The calling thread lets others run.
pub fn yield_now(context: &Context) {
    let core = per_cpu::this().cpu.index();
    let leaves = change(|scheduler| {
        let leaves = scheduler.has_rival(core);
        if let Some(thread) = scheduler.current(core).filter(|_| leaves) {
            thread.context = context.clone();
            scheduler.give_way(core);
        }
        leaves
    });
    if leaves {
        leave_stack()
    }
}

/// Confines a thread to `cores`; `context` is the caller's, with the call's result.
///
/// # Errors
/// [`Error::NoCores`], [`Error::Offline`], [`Error::Reserved`] (which is counted), [`Error::NoSuchThread`].
pub fn set_affinity(context: &Context, id: ThreadId, cores: CoreSet) -> Result<(), Error> {
    let this = per_cpu::this();
    let core = this.cpu.index();
    let done = change(|scheduler| {
        scheduler.check(&cores)?;
        let done = scheduler.set_affinity(core, id, cores)?;
        match done {
            Move::Done => {}
            Move::Caller => {
                if let Some(thread) = scheduler.current(core) {
                    thread.context = context.clone();
                }
                scheduler.give_way(core);
            }
            Move::Running => scheduler.block(core, context.clone(), Reason::Migration(id), None),
        }
        Ok(done)
    });
    match done {
        Ok(Move::Done) => Ok(()),
        Ok(_) => leave_stack(),
        Err(error) => Err(error),
    }
}

/// The thread that runs on the calling core.
#[must_use]
pub fn current_thread() -> Option<ThreadId> {
    let core = per_cpu::this().cpu.index();
    SCHEDULER.lock().current(core).map(|thread| thread.id)
}

/// Ends the calling core's thread. An engine without a thread can do nothing any more: it is ended.
pub fn exit() -> ! {
    let core = per_cpu::this().cpu.index();
    let is_last = change(|scheduler| {
        scheduler.exit(core);
        !scheduler.has_threads()
    });
    if is_last {
        engine::restart(engine::End::Crash, || kprintln!("engine has no thread left"));
    }
    leave_stack()
}

/// Whether all cores are to leave the engine.
#[must_use]
pub fn is_stopping() -> bool {
    SCHEDULER.lock().is_stopping()
}

/// Leaves the calling core's thread for good, when the engine is being stopped.
pub fn abandon() -> ! {
    let core = per_cpu::this().cpu.index();
    change(|scheduler| scheduler.abandon(core));
    leave_stack()
}

/// Has every other core leave its thread and the engine's tables, and waits until it has; after this no thread runs but
/// the caller's. `waiting` is told, again and again, of a core that has not left yet.
pub fn stop_others(mut waiting: impl FnMut(&PerCpu)) {
    /// Spins between two looks at the lock, which cores that leave need.
    const APART: u32 = 1000;
    let this = per_cpu::this();
    change(Scheduler::stop);
    let runs = || SCHEDULER.lock().still_running(this.cpu.index()).map(|core| &per_cpu::all()[core]);
    // A core without a thread gets none, so that a core without tables loads none.
    let has_tables = || per_cpu::online().find(|core| core.cpu != this.cpu && core.has_engine());
    while let Some(core) = runs().or_else(has_tables) {
        waiting(core);
        (0..APART).for_each(|_| Arch::relax());
    }
}

/// Abandons the kernel stack for the core's loop.
fn leave_stack() -> ! {
    // SAFETY: nothing below this frame is used again: locks are released, and what the thread's system call
    // borrowed was the engine's.
    unsafe { Arch::restart_stack(per_cpu::this().local, run) }
}

/// A core's loop: the next thread, or halting until there is one.
pub fn run() -> ! {
    let this = per_cpu::this();
    let core = this.cpu.index();
    *this.pending.lock() = None;
    loop {
        this.need_resched.store(false, Ordering::Release);
        input::obey();
        let now = Arch::counter();
        // Not handed from one to the next: registers are many, and each hand copies them.
        let mut context = None;
        let (next, timer, stopping) = change(|scheduler| {
            scheduler.expire(core, now);
            let next = scheduler.pick(core, now, quantum()).map(|slot| {
                let thread = scheduler.thread_mut(slot);
                let came = thread.ran_on.is_some_and(|other| other != core);
                let woken = core::mem::take(&mut thread.woken);
                context = Some(thread.context.clone());
                (slot, thread.vectors_saved, came, woken)
            });
            (next, scheduler.timer(core), scheduler.is_stopping())
        });
        if stopping {
            engine::leave_tables(this);
        }
        this.set_timer(timer);
        if let (Some((slot, restore, came, woken)), Some(context)) = (next, &context) {
            this.statistics.update(|counts| {
                counts.switches.add(1);
                counts.migrations.add(came.into());
                counts.wakeups_received.add(woken.into());
            });
            let has_remains = engine::use_tables(this);
            if restore || has_remains {
                move_vectors(this, slot, if restore { Transfer::Restore } else { Transfer::Clear });
                restored(this);
            }
            // SAFETY: the stack holds nothing of use but the context.
            unsafe { Arch::enter_user(context) }
        }
        // A change since the lock was released has its interrupt pending, which ends the halt.
        this.halt();
    }
}

/// Moves vector registers; does not return where unprivileged code has to do it, and [`finish_move`] goes on.
fn move_vectors(this: &PerCpu, slot: usize, transfer: Transfer) {
    let area = VirtAddr(layout::STACKS + slot as u64 * layout::STACK_STRIDE);
    // SAFETY: every thread has a page there from its making on, which began as it should; the code is mapped with the
    // engine, and registers are restored from where they were saved.
    let context = unsafe { Arch::move_vectors(transfer, area, VirtAddr(layout::VECTOR_CODE)) };
    if let Some(context) = context {
        *this.pending.lock() = Some(match transfer {
            Transfer::Save => Pending::Save,
            Transfer::Restore | Transfer::Clear => Pending::Restore,
        });
        // SAFETY: the thread's own registers are in its record, so the stack holds nothing of use.
        unsafe { Arch::enter_user(&context) }
    }
}

/// Goes on with the pending move of vector registers, if there is one. Called at each system call.
pub fn finish_move(this: &PerCpu) {
    let pending = this.pending.lock().take();
    match pending {
        None => {}
        Some(Pending::Save) => saved(this),
        Some(Pending::Restore) => restored(this),
    }
}

/// The thread of this core has its registers saved: it waits for its turn.
fn saved(this: &PerCpu) -> ! {
    change(|scheduler| scheduler.preempted(this.cpu.index()));
    leave_stack()
}

/// The thread of this core has its vector registers back: it goes on.
fn restored(this: &PerCpu) -> ! {
    let context = change(|scheduler| {
        scheduler.current(this.cpu.index()).map(|thread| {
            thread.vectors_saved = false;
            thread.context.clone()
        })
    });
    let Some(mut context) = context else { leave_stack() };
    exit_to_user_work(this, &mut context);
    // SAFETY: the stack holds nothing of use but the context.
    unsafe { Arch::enter_user(&context) }
}

/// Serves the core's need_resched before it goes back to its thread. Does not return when the thread has to go.
pub fn exit_to_user_work(this: &PerCpu, context: &mut Context) {
    if !this.need_resched.swap(false, Ordering::AcqRel) {
        return;
    }
    input::obey();
    let core = this.cpu.index();
    let is_moving = this.pending.lock().is_some();
    let now = Arch::counter();
    let (stays, stopping, slot, timer) = change(|scheduler| {
        let stopping = scheduler.is_stopping();
        if stopping || is_moving {
            return (!stopping, stopping, None, None);
        }
        scheduler.expire(core, now);
        let is_tick = scheduler.quantum_is_over(core, now);
        let stays = scheduler.may_stay(core, now, quantum());
        this.statistics.update(|counts| counts.ticks.add((is_tick && !stays).into()));
        if !stays && let Some(thread) = scheduler.current(core) {
            thread.context = context.clone();
        }
        (stays, false, scheduler.slot_on(core), scheduler.timer(core))
    });
    if stopping {
        abandon();
    }
    if is_moving {
        // The end of the move comes soon, and looks again.
        this.need_resched.store(true, Ordering::Release);
    } else if stays {
        this.set_timer(timer);
    } else if let Some(slot) = slot {
        move_vectors(this, slot, Transfer::Save);
        saved(this);
    }
}

/// Makes room for this many cores.
pub fn prepare(cores: usize) {
    SCHEDULER.lock().add_cores(cores);
}

/// Takes note of a core that takes threads from now on.
pub fn come_online(this: &PerCpu) {
    SCHEDULER.lock().set_online(this.cpu.index());
}
