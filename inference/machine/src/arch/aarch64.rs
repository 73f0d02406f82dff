//! AArch64: `svc #0`, CNTVCT_EL0, FPCR.

use core::arch::{asm, naked_asm};

use embodios_abi::Mark;

/// As the user writes it.
pub const NAME: &str = "aarch64";

/// Entry of thread 0 from the kernel; X0: address of `EngineInfo`, SP a multiple of 16.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn _start() -> ! {
    naked_asm!(
        "msr fpcr, xzr",
        "adrp x1, bss_start",
        "add x1, x1, :lo12:bss_start",
        "adrp x2, bss_end",
        "add x2, x2, :lo12:bss_end",
        "b 2f",
        "1: str xzr, [x1], #8",
        "2: cmp x1, x2",
        "b.lo 1b",
        "mov x29, xzr",
        "bl {main}",
        "udf #0",
        main = sym crate::start::main_thread,
    )
}

/// Entry of every other thread from the kernel; X0: its argument, SP a multiple of 16.
#[unsafe(naked)]
pub extern "C" fn thread_start() -> ! {
    naked_asm!(
        "msr fpcr, xzr",
        "mov x29, xzr",
        "bl {thread}",
        "udf #0",
        thread = sym crate::start::thread,
    )
}

/// An address of the kernel's identity map: the machine's memory begins at 1 GiB, the kernel lies 2 MiB
/// higher.
pub const KERNEL_ADDRESS: usize = 0x4020_0000;

/// Makes system call `number`. Result: the result register.
///
/// # Safety
/// The arguments must be what the call asks for: the kernel writes through some of them.
pub unsafe fn system_call(number: u64, arguments: [u64; 3]) -> u64 {
    let result;
    // SAFETY: the caller vouches for the arguments; the kernel keeps all other registers.
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") arguments[0] => result,
            in("x1") arguments[1],
            in("x2") arguments[2],
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
    // SAFETY: the caller vouches for the arguments. The C ABI's clobbers name all vector registers whole; the other
    // registers they name do no harm.
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") arguments[0] => result,
            in("x1") arguments[1],
            in("x2") arguments[2],
            clobber_abi("C"),
        );
    }
    result
}

/// The hardware's own id of this core: the affinity fields of MPIDR_EL1, which each core's kernel copies to the
/// register that EL0 may read.
pub fn hardware_id() -> u64 {
    let id;
    // SAFETY: reads a register that EL0 may read. Not cached: the thread may change its core.
    unsafe { asm!("mrs {}, tpidrro_el0", out(reg) id, options(nostack, preserves_flags)) };
    id
}

/// Whether [`hardware_id`] is that of the machine the kernel runs on: the kernel itself has put it there.
pub const fn knows_hardware_id() -> bool {
    true
}

/// The counter that all cores agree on.
pub fn counter() -> u64 {
    let ticks;
    // SAFETY: the kernel opens the virtual counter to EL0. ISB keeps it from being read early (Arm ARM,
    // D12.2.1).
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags)) };
    ticks
}

/// A random number of the processor's; `None` where it has no source, or none that delivers.
pub fn random() -> Option<u64> {
    let features: u64;
    // SAFETY: the kernel answers the read for EL0.
    unsafe { asm!("mrs {}, id_aa64isar0_el1", out(reg) features, options(nomem, nostack, preserves_flags)) };
    if features >> 60 == 0 {
        return None;
    }
    let (number, failed): (u64, u64);
    // SAFETY: reads RNDR, which is there (FEAT_RNG); the zero flag says that it has nothing (Arm ARM, RNDR).
    unsafe {
        asm!("mrs {}, s3_3_c2_c4_0", "cset {}, eq", out(reg) number, out(reg) failed, options(nomem, nostack))
    };
    (failed == 0).then_some(number)
}

