//! x86_64: `int 0x80`, TSC, MXCSR.

use core::arch::x86_64::__cpuid_count;
use core::arch::{asm, naked_asm};

use embodios_abi::Mark;

/// MXCSR after reset: all exceptions masked, round to nearest (SDM vol. 1, 10.2.3).
const MXCSR: u32 = 0x1f80;

/// As the user writes it.
pub const NAME: &str = "x86_64";

/// Entry of thread 0 from the kernel; RDI: address of `EngineInfo`, RSP a multiple of 16.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn _start() -> ! {
    naked_asm!(
        "push {mxcsr}",
        "ldmxcsr [rsp]",
        "pop rax",
        "mov rsi, rdi",
        "lea rdi, [rip + bss_start]",
        "lea rcx, [rip + bss_end]",
        "sub rcx, rdi",
        "xor eax, eax",
        "rep stosb",
        "mov rdi, rsi",
        "xor ebp, ebp",
        "call {main}",
        "ud2",
        mxcsr = const MXCSR,
        main = sym crate::start::main_thread,
    )
}

/// Entry of every other thread from the kernel; RDI: its argument, RSP a multiple of 16.
#[unsafe(naked)]
pub extern "C" fn thread_start() -> ! {
    naked_asm!(
        "push {mxcsr}",
        "ldmxcsr [rsp]",
        "pop rax",
        "xor ebp, ebp",
        "call {thread}",
        "ud2",
        mxcsr = const MXCSR,
        thread = sym crate::start::thread,
    )
}

/// An address of the kernel's identity map.
pub const KERNEL_ADDRESS: usize = 0x20_0000;

/// Makes system call `number`. Result: the result register.
///
/// # Safety
/// The arguments must be what the call asks for: the kernel writes through some of them.
pub unsafe fn system_call(number: u64, arguments: [u64; 3]) -> u64 {
    let result;
    // SAFETY: the caller vouches for the arguments; the kernel keeps all other registers.
    unsafe {
        asm!(
            "int 0x80",
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            options(nostack),
        );
    }
    result
}

/// As [`system_call`], for a call over which other threads may run: it keeps no vector register.
///
/// # Safety
/// As [`system_call`].
pub unsafe fn blocking_call(number: u64, arguments: [u64; 3]) -> u64 {
    let result;
    // SAFETY: the caller vouches for the arguments. All vector registers belong to the caller of a C function, so
    // that ABI's clobbers name them all; the others that it names do no harm.
    unsafe {
        asm!(
            "int 0x80",
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            clobber_abi("sysv64"),
        );
    }
    result
}

/// The hardware's own id of this core: the APIC id, from CPUID (SDM vol. 3, 10.12.8.1).
pub fn hardware_id() -> u64 {
    let topology = __cpuid_count(0x0b, 0);
    if topology.ebx != 0 { topology.edx.into() } else { (__cpuid_count(1, 0).ebx >> 24).into() }
}

/// Whether [`hardware_id`] is that of the machine the kernel runs on. Not under every hypervisor: where ring 3 runs
/// natively, CPUID may tell of the processor below.
pub fn knows_hardware_id() -> bool {
    /// "TCGTCGTCGTCG" as CPUID spells it: QEMU's emulation, which answers every ring alike.
    const EMULATION: [u32; 3] = [0x5447_4354, 0x4354_4743, 0x4743_5447];
    if __cpuid_count(1, 0).ecx & 1 << 31 == 0 {
        return true;
    }
    let hypervisor = __cpuid_count(0x4000_0000, 0);
    [hypervisor.ebx, hypervisor.ecx, hypervisor.edx] == EMULATION
}

