//! Leaving the current kernel stack: for the engine, or for another kernel function.

use super::{AArch64, translation};
use crate::VirtAddr;
use crate::contract::{Architecture, UserStart};
use core::arch::asm;

/// SPSR_EL1 for EL0 in AArch64 with IRQ and SError taken; FIQ and debug exceptions stay masked.
const SPSR_EL0: u64 = 1 << 9 | 1 << 6;

/// See [`Architecture::enter_user`].
///
/// # Safety
/// As there.
pub(super) unsafe fn enter_user(start: &UserStart) -> ! {
    let stack = AArch64::core_local().stack_top;
    let UserStart { entry, stack_top, argument, root } = *start;
    // SAFETY: the caller promises that the root maps the kernel as the current one does and that the
    // stack holds nothing of use; at EL0 only the engine's rights count.
    unsafe {
        translation::load_root(root);
        asm!(
            "msr sp_el0, {user_stack}",
            "msr elr_el1, {entry}",
            "msr spsr_el1, {spsr}",
            // What an engine that ran here before may have changed: rounding mode (FPCR and FPSR, whose
            // names need a target with vector registers) and thread pointer.
            "msr s3_3_c4_c4_0, xzr",
            "msr s3_3_c4_c4_1, xzr",
            "msr tpidr_el0, xzr",
            "mov sp, {stack}",
            "mov x1, xzr",
            "mov x2, xzr",
            "mov x3, xzr",
            "mov x4, xzr",
            "mov x5, xzr",
            "mov x6, xzr",
            "mov x7, xzr",
            "mov x8, xzr",
            "mov x9, xzr",
            "mov x10, xzr",
            "mov x11, xzr",
            "mov x12, xzr",
            "mov x13, xzr",
            "mov x14, xzr",
            "mov x15, xzr",
            "mov x16, xzr",
            "mov x17, xzr",
            "mov x18, xzr",
            "mov x19, xzr",
            "mov x20, xzr",
            "mov x21, xzr",
            "mov x22, xzr",
            "mov x23, xzr",
            "mov x24, xzr",
            "mov x25, xzr",
            "mov x26, xzr",
            "mov x27, xzr",
            "mov x28, xzr",
            "mov x29, xzr",
            "mov x30, xzr",
            "eret",
            user_stack = in(reg) stack_top.0,
            entry = in(reg) entry.0,
            spsr = in(reg) SPSR_EL0,
            stack = in(reg) stack.0,
            in("x0") argument,
            options(noreturn),
        )
    }
}

/// Continues in `entry` on the stack that ends at `stack_top`.
///
/// # Safety
/// The stack is this core's, and nothing on it or on the current one is used any more.
pub(super) unsafe fn restart_stack(entry: fn() -> !, stack_top: VirtAddr) -> ! {
    // SAFETY: by the caller; `entry` takes nothing and never returns.
    unsafe {
        asm!(
            "mov sp, {stack}",
            "mov x29, xzr",
            "mov x30, xzr",
            "br {entry}",
            stack = in(reg) stack_top.0,
            entry = in(reg) entry,
            options(noreturn),
        )
    }
}
