//! AArch64: `svc #0`, CNTVCT_EL0, Q registers.

use core::arch::{asm, naked_asm};

/// Words of the registers that `_start` keeps: Q0 to Q31, TPIDR_EL0, and one for alignment.
pub const REGISTER_WORDS: usize = 66;

/// Address of the kernel's image.
pub const KERNEL: u64 = 0x4020_0000;

/// Places of the kernel's memory and of devices.
pub const FOREIGN: [(&str, u64); 6] = [
    ("the kernel's image", KERNEL),
    ("the kernel's data", 0x4080_0000),
    ("the serial port", 0x900_0000),
    ("the GIC's distributor", 0x800_0000),
    ("a GIC's redistributor", 0x80a_0000),
    ("PCI's configuration space", 0x3f00_0000),
];

/// Entry point of thread 0; X0: address of `EngineInfo`. Saves the vector registers as it finds them.
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    naked_asm!(
        "adrp x1, bss_start",
        "add x1, x1, :lo12:bss_start",
        "adrp x2, bss_end",
        "add x2, x2, :lo12:bss_end",
        "b 2f",
        "1: str xzr, [x1], #8",
        "2: cmp x1, x2",
        "b.lo 1b",
        "sub sp, sp, #8 * {words}",
        ".irp n, 0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30",
        "str q\\n, [sp, #16 * \\n]",
        ".endr",
        ".irp n, 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31",
        "str q\\n, [sp, #16 * \\n]",
        ".endr",
        "mrs x1, tpidr_el0",
        "add x2, sp, #16 * 32",
        "stp x1, xzr, [x2]",
        "mov x1, sp",
        "mov x29, xzr",
        "bl {main}",
        "udf #0",
        words = const REGISTER_WORDS,
        main = sym crate::main_thread,
    )
}

/// Entry point of every other thread; X0: its argument.
#[unsafe(naked)]
pub extern "C" fn thread_start() -> ! {
    naked_asm!("mov x29, xzr", "bl {main}", "udf #0", main = sym crate::threads::main_thread)
}

/// Makes system call `number`, over which other threads may run. Result: the result register.
///
/// # Safety
/// The program relies on no memory that the kernel may write through the arguments.
pub unsafe fn system_call(number: u64, [a, b, c]: [u64; 3]) -> u64 {
    let result;
    // SAFETY: the caller vouches for the arguments; the ABI's clobbers name all vector registers.
    unsafe {
        asm!("svc #0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, clobber_abi("C"));
    }
    result
}

/// The counter that all cores agree on.
pub fn counter() -> u64 {
    let ticks;
    // SAFETY: the kernel opens it.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags)) };
    ticks
}

/// The prebuilt runtime asks for processor features: 0 means the baseline.
#[unsafe(no_mangle)]
extern "C" fn getauxval(_: u64) -> u64 {
    0
}

/// Executes an undefined instruction.
#[unsafe(naked)]
pub extern "C" fn undefined() -> ! {
    naked_asm!("udf #0")
}

/// Makes a system call without a stack.
pub fn call_without_stack(number: u64, stack: u64) {
    // SAFETY: the stack pointer is put back before anything uses it.
    unsafe {
        asm!("mov x20, sp", "mov sp, {stack}", "svc #0", "mov sp, x20", out("x20") _, stack = in(reg) stack,
            in("x8") number, inout("x0") 0u64 => _, clobber_abi("C"));
    }
}

/// Pushes words of `value` on the stack until that is used up.
pub fn fill_stack(value: u64) -> ! {
    // SAFETY: ends in a fault at the latest.
    unsafe { asm!("2: stp {value}, {value}, [sp, #-16]!", "b 2b", value = in(reg) value, options(noreturn)) }
}

/// Fills the vector registers with words of `value` and calls `target`.
pub fn call_with_vectors(value: u64, target: extern "C" fn() -> !) -> ! {
    // SAFETY: never comes back.
    unsafe {
        asm!(
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            "dup v\\n\\().2d, {value}",
            ".endr",
            "msr tpidr_el0, {value}",
            "blr {target}",
            value = in(reg) value,
            target = in(reg) target,
            options(noreturn),
        )
    }
}
