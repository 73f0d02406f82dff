//! The vector table: saves all registers, calls the handlers of [`super::exceptions`], restores.
//!
//! Owns the frame's layout and the switch to the emergency stack. Decides nothing.

use super::entry::{BOOT_STACK, BOOT_STACK_BYTES};
use super::exceptions;
use crate::contract::CoreLocal;
use crate::stacks;
use core::mem::{offset_of, size_of};

/// All registers of the interrupted program, as the vectors lay them out on the kernel stack.
#[repr(C)]
#[derive(Clone)]
pub struct Frame {
    /// X0 to X30.
    pub(super) x: [u64; 31],
    /// Its stack pointer.
    pub(super) sp: u64,
    /// ELR_EL1: the address at which it goes on.
    pub(super) elr: u64,
    /// SPSR_EL1: its PSTATE.
    pub(super) spsr: u64,
    /// ESR_EL1: the cause of the exception.
    pub(super) esr: u64,
    /// FAR_EL1: address of the access that faulted.
    pub(super) far: u64,
    /// TPIDR_EL0; of use only for frames of the engine.
    pub(super) thread_pointer: u64,
    /// Keeps the size a multiple of 16.
    pub(super) padding: u64,
}

const FRAME: usize = size_of::<Frame>();

/// A fault that finds less than this left of the kernel stack is handled on the emergency stack.
const RESERVE: usize = 2048;

// Both are immediates of one instruction, and the stack pointer stays aligned.
const _: () = assert!(FRAME + RESERVE < 4096 && FRAME.is_multiple_of(16) && RESERVE.is_multiple_of(16));

unsafe extern "C" {
    /// The table, 2 KiB aligned.
    pub(super) fn exception_vectors();
}

