//! An engine thread's registers between two times it runs, and leaving the current kernel stack: for the engine, or
//! for another kernel function.

use super::AArch64;
use super::vectors::Frame;
use crate::contract::{Architecture, UserContext, UserStart};
use crate::{VirtAddr, stacks};
use core::arch::{asm, naked_asm};
use core::mem::offset_of;

/// SPSR_EL1 for EL0 in AArch64 with IRQ and SError taken; FIQ and debug exceptions stay masked.
const SPSR_EL0: u64 = 1 << 9 | 1 << 6;
/// Bytes of an instruction.
const INSTRUCTION: u64 = 4;

impl UserContext for Frame {
    fn new(start: &UserStart) -> Self {
        let mut x = [0; 31];
        x[0] = start.argument;
        let (sp, elr) = (start.stack_top.0, start.entry.0);
        Self { x, sp, elr, spsr: SPSR_EL0, esr: 0, far: 0, thread_pointer: 0, padding: 0 }
    }

    fn set_result(&mut self, result: u64) {
        self.x[0] = result;
    }

    fn repeat_call(&mut self) {
        self.elr -= INSTRUCTION;
    }

    fn spoil(&mut self) -> bool {
        // An illegal return is taken at EL1 itself, and no register of EL0 leads to one.
        false
    }
}

/// See [`Architecture::enter_user`].
///
/// # Safety
/// As there.
pub(super) unsafe fn enter_user(context: &Frame) -> ! {
    // SAFETY: the frame is that of an engine thread; its rights are those of EL0 on the current tables.
    unsafe { restore(context, stacks::stack_top(AArch64::core_local().stacks)) }
}

/// Loads all registers and returns from the exception, the kernel stack empty.
#[unsafe(naked)]
unsafe extern "C" fn restore(_context: &Frame, _stack_top: VirtAddr) -> ! {
    naked_asm!(
        "mov sp, x1",
        "ldp x30, x1, [x0, #16 * 15]",
        "msr sp_el0, x1",
        "ldp x1, x2, [x0, #{elr}]",
        "msr elr_el1, x1",
        "msr spsr_el1, x2",
        "ldr x1, [x0, #{thread_pointer}]",
        "msr tpidr_el0, x1",
        "ldp x2, x3, [x0, #16 * 1]",
        "ldp x4, x5, [x0, #16 * 2]",
        "ldp x6, x7, [x0, #16 * 3]",
        "ldp x8, x9, [x0, #16 * 4]",
        "ldp x10, x11, [x0, #16 * 5]",
        "ldp x12, x13, [x0, #16 * 6]",
        "ldp x14, x15, [x0, #16 * 7]",
        "ldp x16, x17, [x0, #16 * 8]",
        "ldp x18, x19, [x0, #16 * 9]",
        "ldp x20, x21, [x0, #16 * 10]",
        "ldp x22, x23, [x0, #16 * 11]",
        "ldp x24, x25, [x0, #16 * 12]",
        "ldp x26, x27, [x0, #16 * 13]",
        "ldp x28, x29, [x0, #16 * 14]",
        "ldp x0, x1, [x0]",
        "eret",
        elr = const offset_of!(Frame, elr),
        thread_pointer = const offset_of!(Frame, thread_pointer),
    )
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
