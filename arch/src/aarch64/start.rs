//! Starting the other cores, and refusing one that comes too late.
//!
//! A core that was asked to start claims its place with one atomic exchange; so does the boot core when
//! it gives up on it. The second exchange loses: a late core switches itself off.

use super::{AArch64, AFFINITY, Firmware, entry, gic};
use crate::HwCpuId;
use crate::contract::{Architecture, CoreLocal, StartError, StartRecord};
use aarch64_cpu::asm::barrier;
use core::arch::asm;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use smccc::psci;

/// Firmware was not asked for this core.
pub(super) const NOT_ASKED: u8 = 0;
/// Firmware was asked.
const ASKED: u8 = 1;
/// The core came.
const CLAIMED: u8 = 2;
/// The core did not come in time.
const ABANDONED: u8 = 3;

/// Every core that was asked to start, through [`super::CoreState`]'s `next`.
static ASKED_CORES: AtomicPtr<CoreLocal> = AtomicPtr::new(ptr::null_mut());

/// See [`crate::Architecture::start_core`].
pub(super) fn start_core(record: &'static StartRecord) -> Result<(), StartError> {
    let local = record.local;
    if !gic::can_interrupt(local.hardware) {
        return Err(StartError::Unreachable);
    }
    local.arch.start.store(ASKED, Ordering::Relaxed);
    local.arch.next.store(ASKED_CORES.load(Ordering::Relaxed), Ordering::Relaxed);
    ASKED_CORES.store(ptr::from_ref(local).cast_mut(), Ordering::Release);
    clean_to_memory(record);
    let entry = entry::secondary_boot as *const () as u64;
    psci::cpu_on::<Firmware>(local.hardware.0 & AFFINITY, entry, ptr::from_ref(record) as u64)
        .map_err(|error| StartError::Firmware(error.into()))
}

/// First Rust function of a started core, with translation on.
pub(super) extern "C" fn secondary_main(record: &'static StartRecord) -> ! {
    let earlier =
        record.local.arch.start.compare_exchange(ASKED, CLAIMED, Ordering::AcqRel, Ordering::Relaxed);
    if earlier.is_err() {
        // Returns only where firmware refuses.
        let _refused = psci::cpu_off::<Firmware>();
        AArch64::halt();
    }
    (record.entry)(record.local)
}

/// See [`crate::Architecture::abandon_core`].
pub(super) fn abandon_core(hardware: HwCpuId) {
    let mut next = ASKED_CORES.load(Ordering::Acquire);
    // SAFETY: the list holds only `&'static CoreLocal`s.
    while let Some(local) = unsafe { next.as_ref() } {
        if local.hardware == hardware {
            // A core that came in the very last moment stays: it has its place and will say so.
            let _came =
                local.arch.start.compare_exchange(ASKED, ABANDONED, Ordering::AcqRel, Ordering::Relaxed);
        }
        next = local.arch.next.load(Ordering::Relaxed);
    }
}

/// Writes the record back from the caches: a core with translation off reads memory itself.
fn clean_to_memory(record: &'static StartRecord) {
    let start = ptr::from_ref(record) as u64;
    let end = start + size_of::<StartRecord>() as u64;
    // Cache lines are at least 16 bytes (CTR_EL0.DminLine counts words of 4 bytes, in powers of two).
    let mut line = start & !15;
    while line < end {
        // SAFETY: cleaning changes no data.
        unsafe { asm!("dc cvac, {}", in(reg) line, options(nostack, preserves_flags)) };
        line += 16;
    }
    barrier::dsb(barrier::SY);
}