/// Executes a no-op that carries the mark's number.
#[inline]
pub fn mark(mark: Mark) {
    // SAFETY: a move to the zero register does nothing.
    unsafe {
        match mark {
            Mark::Begin => {
                asm!("movz xzr, #{number}", number = const Mark::Begin as u16, options(nostack, preserves_flags))
            }
            Mark::Phase => {
                asm!("movz xzr, #{number}", number = const Mark::Phase as u16, options(nostack, preserves_flags))
            }
            Mark::End => {
                asm!("movz xzr, #{number}", number = const Mark::End as u16, options(nostack, preserves_flags))
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
    // SAFETY: the caller vouches for both ranges. Each step loads before it stores.
    unsafe {
        asm!(
            "2: subs {count}, {count}, #16",
            "b.lo 3f",
            "ldr {wide:q}, [{source}], #16",
            "str {wide:q}, [{target}], #16",
            "b 2b",
            "3: adds {count}, {count}, #16",
            "b.eq 5f",
            "4: ldrb {byte:w}, [{source}], #1",
            "strb {byte:w}, [{target}], #1",
            "subs {count}, {count}, #1",
            "b.ne 4b",
            "5:",
            count = inout(reg) count => _,
            source = inout(reg) source => _,
            target = inout(reg) target => _,
            wide = out(vreg) _,
            byte = out(reg) _,
            options(nostack),
        );
    }
}

/// Copies `count` bytes downwards, the last one first.
///
/// # Safety
/// As [`copy_up`], but where the ranges overlap, `target` must be the higher one.
pub unsafe fn copy_down(target: *mut u8, source: *const u8, count: usize) {
    // SAFETY: the caller vouches for both ranges. Each step loads before it stores.
    unsafe {
        asm!(
            "2: subs {count}, {count}, #16",
            "b.lo 3f",
            "ldr {wide:q}, [{source}, #-16]!",
            "str {wide:q}, [{target}, #-16]!",
            "b 2b",
            "3: adds {count}, {count}, #16",
            "b.eq 5f",
            "4: ldrb {byte:w}, [{source}, #-1]!",
            "strb {byte:w}, [{target}, #-1]!",
            "subs {count}, {count}, #1",
            "b.ne 4b",
            "5:",
            count = inout(reg) count => _,
            source = inout(reg) source.wrapping_add(count) => _,
            target = inout(reg) target.wrapping_add(count) => _,
            wide = out(vreg) _,
            byte = out(reg) _,
            options(nostack),
        );
    }
}

/// Sets `count` bytes to `byte`.
///
/// # Safety
/// `target` must be writable for `count` bytes.
pub unsafe fn fill(target: *mut u8, byte: u8, count: usize) {
    // SAFETY: the caller vouches for the range.
    unsafe {
        asm!(
            "dup {wide:v}.16b, {byte:w}",
            "2: subs {count}, {count}, #16",
            "b.lo 3f",
            "str {wide:q}, [{target}], #16",
            "b 2b",
            "3: adds {count}, {count}, #16",
            "b.eq 5f",
            "4: strb {byte:w}, [{target}], #1",
            "subs {count}, {count}, #1",
            "b.ne 4b",
            "5:",
            count = inout(reg) count => _,
            target = inout(reg) target => _,
            byte = in(reg) u32::from(byte),
            wide = out(vreg) _,
            options(nostack),
        );
    }
}

/// The kernel's auxiliary vector, which the prebuilt runtime asks for processor features before it takes large-system
/// atomics. There is none: 0 means the baseline.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn getauxval(_: u64) -> u64 {
    0
}

/// Times round an empty loop, about a millisecond.
const HOLD: u64 = 1_000_000;

/// Fills all vector registers with `pattern`, keeps them for a while and looks whether they are still the same.
pub fn hold_vectors(pattern: u64) -> bool {
    let mut held = [0u64; 64];
    // SAFETY: the registers are clobbered by declaration; the stores fill the buffer.
    unsafe {
        asm!(
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            "dup v\\n\\().2d, {pattern}",
            ".endr",
            "2: subs {count}, {count}, #1",
            "b.ne 2b",
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            "str q\\n, [{held}, #16 * \\n]",
            ".endr",
            pattern = in(reg) pattern,
            count = inout(reg) HOLD => _,
            held = in(reg) held.as_mut_ptr(),
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _,
            out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _,
            out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _,
            out("v29") _, out("v30") _, out("v31") _,
            options(nostack),
        );
    }
    held.iter().all(|&word| word == pattern)
}
