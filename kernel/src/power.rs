//! The end: powering off with a status, rebooting, and the panic that stops every core.

use crate::{kprintln, output, per_cpu};
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use embodios_abi::{Error, ExitStatus};
use embodios_arch::{Arch, Architecture};

/// Whether the machine is to stand still; set for good.
static HALTED: AtomicBool = AtomicBool::new(false);
/// Dense index of the core whose death is reported; [`NOBODY`] before.
static REPORTER: AtomicU32 = AtomicU32::new(NOBODY);
const NOBODY: u32 = u32::MAX;

/// Ends the machine with the [`ExitStatus`] of this code.
///
/// # Errors
/// [`Error::Unknown`] for a code that the engine may not end with.
pub fn off(code: u64) -> Result<u64, Error> {
    let status = [ExitStatus::Success, ExitStatus::Failure]
        .into_iter()
        .find(|status| u64::from(status.code()) == code)
        .ok_or(Error::Unknown)?;
    stop_others();
    match output::board() {
        Some(board) => board.power_off(status),
        None => Arch::halt(),
    }
}

/// Has every core but the caller stand still: at its next interrupt, which this sends.
fn stop_others() {
    let this = per_cpu::try_this().map_or(0, |core| core.cpu.0);
    HALTED.store(true, Ordering::Release);
    for core in per_cpu::online().filter(|core| core.cpu.0 != this) {
        Arch::send_ipi(core.hardware);
    }
}

/// Ends the machine before it has an engine: firmware's description is not enough to boot.
pub fn refuse(reason: fmt::Arguments<'_>) -> ! {
    kprintln!("cannot boot: {reason}");
    match output::board() {
        Some(board) => board.power_off(ExitStatus::Failure),
        None => Arch::halt(),
    }
}

/// Starts the machine again.
pub fn reboot() -> ! {
    stop_others();
    match output::board() {
        Some(board) => board.reboot(),
        None => Arch::halt(),
    }
}

/// Halts the calling core if the machine is to stand still. Called at every interrupt.
pub fn halt_if_asked() {
    if HALTED.load(Ordering::Acquire) {
        Arch::halt();
    }
}

/// Stops the other cores, reports once and ends the machine as failed. `report` prints the cause; a fault
/// inside it ends the machine without another word.
pub fn die(report: impl FnOnce()) -> ! {
    // Before the core has a block only the boot core runs.
    let this = per_cpu::try_this().map_or(0, |core| core.cpu.0);
    match REPORTER.compare_exchange(NOBODY, this, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            stop_others();
            output::force();
            report();
        }
        Err(reporter) if reporter != this => Arch::halt(),
        Err(_) => {}
    }
    match output::board() {
        Some(board) => board.power_off(ExitStatus::Panic),
        None => Arch::halt(),
    }
}

/// Reports a panic of the kernel.
#[cfg(target_os = "none")]
#[panic_handler]
fn on_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    die(|| match per_cpu::try_this() {
        Some(core) => kprintln!("kernel panic on core {} ({}): {info}", core.cpu, core.hardware),
        None => kprintln!("kernel panic: {info}"),
    })
}