core::arch::global_asm!(
    ".macro save_registers level",
    "  stp x0, x1, [sp, #16 * 0]",
    "  stp x2, x3, [sp, #16 * 1]",
    "  stp x4, x5, [sp, #16 * 2]",
    "  stp x6, x7, [sp, #16 * 3]",
    "  stp x8, x9, [sp, #16 * 4]",
    "  stp x10, x11, [sp, #16 * 5]",
    "  stp x12, x13, [sp, #16 * 6]",
    "  stp x14, x15, [sp, #16 * 7]",
    "  stp x16, x17, [sp, #16 * 8]",
    "  stp x18, x19, [sp, #16 * 9]",
    "  stp x20, x21, [sp, #16 * 10]",
    "  stp x22, x23, [sp, #16 * 11]",
    "  stp x24, x25, [sp, #16 * 12]",
    "  stp x26, x27, [sp, #16 * 13]",
    "  stp x28, x29, [sp, #16 * 14]",
    "  .if \\level == 1",
    "  add x1, sp, #{frame}",
    "  .else",
    "  mrs x1, sp_el0",
    "  .endif",
    "  stp x30, x1, [sp, #16 * 15]",
    "  mrs x0, elr_el1",
    "  mrs x1, spsr_el1",
    "  stp x0, x1, [sp, #16 * 16]",
    "  mrs x0, esr_el1",
    "  mrs x1, far_el1",
    "  stp x0, x1, [sp, #16 * 17]",
    "  .if \\level == 0",
    "  mrs x0, tpidr_el0",
    "  str x0, [sp, #16 * 18]",
    "  .endif",
    ".endm",
    //
    ".macro restore_registers level",
    "  ldp x30, x1, [sp, #16 * 15]",
    "  .if \\level == 0",
    "  msr sp_el0, x1",
    "  .endif",
    "  ldp x0, x1, [sp, #16 * 16]",
    "  msr elr_el1, x0",
    "  msr spsr_el1, x1",
    "  ldp x0, x1, [sp, #16 * 0]",
    "  ldp x2, x3, [sp, #16 * 1]",
    "  ldp x4, x5, [sp, #16 * 2]",
    "  ldp x6, x7, [sp, #16 * 3]",
    "  ldp x8, x9, [sp, #16 * 4]",
    "  ldp x10, x11, [sp, #16 * 5]",
    "  ldp x12, x13, [sp, #16 * 6]",
    "  ldp x14, x15, [sp, #16 * 7]",
    "  ldp x16, x17, [sp, #16 * 8]",
    "  ldp x18, x19, [sp, #16 * 9]",
    "  ldp x20, x21, [sp, #16 * 10]",
    "  ldp x22, x23, [sp, #16 * 11]",
    "  ldp x24, x25, [sp, #16 * 12]",
    "  ldp x26, x27, [sp, #16 * 13]",
    "  ldp x28, x29, [sp, #16 * 14]",
    "  add sp, sp, #{frame}",
    "  eret",
    ".endm",
    //
    ".macro exception level, handler",
    "  sub sp, sp, #{frame}",
    "  save_registers \\level",
    "  .if \\level == 0",
    "  mov x29, xzr", // A backtrace of the kernel ends here.
    "  .endif",
    "  mov x0, sp",
    "  bl \\handler",
    "  restore_registers \\level",
    ".endm",
    //
    ".macro vector target",
    "  .balign 128",
    "  b \\target",
    ".endm",
    //
    ".section .text.vectors, \"ax\"",
    ".balign 2048",
    ".global exception_vectors",
    "exception_vectors:",
    // From EL1 with SP_EL0, which the kernel never selects.
    "  vector el1_other",
    "  vector el1_other",
    "  vector el1_other",
    "  vector el1_other",
    // From EL1.
    "  vector el1_synchronous",
    "  vector el1_interrupt",
    "  vector el1_other",
    "  vector el1_other",
    // From EL0 in AArch64.
    "  vector el0_synchronous",
    "  vector el0_interrupt",
    "  vector el0_other",
    "  vector el0_other",
    // From EL0 in AArch32, which the kernel never enters.
    "  vector el0_other",
    "  vector el0_other",
    "  vector el0_other",
    "  vector el0_other",
    //
    "el0_synchronous: exception 0, {synchronous}",
    "el0_interrupt: exception 0, {interrupt}",
    "el0_other: exception 0, {other}",
    "el1_interrupt: exception 1, {interrupt}",
    "el1_other: exception 1, {other}",
    //
    // Without a free register: X0 and SP trade places by sums and differences.
    "el1_synchronous:",
    "  sub sp, sp, #({frame} + {reserve})",
    "  add sp, sp, x0",
    "  sub x0, sp, x0",
    "  tbz x0, #{stack_bit}, 2f",
    "  sub x0, sp, x0",
    "  sub sp, sp, x0",
    "  add sp, sp, #{reserve}",
    "  save_registers 1",
    "  mov x0, sp",
    "  bl {synchronous}",
    "  restore_registers 1",
    // The stack is used up. The machine is about to end, so two registers of the engine may go.
    "2:",
    "  sub x0, sp, x0",
    "  sub sp, sp, x0",
    "  msr tpidr_el0, x0",
    "  add x0, sp, #({frame} + {reserve})",
    "  msr sp_el0, x0",
    "  mrs x0, tpidr_el1",
    "  cbz x0, 3f",
    "  ldr x0, [x0, #{emergency_top}]",
    "  b 4f",
    "3: adrp x0, {boot_stack}",
    "  add x0, x0, #{window}",
    "4: mov sp, x0",
    "  mrs x0, tpidr_el0",
    "  sub sp, sp, #{frame}",
    "  save_registers 0",
    "  mov x0, sp",
    "  bl {overflow}",
    frame = const FRAME,
    reserve = const RESERVE,
    window = const BOOT_STACK_BYTES,
    stack_bit = const stacks::STACK_SIZE.ilog2(),
    emergency_top = const offset_of!(CoreLocal, emergency_top),
    boot_stack = sym BOOT_STACK,
    synchronous = sym exceptions::synchronous,
    interrupt = sym exceptions::interrupt,
    other = sym exceptions::other,
    overflow = sym exceptions::stack_overflow,
);
