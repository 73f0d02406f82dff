//! The way into 64-bit mode: of the boot core from 32-bit protected mode, of the others from real mode, in which a
//! start-up command leaves them. Owns the boot tables, the tables in the image and the trampoline.
//!
//! Boot protocols are the board's. Its entry jumps to `enter_long_mode` in 32-bit protected mode with flat segments,
//! paging off, interrupts and the direction flag off, its argument in EDI, and the counter's value at entry in EBP:ESI.
//! From there the board's `board_main(argument, counter)` is called on the boot stack and boot tables, or its
//! `board_refuse` jumped to, still in 32-bit mode, with the address of a reason in ESI.
//!
//! The board's linker script puts `.text.boot` below 2 GiB, and `.data.boot_stack` first among writable sections.

use super::features::{CR0, CR4, EFER};
use super::segments::{CODE_0, DATA_0};
use crate::contract::{BuiltInTables, StartRecord};
use crate::{PhysAddr, PhysRange};
use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// Page below 1 MiB that secondary cores start in; the board reserves it.
pub const TRAMPOLINE: PhysAddr = PhysAddr(0x8000);

/// CPUID.80000001H:EDX: 64-bit mode and no-execute.
const LONG_MODE: u32 = 1 << 29 | 1 << 20;

/// Bytes of the stack that the boot core uses until it has its own.
const BOOT_STACK: usize = 0x8000;

