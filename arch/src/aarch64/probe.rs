//! Reads and calls that may fail: where nothing answers, the exception is taken as the answer.
//!
//! For parts that firmware's description names, before the kernel relies on them, and for an emulator that may be
//! there.

use super::boot_table::BOOT_MAPPED;
use crate::{Conduit, PhysAddr, PhysRange};
use core::arch::naked_asm;

/// Identification of a GIC: the architecture's revision in bits 7:4 of this register, at an offset from the end of the
/// registers (IHI 0048B and IHI 0069, PIDR2).
const PIDR2_FROM_END: u64 = 0x18;
/// PSCI_VERSION (Arm DEN0022).
const PSCI_VERSION: u64 = 0x8400_0000;

/// The result of a call that nothing answers; the low half is also firmware's NOT_SUPPORTED.
pub const NO_ANSWER: u64 = u64::MAX;

/// The result of a probe.
#[repr(C)]
struct Answer {
    value: u64,
    /// 0 where nothing answered.
    answered: u64,
}

/// Address of the instruction of [`read`] that may fault.
pub(super) fn read_instruction() -> u64 {
    read_word as *const () as u64 + 4
}

/// Whether the instruction at `address` is a call of this module, whose answer is [`NO_ANSWER`] where it is undefined.
pub(super) fn is_call_instruction(address: u64) -> bool {
    [call_hvc as *const () as u64, call_smc as *const () as u64, call_emulator as *const () as u64]
        .contains(&address)
}

#[unsafe(naked)]
unsafe extern "C" fn read_word(address: u64) -> Answer {
    naked_asm!("mov x1, #1", "ldr w0, [x0]", "ret")
}

#[unsafe(naked)]
unsafe extern "C" fn call_hvc(function: u64) -> u64 {
    naked_asm!(".inst 0xd4000002", "ret")
}

#[unsafe(naked)]
unsafe extern "C" fn call_smc(function: u64) -> u64 {
    naked_asm!(".inst 0xd4000003", "ret")
}

/// Asks an emulator or debugger (Arm semihosting specification); [`NO_ANSWER`] where none serves it.
///
/// # Safety
/// The operation may do as specified with the memory that `block` points to.
#[unsafe(naked)]
pub unsafe extern "C" fn call_emulator(operation: u64, block: *const u64) -> u64 {
    naked_asm!("hlt #0xf000", "ret")
}

/// The word at an address of the identity map; `None` where nothing answers. For memory and for registers whose reading
/// has no effect.
pub fn read(address: PhysAddr) -> Option<u32> {
    if !address.0.is_multiple_of(4) || address.0 >= BOOT_MAPPED {
        return None;
    }
    // SAFETY: mapped; reading changes nothing (caller's intent), and a fault is taken as the answer.
    let answer = unsafe { read_word(address.identity().0) };
    (answer.answered != 0).then_some(answer.value as u32)
}

/// Whether memory answers at both ends of `range`.
#[must_use]
pub fn is_memory(range: PhysRange) -> bool {
    let last = range.end.0.min(BOOT_MAPPED).saturating_sub(4) & !3;
    read(PhysAddr(range.start.0.next_multiple_of(4))).is_some() && read(PhysAddr(last)).is_some()
}

/// Whether a GIC's distributor, or a redistributor's first frame, of one of these architecture versions is there.
#[must_use]
pub fn is_gic(registers: PhysRange, bytes: u64, versions: core::ops::RangeInclusive<u32>) -> bool {
    registers.length() >= bytes
        && read(PhysAddr(registers.start.0.saturating_add(bytes - PIDR2_FROM_END)))
            .is_some_and(|word| versions.contains(&(word >> 4 & 0xf)))
}

/// Whether firmware answers by this conduit.
pub(super) fn answers(conduit: Conduit) -> bool {
    // SAFETY: asking for the version changes nothing; an undefined instruction is taken as no answer.
    let answer = unsafe {
        match conduit {
            Conduit::Hvc => call_hvc(PSCI_VERSION),
            Conduit::Smc => call_smc(PSCI_VERSION),
        }
    };
    answer as u32 != NO_ANSWER as u32
}
