//! x86_64: `int 0x80`, TSC, XSAVE.

use core::arch::{asm, naked_asm, x86_64::_rdtsc};

/// Words of the registers that `_start` keeps: the area of XSAVE on any processor.
pub const REGISTER_WORDS: usize = 512;

/// The components that XSAVE saves there: x87, SSE, AVX and AVX-512 (SDM vol. 1, 13.1). A hypervisor may have enabled
/// more.
const COMPONENTS: u32 = 0b1110_0111;

/// Address of the kernel's image.
pub const KERNEL: u64 = 0x20_0000;

/// Places of the kernel's memory and of devices.
pub const FOREIGN: [(&str, u64); 6] = [
    ("the kernel's image", KERNEL),
    ("the kernel's data", 0x80_0000),
    ("low memory", 0x8000),
    ("the screen", 0xb_8000),
    ("the local APIC", 0xfee0_0000),
    ("the I/O APIC", 0xfec0_0000),
];

/// Entry point of thread 0; RDI: address of `EngineInfo`. Saves the vector registers as it finds them.
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    naked_asm!(
        "mov r12, rdi",
        "lea rdi, [rip + bss_start]",
        "lea rcx, [rip + bss_end]",
        "sub rcx, rdi",
        "xor eax, eax",
        "rep stosb",
        "sub rsp, 8 * {words}",
        "and rsp, -64",
        "mov rdi, rsp",
        "mov ecx, {words}",
        "rep stosq",
        // CPUID.1:ECX[27], OSXSAVE.
        "mov eax, 1",
        "cpuid",
        "bt ecx, 27",
        "mov eax, {components}",
        "mov edx, 0",
        "jnc 2f",
        "xsave64 [rsp]",
        "jmp 3f",
        "2: fxsave64 [rsp]",
        "3: mov rdi, r12",
        "mov rsi, rsp",
        "xor ebp, ebp",
        "call {main}",
        "ud2",
        components = const COMPONENTS,
        words = const REGISTER_WORDS,
        main = sym crate::main_thread,
    )
}

/// Entry point of every other thread; RDI: its argument.
#[unsafe(naked)]
pub extern "C" fn thread_start() -> ! {
    naked_asm!("xor ebp, ebp", "call {main}", "ud2", main = sym crate::threads::main_thread)
}

/// Makes system call `number`, over which other threads may run. Result: the result register.
///
/// # Safety
/// The program relies on no memory that the kernel may write through the arguments.
pub unsafe fn system_call(number: u64, [a, b, c]: [u64; 3]) -> u64 {
    let result;
    // SAFETY: the caller vouches for the arguments; the ABI's clobbers name all vector registers.
    unsafe {
        asm!("int 0x80", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
            clobber_abi("sysv64"));
    }
    result
}

/// The counter that all cores agree on.
pub fn counter() -> u64 {
    // SAFETY: every x86_64 processor has it, and the kernel opens it.
    unsafe { _rdtsc() }
}

/// Executes an undefined instruction.
#[unsafe(naked)]
pub extern "C" fn undefined() -> ! {
    naked_asm!("ud2")
}

/// Makes a system call without a stack.
pub fn call_without_stack(number: u64, stack: u64) {
    // SAFETY: the stack pointer is put back before anything uses it.
    unsafe {
        asm!("xchg rsp, r12", "int 0x80", "xchg rsp, r12", inout("r12") stack => _,
            inout("rax") number => _, inout("rdi") 0u64 => _, clobber_abi("sysv64"));
    }
}

/// Pushes words of `value` on the stack until that is used up.
pub fn fill_stack(value: u64) -> ! {
    // SAFETY: ends in a fault at the latest.
    unsafe { asm!("2: push {value}", "jmp 2b", value = in(reg) value, options(noreturn)) }
}

/// Fills the vector registers with words of `value` and calls `target`.
pub fn call_with_vectors(value: u64, target: extern "C" fn() -> !) -> ! {
    // SAFETY: never comes back; where the processor has no XSAVE, it has no wider registers either.
    unsafe {
        asm!(
            "movq xmm0, {value}",
            "punpcklqdq xmm0, xmm0",
            "mov eax, 1",
            "xor ecx, ecx",
            "push rbx",
            "cpuid",
            "pop rbx",
            "and ecx, 0x18000000",
            "cmp ecx, 0x18000000",
            "jne 2f",
            "vinsertf128 ymm0, ymm0, xmm0, 1",
            ".irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
            "vmovaps ymm\\n, ymm0",
            ".endr",
            "jmp 3f",
            "2:",
            ".irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
            "movaps xmm\\n, xmm0",
            ".endr",
            "3: and rsp, -16",
            "call r12",
            value = in(reg) value,
            in("r12") target,
            options(noreturn),
        )
    }
}
