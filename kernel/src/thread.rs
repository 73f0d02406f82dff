//! Engine threads, one a core, pinned there for life, and the idle loop of a core without one.

use crate::per_cpu::{self, PerCpu};
use crate::wait;
use core::sync::atomic::{AtomicBool, Ordering};
use embodios_abi::Error;
use embodios_arch::{Arch, Architecture, UserStart};

/// While set, no thread starts and every thread leaves at its next interrupt or wait.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// Starts the one thread of `core`, which is online.
///
/// # Errors
/// [`Error::Busy`] when it has a thread.
pub fn start(core: &PerCpu, start: UserStart) -> Result<(), Error> {
    if core.busy.swap(true, Ordering::AcqRel) {
        return Err(Error::Busy);
    }
    *core.mailbox.lock() = Some(start);
    core.interrupt();
    Ok(())
}

/// Ends the calling core's thread and idles.
pub fn exit() -> ! {
    let this = per_cpu::this();
    wait::cancel(this);
    this.busy.store(false, Ordering::Release);
    // SAFETY: nothing below this frame is used again: locks are released, and what the thread's system call
    // borrowed was the engine's.
    unsafe { Arch::restart_stack(idle) }
}

/// Ends the calling core's thread if the engine is being stopped.
pub fn leave_if_stopping() {
    if STOPPING.load(Ordering::Acquire) && per_cpu::this().busy.load(Ordering::Relaxed) {
        exit();
    }
}

/// Has every other core's thread leave and waits until they have; after this no thread runs but the caller's.
///
/// # Errors
/// The first core still busy when `expired` says that the time is up.
pub fn stop_others(expired: impl Fn() -> bool) -> Result<(), &'static PerCpu> {
    STOPPING.store(true, Ordering::Release);
    let this = per_cpu::this();
    let others = || per_cpu::online().filter(|core| core.cpu != this.cpu);
    for core in others() {
        core.interrupt();
    }
    for core in others() {
        while core.busy.load(Ordering::Acquire) {
            if expired() {
                return Err(core);
            }
            core::hint::spin_loop();
        }
    }
    Ok(())
}

/// Lets threads start again after [`stop_others`].
pub fn resume() {
    STOPPING.store(false, Ordering::Release);
}

/// What a core does without a thread: halts until it gets one.
pub fn idle() -> ! {
    let this = per_cpu::this();
    loop {
        let next = this.mailbox.lock().take();
        if STOPPING.load(Ordering::Acquire) {
            this.busy.store(false, Ordering::Release);
        } else if let Some(start) = next {
            // SAFETY: every engine root is the kernel's own with the engine's slots filled, and the idle
            // loop's stack holds nothing of use.
            unsafe { Arch::enter_user(&start) }
        }
        Arch::wait_for_interrupt();
    }
}
