//! First instructions of the boot core, to which the PVH boot protocol leads it in 32-bit protected mode (Xen,
//! `docs/misc/pvh.pandoc`): flat segments, paging off, EBX holds the address of the start information.

use core::arch::global_asm;

global_asm!(
    // Name "Xen", type 18 (XEN_ELFNOTE_PHYS32_ENTRY), an 8-byte descriptor: QEMU reads 8 for a 64-bit ELF.
    ".section .note.pvh, \"a\", @note",
    ".balign 4",
    ".long 4, 8, 18",
    ".asciz \"Xen\"",
    ".quad pvh_entry",
    ".section .text.boot, \"ax\", @progbits",
    ".code32",
    ".global pvh_entry",
    "pvh_entry:",
    "cli",
    "cld",
    "rdtsc",
    "mov esi, eax",
    "mov ebp, edx",
    "mov edi, ebx",
    // Memory that is there keeps what is written to it: the last word of the image, changed and changed back.
    "mov eax, offset image_end - 4",
    "mov ecx, [eax]",
    "xor dword ptr [eax], 0x5aa55aa5",
    "mov edx, [eax]",
    "xor dword ptr [eax], 0x5aa55aa5",
    "xor edx, 0x5aa55aa5",
    "cmp edx, ecx",
    "je enter_long_mode",
    "mov esi, offset reason_memory",
    "jmp board_refuse",
    "reason_memory: .asciz \"the machine has too little memory for the kernel image\\r\\n\"",
    ".code64",
    ".section .text",
);
