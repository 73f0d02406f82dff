//! Reads and firmware calls that may fail: where nothing answers, the exception is taken as the answer.
//!
//! For what firmware's description names, before the kernel relies on it.

use super::psci::{INVALID, VERSION};
use crate::{Conduit, PhysAddr, PhysRange};
use core::arch::naked_asm;

/// Identification of a PrimeCell device or a GIC: the architecture's revision of a GIC in bits 7:4 of this register, at
/// an offset from the end of the registers (IHI 0048B and IHI 0069, PIDR2).
const PIDR2_FROM_END: u64 = 0x18;
/// Identification of PrimeCell devices, the last four words of 4 KiB (DDI 0183, 3.3.19).
const PRIMECELL: [u32; 4] = [0x0d, 0xf0, 0x05, 0xb1];
/// Part number in the words before: registers PeriphID0 and, in bits 3:0, PeriphID1.
const PERIPHERAL_ID: u64 = 0xfe0;

/// What a probe brings.
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

/// Whether the instruction at `address` is a firmware call of this module, whose answer is [`INVALID`] where it is
/// undefined.
pub(super) fn is_call_instruction(address: u64) -> bool {
    [call_hvc as *const () as u64 + 4, call_smc as *const () as u64 + 4].contains(&address)
}

#[unsafe(naked)]
unsafe extern "C" fn read_word(address: u64) -> Answer {
    naked_asm!("mov x1, #1", "ldr w0, [x0]", "ret")
}

#[unsafe(naked)]
unsafe extern "C" fn call_hvc(function: u64) -> Answer {
    naked_asm!("nop", ".inst 0xd4000002", "mov x1, #1", "ret")
}

#[unsafe(naked)]
unsafe extern "C" fn call_smc(function: u64) -> Answer {
    naked_asm!("nop", ".inst 0xd4000003", "mov x1, #1", "ret")
}

/// The word at an address of the identity map; `None` where nothing answers. For memory and for registers whose reading
/// has no effect.
pub fn read(address: PhysAddr) -> Option<u32> {
    if !address.0.is_multiple_of(4) || address.0 >= super::entry::BOOT_MAPPED {
        return None;
    }
    // SAFETY: mapped; reading changes nothing (caller's intent), and a fault is taken as the answer.
    let answer = unsafe { read_word(address.identity().0) };
    (answer.answered != 0).then_some(answer.value as u32)
}

/// Whether memory answers at both ends of `range`.
#[must_use]
pub fn is_memory(range: PhysRange) -> bool {
    let last = range.end.0.min(super::entry::BOOT_MAPPED).saturating_sub(4) & !3;
    read(PhysAddr(range.start.0.next_multiple_of(4))).is_some() && read(PhysAddr(last)).is_some()
}

/// Whether the registers of a PL011 are there.
#[must_use]
pub fn is_pl011(registers: PhysRange) -> bool {
    let id = |offset| read(PhysAddr(registers.start.0.saturating_add(offset)));
    let words = (0..4).map(|word| id(PERIPHERAL_ID + 0x10 + 4 * word));
    words.eq(PRIMECELL.map(Some))
        && id(PERIPHERAL_ID) == Some(0x11)
        && id(PERIPHERAL_ID + 4).is_some_and(|word| word & 0xf == 0)
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
            Conduit::Hvc => call_hvc(VERSION),
            Conduit::Smc => call_smc(VERSION),
        }
    };
    answer.value as u32 != INVALID
}
