//! Vector registers of an engine thread that loses its core against its will: to memory and back.
//!
//! The only place of the kernel that touches them. EL1 may, and computes nothing with them.

use crate::VirtAddr;
use crate::contract::{INITIAL_VECTORS, Transfer};
use core::arch::naked_asm;

/// Q0 to Q31, then FPCR and FPSR (whose names need a target with vector registers), 544 bytes in all.
macro_rules! each_pair {
    ($instruction:literal) => {
        concat!(
            $instruction,
            " q0, q1, [x0, #32 * 0]\n",
            $instruction,
            " q2, q3, [x0, #32 * 1]\n",
            $instruction,
            " q4, q5, [x0, #32 * 2]\n",
            $instruction,
            " q6, q7, [x0, #32 * 3]\n",
            $instruction,
            " q8, q9, [x0, #32 * 4]\n",
            $instruction,
            " q10, q11, [x0, #32 * 5]\n",
            $instruction,
            " q12, q13, [x0, #32 * 6]\n",
            $instruction,
            " q14, q15, [x0, #32 * 7]\n",
            $instruction,
            " q16, q17, [x0, #32 * 8]\n",
            $instruction,
            " q18, q19, [x0, #32 * 9]\n",
            $instruction,
            " q20, q21, [x0, #32 * 10]\n",
            $instruction,
            " q22, q23, [x0, #32 * 11]\n",
            $instruction,
            " q24, q25, [x0, #32 * 12]\n",
            $instruction,
            " q26, q27, [x0, #32 * 13]\n",
            $instruction,
            " q28, q29, [x0, #32 * 14]\n",
            $instruction,
            " q30, q31, [x0, #32 * 15]\n",
        )
    };
}

/// The first state, read by EL1 from here for [`Transfer::Clear`].
static INITIAL: Aligned = Aligned(INITIAL_VECTORS);

#[repr(align(16))]
struct Aligned([u8; INITIAL_VECTORS.len()]);

/// See [`crate::Architecture::move_vectors`].
///
/// # Safety
/// As there.
pub(super) unsafe fn transfer(transfer: Transfer, area: VirtAddr) {
    // SAFETY: the area is writable and large enough (caller); vector registers are the engine's, not the kernel's.
    unsafe {
        match transfer {
            Transfer::Save => save(area),
            Transfer::Restore => restore(area),
            Transfer::Clear => restore(VirtAddr(INITIAL.0.as_ptr() as u64)),
        }
    }
}

#[unsafe(naked)]
unsafe extern "C" fn save(_area: VirtAddr) {
    naked_asm!(
        ".arch_extension fp",
        ".arch_extension simd",
        each_pair!("stp"),
        "mrs x1, s3_3_c4_c4_0",
        "mrs x2, s3_3_c4_c4_1",
        "str x1, [x0, #512]",
        "str x2, [x0, #520]",
        "ret",
    )
}

#[unsafe(naked)]
unsafe extern "C" fn restore(_area: VirtAddr) {
    naked_asm!(
        ".arch_extension fp",
        ".arch_extension simd",
        each_pair!("ldp"),
        "ldr x1, [x0, #512]",
        "ldr x2, [x0, #520]",
        "msr s3_3_c4_c4_0, x1",
        "msr s3_3_c4_c4_1, x2",
        "ret",
    )
}
