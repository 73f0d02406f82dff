//! An engine thread's registers between two times it runs, and leaving the kernel stack for good: to ring 3, or to
//! its own beginning.

use super::segments::{NO_SEGMENT, USER_CODE, USER_DATA};
use super::traps::Frame;
use crate::VirtAddr;
use crate::contract::{UserContext, UserStart};
use core::arch::asm;

/// RFLAGS of a fresh thread: interrupts on, and the bit that is always set.
const USER_FLAGS: u64 = 0x202;
/// Bytes of `int 0x80`.
const SYSTEM_CALL: u64 = 2;

impl UserContext for Frame {
    fn new(start: &UserStart) -> Self {
        Self {
            rip: start.entry.0,
            rsp: start.stack_top.0,
            rdi: start.argument,
            cs: USER_CODE.into(),
            ss: USER_DATA.into(),
            rflags: USER_FLAGS,
            ..Self::default()
        }
    }

    fn set_result(&mut self, result: u64) {
        self.rax = result;
    }

    fn repeat_call(&mut self) {
        self.rip -= SYSTEM_CALL;
    }

    fn spoil(&mut self) -> bool {
        self.cs = NO_SEGMENT.into();
        true
    }
}

/// See [`crate::Architecture::enter_user`].
///
/// # Safety
/// As there.
pub unsafe fn enter_user(context: &Frame) -> ! {
    // SAFETY: a frame of ring 3, which the way out of every trap pops from where it lies. Nothing is pushed: the
    // kernel stack begins anew at the next trap, at the address in the task state.
    unsafe { asm!("mov rsp, {}", "jmp trap_return", in(reg) context, options(noreturn)) }
}

/// See [`crate::Architecture::restart_stack`].
///
/// # Safety
/// As there.
pub unsafe fn restart_stack(stack_top: VirtAddr, entry: fn() -> !) -> ! {
    // SAFETY: nothing on the stack is used again (caller); its top is 16-byte aligned before the call.
    unsafe {
        asm!("mov rsp, {}", "xor ebp, ebp", "call {}", "ud2", in(reg) stack_top.0, in(reg) entry, options(noreturn))
    }
}
