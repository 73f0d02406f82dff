//! The generic timer: the virtual counter and its one deadline per core (Arm ARM).

use crate::rate::CounterRate;
use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{CNTFRQ_EL0, CNTKCTL_EL1, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0};
use aarch64_cpu::registers::{Readable, Writeable};

/// Interrupt id of the virtual timer: private peripheral interrupt 11 (Arm BSA).
pub(super) const INTERRUPT: u32 = 27;

static RATE: CounterRate = CounterRate::unknown();

/// Reads the counter's rate.
///
/// # Errors
/// When firmware has not written it down.
pub(super) fn initialise() -> Result<(), &'static str> {
    match CNTFRQ_EL0.get() {
        0 => Err("the counter's rate is unknown: CNTFRQ_EL0 is 0"),
        hz => {
            RATE.set(hz);
            Ok(())
        }
    }
}

/// Opens the virtual counter to the engine; no deadline.
pub(super) fn init_core() {
    CNTKCTL_EL1.write(CNTKCTL_EL1::EL0VCTEN::SET);
    set(None);
}

/// Ticks; not read ahead of earlier instructions.
pub(super) fn counter() -> u64 {
    barrier::isb(barrier::SY);
    CNTVCT_EL0.get()
}

/// Ticks a second.
pub(super) fn rate() -> u64 {
    RATE.get()
}

/// One interrupt once the counter reaches `deadline`.
pub(super) fn set(deadline: Option<u64>) {
    if let Some(deadline) = deadline {
        CNTV_CVAL_EL0.set(deadline);
        CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET);
    } else {
        CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::CLEAR);
    }
    barrier::isb(barrier::SY);
}
