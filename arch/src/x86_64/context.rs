//! Leaving the kernel stack for good: to ring 3, or to its own beginning.

use super::segments::{USER_CODE, USER_DATA};
use crate::contract::{Architecture, UserStart};
use crate::x86_64::X86_64;
use core::arch::asm;

/// RFLAGS of a fresh thread: interrupts on, and the bit that is always set.
const USER_FLAGS: u64 = 0x202;

/// See [`Architecture::enter_user`].
///
/// # Safety
/// As there.
pub unsafe fn enter_user(start: &UserStart) -> ! {
    let stack_top = X86_64::core_local().stack_top.0;
    // SAFETY: the root maps the kernel (caller), the stack is this core's and empty (caller). `swapgs` puts the
    // kernel's GS base away; entry from ring 3 brings it back.
    unsafe {
        asm!(
            "mov cr3, rax",
            "mov rsp, rcx",
            "push {user_data}",
            "push rdx",
            "push {user_flags}",
            "push {user_code}",
            "push rsi",
            "mov edx, {user_data}",
            "mov ds, edx",
            "mov es, edx",
            "xor eax, eax",
            "xor ebx, ebx",
            "xor ecx, ecx",
            "xor edx, edx",
            "xor esi, esi",
            "xor ebp, ebp",
            "xor r8d, r8d",
            "xor r9d, r9d",
            "xor r10d, r10d",
            "xor r11d, r11d",
            "xor r12d, r12d",
            "xor r13d, r13d",
            "xor r14d, r14d",
            "xor r15d, r15d",
            "swapgs",
            "iretq",
            in("rax") start.root.0,
            in("rcx") stack_top,
            in("rdx") start.stack_top.0,
            in("rsi") start.entry.0,
            in("rdi") start.argument,
            user_data = const USER_DATA,
            user_code = const USER_CODE,
            user_flags = const USER_FLAGS,
            options(noreturn)
        )
    }
}

/// See [`Architecture::restart_stack`].
///
/// # Safety
/// As there.
pub unsafe fn restart_stack(entry: fn() -> !) -> ! {
    let stack_top = X86_64::core_local().stack_top.0;
    // SAFETY: nothing on the stack is used again (caller); its top is 16-byte aligned before the call.
    unsafe {
        asm!("mov rsp, {}", "xor ebp, ebp", "call {}", "ud2", in(reg) stack_top, in(reg) entry, options(noreturn))
    }
}