/// The counter that all cores agree on.
pub fn counter() -> u64 {
    // SAFETY: RDTSC is part of the baseline, and the kernel leaves CR4.TSD clear.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// A random number of the processor's; `None` where it has no source, or none that delivers.
pub fn random() -> Option<u64> {
    const RDRAND: u32 = 1 << 30;
    /// Attempts that Intel recommends (SDM volume 1, 7.3.17.1).
    const ATTEMPTS: usize = 10;
    if __cpuid_count(1, 0).ecx & RDRAND == 0 {
        return None;
    }
    (0..ATTEMPTS).find_map(|_| {
        let (number, done): (u64, u8);
        // SAFETY: the instruction is there; the carry flag says whether it delivered.
        unsafe { asm!("rdrand {}", "setc {}", out(reg) number, out(reg_byte) done, options(nomem, nostack)) };
        (done != 0).then_some(number)
    })
}

/// Executes a no-op that carries the mark's number.
#[inline]
pub fn mark(mark: Mark) {
    // SAFETY: a no-op with an operand does nothing.
    unsafe {
        match mark {
            Mark::Begin => {
                asm!(
                    "nop dword ptr [rax + {number}]", number = const Mark::Begin as u16,
                    options(nostack, preserves_flags),
                )
            }
            Mark::Phase => {
                asm!(
                    "nop dword ptr [rax + {number}]", number = const Mark::Phase as u16,
                    options(nostack, preserves_flags),
                )
            }
            Mark::End => {
                asm!(
                    "nop dword ptr [rax + {number}]", number = const Mark::End as u16,
                    options(nostack, preserves_flags),
                )
            }
        }
    }
}

/// Copies `count` bytes upwards.
///
/// # Safety
/// `source` must be readable and `target` writable for `count` bytes; where they overlap, `target`
/// must be the lower one.
pub unsafe fn copy_up(target: *mut u8, source: *const u8, count: usize) {
    // SAFETY: the caller vouches for both ranges; the ABI keeps the direction flag clear.
    unsafe {
        asm!(
            "rep movsq",
            "mov ecx, {rest:e}",
            "rep movsb",
            rest = in(reg) count % 8,
            inlateout("rcx") count / 8 => _,
            inlateout("rdi") target => _,
            inlateout("rsi") source => _,
            options(nostack, preserves_flags),
        );
    }
}

/// Copies `count` bytes downwards, the last one first.
///
/// # Safety
/// As [`copy_up`], but where the ranges overlap, `target` must be the higher one.
pub unsafe fn copy_down(target: *mut u8, source: *const u8, count: usize) {
    // SAFETY: the caller vouches for both ranges; the addresses before them, for a count of 0, are
    // computed but not used.
    unsafe {
        asm!(
            "std",
            "rep movsb",
            "cld",
            inlateout("rcx") count => _,
            inlateout("rdi") target.wrapping_add(count).wrapping_sub(1) => _,
            inlateout("rsi") source.wrapping_add(count).wrapping_sub(1) => _,
            options(nostack),
        );
    }
}

/// Sets `count` bytes to `byte`.
///
/// # Safety
/// `target` must be writable for `count` bytes.
pub unsafe fn fill(target: *mut u8, byte: u8, count: usize) {
    // SAFETY: the caller vouches for the range; the ABI keeps the direction flag clear.
    unsafe {
        asm!(
            "rep stosq",
            "mov ecx, {rest:e}",
            "rep stosb",
            rest = in(reg) count % 8,
            inlateout("rcx") count / 8 => _,
            inlateout("rdi") target => _,
            in("rax") u64::from_ne_bytes([byte; 8]),
            options(nostack, preserves_flags),
        );
    }
}

/// Times round an empty loop, about a millisecond.
const HOLD: u64 = 1_000_000;

/// Fills all vector registers with `pattern`, keeps them for a while and looks whether they are still the same.
pub fn hold_vectors(pattern: u64) -> bool {
    if has_avx() {
        // SAFETY: the processor has AVX, and the kernel has switched it on.
        unsafe { hold_ymm(pattern) }
    } else {
        hold_xmm(pattern)
    }
}

/// CPUID.1:ECX, bits 27 (OSXSAVE) and 28 (AVX).
fn has_avx() -> bool {
    __cpuid_count(1, 0).ecx >> 27 & 3 == 3
}

macro_rules! hold {
    ($bytes:literal, $fill:literal, $store:literal, $pattern:expr) => {{
        let mut held = [0u64; 16 * $bytes / 8];
        // SAFETY: the registers are clobbered by declaration; the stores fill the buffer.
        unsafe {
            asm!(
                "movq xmm0, {pattern}",
                "punpcklqdq xmm0, xmm0",
                $fill,
                "2: dec {count}",
                "jnz 2b",
                $store,
                pattern = in(reg) $pattern,
                count = inout(reg) HOLD => _,
                held = in(reg) held.as_mut_ptr(),
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                options(nostack),
            );
        }
        held.iter().all(|&word| word == $pattern)
    }};
}

fn hold_xmm(pattern: u64) -> bool {
    hold!(
        16,
        ".irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        movaps xmm\\n, xmm0
        .endr",
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        movups [{held} + 16 * \\n], xmm\\n
        .endr",
        pattern
    )
}

#[target_feature(enable = "avx")]
fn hold_ymm(pattern: u64) -> bool {
    hold!(
        32,
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        vinsertf128 ymm\\n, ymm0, xmm0, 1
        .endr",
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        vmovups [{held} + 32 * \\n], ymm\\n
        .endr",
        pattern
    )
}