global_asm!(
    // Boot tables: the first 4 GiB at their own addresses, in 2 MiB pages, with all rights. The kernel replaces
    // them as soon as it knows the machine; secondary cores pass through them.
    ".section .data.boot, \"aw\", @progbits",
    ".balign 4096",
    "boot_root: .quad boot_level3 + 3",
    ".fill 511, 8, 0",
    "boot_level3: .quad boot_level2 + 0x0003, boot_level2 + 0x1003, boot_level2 + 0x2003, boot_level2 + 0x3003",
    ".fill 508, 8, 0",
    "boot_level2:",
    ".set page, 0",
    ".rept 2048",
    ".quad page * 0x200000 + 0x83",
    ".set page, page + 1",
    ".endr",
    // The kernel's tables: the same memory, nothing executable, page 0 absent. The kernel sets the rights of its image
    // and of devices before it uses them.
    ".balign 4096",
    "kernel_root: .quad kernel_level3 + 3",
    ".fill 511, 8, 0",
    "kernel_level3: .quad kernel_level2 + 0x0003, kernel_level2 + 0x1003",
    ".quad kernel_level2 + 0x2003, kernel_level2 + 0x3003",
    ".fill 508, 8, 0",
    "kernel_level2: .quad kernel_level1 + 3",
    ".set page, 1",
    ".rept 2047",
    ".quad page * 0x200000 + 0x80000000000000e3",
    ".set page, page + 1",
    ".endr",
    "kernel_level1: .quad 0",
    ".set page, 1",
    ".rept 511",
    ".quad page * 0x1000 + 0x8000000000000063",
    ".set page, page + 1",
    ".endr",
    "boot_descriptors: .quad 0, 0, {code}, {data}",
    "boot_descriptors_pointer: .word 31",
    ".long boot_descriptors",
    ".long 0",
    // The lowest thing in .data: an overflow runs into constants, which are read-only.
    ".section .data.boot_stack, \"aw\", @nobits",
    ".balign 4096",
    ".skip {boot_stack}",
    "boot_stack_top:",
    ".section .text.boot, \"ax\", @progbits",
    ".code32",
    ".global enter_long_mode, trampoline_start, trampoline_end, kernel_root",
    "enter_long_mode:",
    // Without 64-bit mode and no-execute (SDM volume 2, CPUID) what follows would reset the machine.
    "mov eax, 0x80000000",
    "cpuid",
    "cmp eax, 0x80000001",
    "jb no_long_mode",
    "mov eax, 0x80000001",
    "cpuid",
    "and edx, {long_mode}",
    "cmp edx, {long_mode}",
    "jne no_long_mode",
    "mov eax, offset boot_root",
    "mov cr3, eax",
    "mov eax, {cr4}",
    "mov cr4, eax",
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, {efer}",
    "wrmsr",
    "mov eax, {cr0}",
    "mov cr0, eax",
    "lgdt [boot_descriptors_pointer]",
    // A far jump to 64-bit code: the assembler has no such form in Intel syntax.
    ".byte 0xea",
    ".long boot_long",
    ".word 0x10",
    "no_long_mode: mov esi, offset reason_long_mode",
    "jmp board_refuse",
    "reason_long_mode: .asciz \"this processor has no 64-bit mode or no protection from execution\\r\\n\"",
    ".code64",
    "boot_long:",
    "mov eax, 0x18",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "mov rsp, offset boot_stack_top",
    "mov edi, edi",
    "mov esi, esi",
    "shl rbp, 32",
    "or rsi, rbp",
    "xor ebp, ebp",
    "call board_main",
    "ud2",
    // Copied to the trampoline page. From real mode to long mode in one step; CS is the page, IP 0.
    ".code16",
    "trampoline_start:",
    "cli",
    "cld",
    "mov ax, cs",
    "mov ds, ax",
    "lgdtd [trampoline_pointer_offset]",
    "mov eax, {cr4}",
    "mov cr4, eax",
    "mov eax, offset boot_root",
    "mov cr3, eax",
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, {efer}",
    "wrmsr",
    "mov eax, {cr0}",
    "mov cr0, eax",
    ".byte 0x66, 0xea",
    ".long secondary_long",
    ".word 0x10",
    "trampoline_pointer: .word 31",
    ".long boot_descriptors",
    "trampoline_end:",
    ".set trampoline_pointer_offset, trampoline_pointer - trampoline_start",
    ".code64",
    "secondary_long:",
    "mov eax, 0x18",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    // Takes the record; a core that comes after it was given up finds none and halts.
    "xor eax, eax",
    "xchg rax, [{record}]",
    "test rax, rax",
    "jz 2f",
    "mov rcx, [rax + 24]",
    "mov cr3, rcx",
    "mov rsp, [rax]",
    "mov rdi, [rax + 16]",
    "xor ebp, ebp",
    "call [rax + 8]",
    "2: hlt",
    "jmp 2b",
    ".section .text",
    code = const CODE_0,
    data = const DATA_0,
    boot_stack = const BOOT_STACK,
    cr4 = const CR4,
    efer = const EFER,
    cr0 = const CR0,
    long_mode = const LONG_MODE,
    record = sym RECORD,
);

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_end: u8;
    static kernel_root: u8;
}

/// Bytes from address 0 on that are mapped at boot, and by the tables in the image.
pub const BOOT_MAPPED: u64 = 4 << 30;

/// See [`crate::Architecture::built_in_tables`].
pub fn built_in_tables() -> BuiltInTables {
    BuiltInTables { root: PhysAddr(&raw const kernel_root as u64), covers: PhysRange::new(0, BOOT_MAPPED) }
}

/// Address of the record of the core that is being started; 0 when none is.
static RECORD: AtomicU64 = AtomicU64::new(0);

/// Lays the trampoline and the record out for the next core.
///
/// # Safety
/// The trampoline page is reserved; no other core is being started.
pub unsafe fn publish(record: &'static StartRecord) {
    let start = &raw const trampoline_start;
    let length = &raw const trampoline_end as usize - start as usize;
    // SAFETY: the page is ours (caller) and mapped writable; the trampoline is shorter than a page.
    unsafe { core::ptr::copy_nonoverlapping(start, TRAMPOLINE.identity().0 as *mut u8, length) }
    RECORD.store(record as *const StartRecord as u64, Ordering::SeqCst);
}

/// Takes back a record that no core has taken.
pub fn withdraw() {
    RECORD.store(0, Ordering::SeqCst);
}
