//! Wait on a word, wake its waiters (a futex). No wake-up is lost.
//!
//! Why: the waiter compares and registers under the lock that a waker takes, and from there on until it
//! halts its interrupts are masked, so the waker's interrupt is held back until the halt and ends it.

use crate::per_cpu::{self, PerCpu, count};
use crate::thread;
use core::sync::atomic::Ordering;
use embodios_abi::Error;
use embodios_arch::{Arch, Architecture};
use spin::Mutex;

static LOCK: Mutex<()> = Mutex::new(());

/// Sleeps while `load()` gives `expected`, at most until the counter passes `deadline`. `address` names the
/// word; `load` reads it.
///
/// # Errors
/// [`Error::TimedOut`].
pub fn wait(address: u64, load: impl Fn() -> u32, expected: u32, deadline: Option<u64>) -> Result<(), Error> {
    let this = per_cpu::this();
    {
        let _turn = LOCK.lock();
        if load() != expected {
            return Ok(());
        }
        this.waiting_on.store(address, Ordering::Relaxed);
    }
    if deadline.is_some() {
        Arch::set_timer(deadline);
    }
    let result = sleep(this, deadline);
    if deadline.is_some() {
        Arch::set_timer(None);
    }
    result
}

fn sleep(this: &PerCpu, deadline: Option<u64>) -> Result<(), Error> {
    loop {
        thread::leave_if_stopping();
        if this.waiting_on.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        if deadline.is_some_and(|deadline| Arch::counter() >= deadline) {
            let _turn = LOCK.lock();
            // A wake that came first counts.
            return match this.waiting_on.swap(0, Ordering::Relaxed) {
                0 => Ok(()),
                _ => Err(Error::TimedOut),
            };
        }
        Arch::wait_for_interrupt();
    }
}

/// Wakes up to `limit` threads that wait on `address`; how many it were.
pub fn wake(address: u64, limit: u64) -> u64 {
    let mut woken = 0;
    let _turn = LOCK.lock();
    for core in per_cpu::all() {
        if woken == limit {
            break;
        }
        if core.waiting_on.load(Ordering::Relaxed) == address {
            core.waiting_on.store(0, Ordering::Release);
            count(&per_cpu::this().counters.wakeups);
            core.interrupt();
            woken += 1;
        }
    }
    woken
}

/// Forgets a core's wait, when its thread is stopped.
pub fn cancel(core: &PerCpu) {
    let _turn = LOCK.lock();
    core.waiting_on.store(0, Ordering::Relaxed);
}
