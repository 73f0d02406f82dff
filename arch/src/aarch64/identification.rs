//! Reads of the processor's feature registers by the engine.
//!
//! EL0 has no access to them; the read traps, and the kernel answers it with the fields that say which vector
//! instructions there are. Linux offers its programs the same (`Documentation/arch/arm64/cpu-feature-registers.rst`),
//! so the engine asks in one way wherever it runs.

use super::vectors::Frame;
use core::arch::asm;

/// `MRS Xt, S3_0_C0_Cm_op2` and the fields that vary (Arm ARM, MRS).
const READ: u32 = 0xd538_0000;
const READ_MASK: u32 = 0xffff_f000;
/// ID_AA64ISAR0_EL1 and ID_AA64ISAR1_EL1, as CRm and op2.
const ISAR0: u32 = 6 << 3;
const ISAR1: u32 = 6 << 3 | 1;
/// Fields shown: ISAR0.DP (dot products) and .RNDR (random numbers), ISAR1.I8MM and .BF16.
const ISAR0_SHOWN: u64 = 0xf << 60 | 0xf << 44;
const ISAR1_SHOWN: u64 = 0xf << 52 | 0xf << 44;

/// Answers the read at the exception's address, if it is one; every other register of the space reads as 0.
pub fn emulate(frame: &mut Frame) -> bool {
    // SAFETY: EL0 has just fetched this instruction from there, and the kernel may read what EL0 may execute.
    let instruction = unsafe { (frame.elr as *const u32).read_volatile() };
    if instruction & READ_MASK != READ {
        return false;
    }
    let value = match instruction >> 5 & 0x7f {
        ISAR0 => isar0() & ISAR0_SHOWN,
        ISAR1 => isar1() & ISAR1_SHOWN,
        _ => 0,
    };
    // Register 31 is XZR here: the value goes nowhere.
    if let Some(register) = frame.x.get_mut((instruction & 0x1f) as usize) {
        *register = value;
    }
    frame.elr += 4;
    true
}

fn isar0() -> u64 {
    let value;
    // SAFETY: reads a feature register.
    unsafe { asm!("mrs {}, id_aa64isar0_el1", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}

fn isar1() -> u64 {
    let value;
    // SAFETY: as above.
    unsafe { asm!("mrs {}, id_aa64isar1_el1", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}
