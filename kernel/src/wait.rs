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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start::Kernel;
    use alloc::boxed::Box;
    use alloc::vec::Vec;
    use core::sync::atomic::AtomicU32;
    use embodios_arch::host::set_core_local;
    use embodios_arch::{CoreLocal, CpuId, HwCpuId, VirtAddr, register_handlers};

    fn local(index: u32) -> &'static CoreLocal {
        Box::leak(Box::new(CoreLocal {
            self_address: VirtAddr(0),
            stack_top: VirtAddr(0),
            stack_bottom: VirtAddr(0),
            cpu: CpuId(index),
            emergency_top: VirtAddr(0),
            hardware: HwCpuId(u64::from(index) * 7),
            arch: (),
        }))
    }

    /// One turn of a game in which two cores wake each other; a wake-up lost is a test that does not end.
    fn play(ball: &AtomicU32, mine: u32, rounds: u32) {
        let address = core::ptr::from_ref(ball) as u64;
        let mut noise = mine + 1;
        for round in 0..rounds {
            let expected = 2 * round + mine;
            loop {
                let seen = ball.load(Ordering::Acquire);
                if seen == expected {
                    break;
                }
                assert_eq!(wait(address, || ball.load(Ordering::Acquire), seen, None), Ok(()));
            }
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            for _ in 0..noise >> 24 {
                core::hint::spin_loop();
            }
            ball.store(expected + 1, Ordering::Release);
            wake(address, 1);
        }
    }

    #[test]
    fn waits_end_by_wakes_values_and_deadlines() {
        register_handlers(&Kernel);
        let locals: Vec<_> = (0..4).map(local).collect();
        let blocks = locals.iter().map(|local| PerCpu::new(local)).collect();
        per_cpu::install(blocks);
        set_core_local(locals[0]);
        let word = AtomicU32::new(5);
        let address = &raw const word as u64;
        let load = || word.load(Ordering::Acquire);
        assert_eq!(wait(address, load, 4, None), Ok(()), "the value differs");
        let deadline = Arch::counter() + 2_000_000;
        assert_eq!(wait(address, load, 5, Some(deadline)), Err(Error::TimedOut));
        assert!(Arch::counter() >= deadline);
        assert_eq!(wake(address, u64::MAX), 0, "nobody waits any more");

        let balls: &[AtomicU32] = Box::leak(Box::new([AtomicU32::new(0), AtomicU32::new(0)]));
        let players: Vec<_> = (0..4u32)
            .map(|player| {
                let local = locals[player as usize];
                std::thread::spawn(move || {
                    set_core_local(local);
                    play(&balls[player as usize / 2], player % 2, 3_000);
                })
            })
            .collect();
        for player in players {
            player.join().expect("no player panics");
        }
        assert!(balls.iter().all(|ball| ball.load(Ordering::Acquire) == 6_000));
    }
}
