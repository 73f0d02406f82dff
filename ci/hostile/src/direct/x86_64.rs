//! x86_64: privileged instructions, software interrupts, ports, segments, flags, far transfers and odd stacks.

use core::arch::{asm, global_asm};

use embodios_abi::{Call, Query};

use super::{Attack, Found, call_at};

/// `int 0` to `int 255`.
pub const SOFTWARE_INTERRUPTS: usize = 256;

global_asm!(
    ".pushsection .text.interrupts, \"ax\"",
    ".balign 4",
    "software_interrupts:",
    ".set number, 0",
    ".rept 256",
    ".byte 0xcd, number",
    "ret",
    ".balign 4",
    ".set number, number + 1",
    ".endr",
    ".popsection",
);

unsafe extern "C" {
    static software_interrupts: u8;
}

/// The vector of an attack, if it is one of these.
pub fn software_interrupt(index: usize) -> Option<u64> {
    (index < SOFTWARE_INTERRUPTS).then_some(index as u64)
}

/// Executes `int vector` with the registers of a harmless system call.
pub fn interrupt(vector: u64) -> Found {
    let target = &raw const software_interrupts as u64 + 4 * vector;
    // SAFETY: two instructions of this program, which keep the registers that the ABI wants kept, or fault.
    unsafe {
        asm!("call {target}", target = in(reg) target, inout("rax") Call::Query as u64 => _,
            inout("rdi") Query::MemoryTotal as u64 => _, clobber_abi("sysv64"));
    }
    None
}

/// Attacks of instructions alone.
macro_rules! instructions {
    ($($name:literal: $($line:literal),+;)*) => {
        &[$(($name, || {
            // SAFETY: an instruction that gets through changes nothing that the rest of this incarnation needs.
            unsafe { asm!($($line),+, inout("rax") 0u64 => _, inout("rdi") 0u64 => _, clobber_abi("sysv64")) };
            None
        })),*]
    };
}

const PRIVILEGED: &[Attack] = instructions! {
    "cli": "cli"; "sti": "sti"; "hlt": "hlt"; "clts": "clts"; "invd": "invd"; "wbinvd": "wbinvd";
    "lgdt": "lgdt [rsp - 64]"; "lidt": "lidt [rsp - 64]"; "lldt": "lldt ax"; "ltr": "mov eax, 0x40", "ltr ax";
    "lmsw": "mov eax, 1", "lmsw ax"; "sgdt": "sgdt [rsp - 64]"; "sidt": "sidt [rsp - 64]"; "sldt": "sldt rax";
    "str": "str rax"; "smsw": "smsw rax"; "sgdt into the kernel": "mov eax, 0x200000", "sgdt [rax]";
    "invlpg": "invlpg [rsp]"; "invpcid": "invpcid rax, [rsp - 64]"; "swapgs": "swapgs"; "sysret": "rex64 sysret";
    "sysexit": "sysexit"; "rsm": "rsm"; "xsetbv": "xor ecx, ecx", "mov eax, 7", "xor edx, edx", "xsetbv";
    "xsaves": "xsaves64 [rsp - 64]"; "xrstors": "xrstors64 [rsp - 64]"; "clac": "clac"; "stac": "stac";
    "monitor": "mov rax, rsp", "xor ecx, ecx", "xor edx, edx", "monitor"; "mwait": "xor ecx, ecx", "mwait";
    "read cr0": "mov rax, cr0"; "read cr2": "mov rax, cr2"; "read cr3": "mov rax, cr3"; "read cr4": "mov rax, cr4";
    "read cr8": "mov rax, cr8"; "write cr0": "mov cr0, rax"; "write cr2": "mov cr2, rax"; "write cr3": "mov cr3, rax";
    "write cr4": "mov cr4, rax"; "write cr8": "mov cr8, rax"; "read dr0": "mov rax, dr0"; "read dr6": "mov rax, dr6";
    "read dr7": "mov rax, dr7"; "write dr0": "mov dr0, rax"; "write dr7": "mov dr7, rax";
    "rdmsr EFER": "mov ecx, 0xc0000080", "rdmsr"; "rdmsr GS base": "mov ecx, 0xc0000101", "rdmsr";
    "rdmsr TSC": "mov ecx, 0x10", "rdmsr"; "rdmsr x2APIC": "mov ecx, 0x802", "rdmsr";
    "wrmsr EFER": "mov ecx, 0xc0000080", "wrmsr"; "wrmsr LSTAR": "mov ecx, 0xc0000082", "wrmsr";
    "wrmsr SYSENTER": "mov ecx, 0x176", "wrmsr"; "wrmsr APIC base": "mov ecx, 0x1b", "wrmsr";
    "wrmsr x2APIC": "mov ecx, 0x830", "wrmsr"; "wrmsr deadline": "mov ecx, 0x6e0", "wrmsr";
    "rdpmc": "xor ecx, ecx", "rdpmc"; "rdfsbase": "rdfsbase rax"; "rdgsbase": "rdgsbase rax";
    "wrfsbase": "wrfsbase rax"; "wrgsbase": "wrgsbase rax"; "wrpkru": "xor ecx, ecx", "xor edx, edx", "wrpkru";
    "vmcall": "vmcall"; "vmlaunch": "vmlaunch"; "vmxoff": "vmxoff"; "vmrun": "vmrun"; "vmload": "vmload";
    "vmsave": "vmsave"; "stgi": "stgi"; "clgi": "clgi"; "skinit": "skinit"; "encls": ".byte 0x0f, 0x01, 0xcf";
    "getsec": "getsec";
};

const PORTS: &[Attack] = instructions! {
    "in 0x20": "in al, 0x20"; "in 0x60": "in al, 0x60"; "in 0x71": "in al, 0x71";
    "in 0x3f8": "mov dx, 0x3f8", "in al, dx"; "in 0xcfc": "mov dx, 0xcfc", "in eax, dx";
    "out 0": "out 0, al"; "out 0x64, reset": "mov al, 0xfe", "out 0x64, al";
    "out 0x92, reset": "mov al, 1", "out 0x92, al";
    "out 0xf4, exit": "mov dx, 0xf4", "mov eax, 16", "out dx, eax";
    "out 0xcf9, reset": "mov dx, 0xcf9", "mov al, 6", "out dx, al";
    "out 0x604, off": "mov dx, 0x604", "mov ax, 0x2000", "out dx, ax";
    "out 0x3f8": "mov dx, 0x3f8", "mov al, 65", "out dx, al";
    "out 0xffff": "mov dx, 0xffff", "out dx, al"; "insb": "mov dx, 0x3f8", "lea rdi, [rsp - 64]", "insb";
    "outsb": "mov dx, 0x3f8", "push rsi", "mov rsi, rsp", "outsb", "pop rsi";
    "rep outsb of nothing": "mov dx, 0x3f8", "xor ecx, ecx", "rep outsb";
};

const EXCEPTIONS: &[Attack] = instructions! {
    "int3": "int3"; "icebp": ".byte 0xf1"; "into": ".byte 0xce"; "bound": ".byte 0x62, 0x04, 0x24"; "ud2": "ud2";
    "syscall": "syscall"; "sysenter": "sysenter"; "divide by 0": "xor ecx, ecx", "xor edx, edx", "div rcx";
    "lock int 0x80": "mov eax, 15", ".byte 0xf0, 0xcd, 0x80"; "rep int 0x80": "mov eax, 15", ".byte 0xf3, 0xcd, 0x80";
    "int 0x80 behind 13 prefixes": "mov eax, 15", ".rept 13", ".byte 0x66", ".endr", "int 0x80";
    "an instruction of 16 bytes": "mov eax, 15", ".rept 14", ".byte 0x66", ".endr", "int 0x80";
    "SIMD exception": "push 0", "ldmxcsr [rsp]", "pop rcx", "xorps xmm0, xmm0", "divss xmm0, xmm0";
    "MXCSR with a reserved bit": "push -1", "ldmxcsr [rsp]", "pop rcx";
    "x87 exception": "push 0", "fldcw [rsp]", "fldz", "fldz", "fdivp", "fwait", "pop rcx", "fninit";
    "x87 exception, then a call": "push 0", "fldcw [rsp]", "fldz", "fldz", "fdivp", "mov eax, 15", "int 0x80",
        "pop rcx", "fninit";
    "rep movsb into the kernel": "mov rsi, rsp", "mov edi, 0x800000", "mov ecx, 64", "rep movsb";
    "rep movsb out of the kernel": "lea rdi, [rsp - 64]", "mov esi, 0x800000", "mov ecx, 64", "rep movsb";
    "clflush of the kernel": "mov eax, 0x200000", "clflush [rax]";
    "prefetch of the kernel": "mov eax, 0x200000", "prefetcht0 [rax]";
    "xsave into the kernel": "mov eax, 7", "xor edx, edx", "mov edi, 0x800000", "xsave64 [rdi]";
    "xrstor of nonsense": "mov eax, -1", "mov edx, -1", "sub rsp, 8192", "and rsp, -64",
        "mov qword ptr [rsp + 512], -1", "xrstor64 [rsp]";
};

const SEGMENTS: &[Attack] = instructions! {
    "ds = 0": "mov eax, 0", "mov ds, ax"; "ds = kernel code": "mov eax, 0x10", "mov ds, ax";
    "ds = kernel data": "mov eax, 0x18", "mov ds, ax"; "ds = user code": "mov eax, 0x33", "mov ds, ax";
    "ds = task state": "mov eax, 0x43", "mov ds, ax"; "es = past the table": "mov eax, 0xfffb", "mov es, ax";
    "fs = local table": "mov eax, 7", "mov fs, ax"; "gs = local table": "mov eax, 0x1007", "mov gs, ax";
    "gs = user data, then a call": "mov eax, 0x2b", "mov gs, ax", "mov eax, 15", "int 0x80";
    "gs = 3, then a call": "mov eax, 3", "mov gs, ax", "mov eax, 15", "int 0x80";
    "read through fs": "mov rax, fs:[0]"; "read through gs": "mov rax, gs:[0]";
    "ss = 0": "xor eax, eax", "mov ss, ax"; "ss = kernel data": "mov eax, 0x18", "mov ss, ax";
    "ss = user data": "mov eax, 0x2b", "mov ss, ax"; "ss = user code": "mov eax, 0x33", "mov ss, ax";
    "ss = user data of privilege 0": "mov eax, 0x28", "mov ss, ax";
    "trap flag over a load of ss and a call":
        "mov ecx, 0x2b", "mov eax, 15", "pushfq", "or qword ptr [rsp], 0x100", "popfq", "mov ss, cx", "int 0x80";
};

/// A far transfer through memory to `selector`.
macro_rules! far {
    ($opcode:literal, $selector:literal) => {
        || {
            let target = [0x20_0000u64, $selector];
            // SAFETY: leads to a fault, or to this instruction's end.
            unsafe { asm!($opcode, in("rdi") &target, clobber_abi("sysv64")) };
            None
        }
    };
}

/// A far return to `selector` with the address behind it.
macro_rules! far_return {
    ($selector:literal) => {
        || {
            // SAFETY: leads to a fault, or behind the instruction.
            unsafe {
                asm!("push {selector}", "lea rcx, [rip + 2f]", "push rcx", "retfq", "2:",
                    selector = const $selector, clobber_abi("sysv64"));
            }
            None
        }
    };
}

const FAR: &[Attack] = &[
    ("far call, kernel code", far!("rex64 call fword ptr [rdi]", 0x10)),
    ("far call, kernel code of privilege 3", far!("rex64 call fword ptr [rdi]", 0x13)),
    ("far call, task state", far!("rex64 call fword ptr [rdi]", 0x40)),
    ("far call, local table", far!("rex64 call fword ptr [rdi]", 7)),
    ("far call, past the table", far!("rex64 call fword ptr [rdi]", 0xfff8)),
    ("far jump, kernel code", far!("rex64 jmp fword ptr [rdi]", 0x10)),
    ("far jump, task state", far!("rex64 jmp fword ptr [rdi]", 0x40)),
    ("far jump, local table", far!("rex64 jmp fword ptr [rdi]", 0x1007)),
    ("far return, kernel code", far_return!(0x10)),
    ("far return, kernel code of privilege 3", far_return!(0x13)),
    ("far return, user code", far_return!(0x33)),
    ("far return, user code of privilege 0", far_return!(0x30)),
    ("far return, user data", far_return!(0x2b)),
    ("far return, local table", far_return!(0x1007)),
    ("far return, nothing", far_return!(0)),
];

/// IRET with these selectors and flags; the flags that are left of `mask`.
macro_rules! iret {
    ($cs:literal, $ss:literal, $flags:literal, $mask:literal) => {
        || {
            let flags: u64;
            // SAFETY: leads to a fault, or behind the instruction, where the flags are put back.
            unsafe {
                asm!("mov rdx, rsp", "push {ss}", "push rdx", "push {flags}", "push {cs}", "lea rcx, [rip + 2f]",
                    "push rcx", "iretq", "2:", "pushfq", "pop rax", "push 0x202", "popfq",
                    ss = const $ss, flags = const $flags, cs = const $cs, out("rax") flags, clobber_abi("sysv64"));
            }
            Some(flags & $mask)
        }
    };
}

/// A system call with these flags set; those of `mask` that are set behind it.
macro_rules! flags {
    ($flags:literal) => {
        || {
            let flags: u64;
            // SAFETY: the flags are put back before anything else runs.
            unsafe {
                asm!("pushfq", "or qword ptr [rsp], {flags}", "popfq", "int 0x80", "pushfq", "pop rcx",
                    "push 0x202", "popfq", flags = const $flags, inout("rax") Call::Query as u64 => _,
                    inout("rdi") 0u64 => _, lateout("rcx") flags, clobber_abi("sysv64"));
            }
            Some(flags & $flags)
        }
    };
}

const FLAGS: &[Attack] = &[
    ("iret, as it is", iret!(0x33, 0x2b, 0x202, 0x3000)),
    ("iret, kernel code", iret!(0x10, 0x18, 0x202, 0x3000)),
    ("iret, kernel stack", iret!(0x33, 0x18, 0x202, 0x3000)),
    ("iret, no stack segment", iret!(0x33, 0, 0x202, 0x3000)),
    ("iret, user data as code", iret!(0x2b, 0x2b, 0x202, 0x3000)),
    ("iret, local table", iret!(0x1007, 0x2b, 0x202, 0x3000)),
    ("iret, IOPL 3", iret!(0x33, 0x2b, 0x3202, 0x3000)),
    ("iret, interrupts off", iret!(0x33, 0x2b, 0x2, 0x200)),
    ("iret, virtual 8086 mode", iret!(0x33, 0x2b, 0x20202, 0x20000)),
    ("iret, nested task", iret!(0x33, 0x2b, 0x4202, 0x4000)),
    ("iret, trap flag", iret!(0x33, 0x2b, 0x302, 0x100)),
    ("a call with CF", flags!(0x1)),
    ("a call with TF", flags!(0x100)),
    ("a call with DF", flags!(0x400)),
    ("a call with IOPL 3", flags!(0x3000)),
    ("a call with NT", flags!(0x4000)),
    ("a call with RF", flags!(0x10000)),
    ("a call with AC", flags!(0x40000)),
    ("a call with VIF and VIP", flags!(0x180000)),
    ("a call with ID", flags!(0x200000)),
    ("a call with DF, NT and AC", flags!(0x44400)),
];

const STACKS: &[Attack] = &[
    ("a call with the stack at a non-canonical address", call_at::<{ 1 << 47 }>),
    ("a push with the stack in the kernel", || {
        // SAFETY: faults.
        unsafe { asm!("mov rsp, {}", "push rax", in(reg) 0x80_0000u64, options(noreturn)) }
    }),
    ("a push with the stack at a non-canonical address", || {
        // SAFETY: faults.
        unsafe { asm!("mov rsp, {}", "push rax", in(reg) 1u64 << 47, options(noreturn)) }
    }),
];

const SELECTORS: &[Attack] = &[
    ("LAR over all selectors", || Some(visible(true))),
    ("LSL over all selectors", || Some(visible(false))),
    ("VERR and VERW over all selectors", || Some(accessible())),
];

/// The selectors that LAR, or LSL, tells something about: the last four of them, 16 bits each.
fn visible(rights: bool) -> u64 {
    let asks = |selector: u64| {
        let is_visible: u8;
        // SAFETY: neither instruction changes anything but its target.
        unsafe {
            if rights {
                asm!("lar {0}, {1}", "setz {2}", out(reg) _, in(reg) selector, out(reg_byte) is_visible);
            } else {
                asm!("lsl {0}, {1}", "setz {2}", out(reg) _, in(reg) selector, out(reg_byte) is_visible);
            }
        }
        is_visible == 1
    };
    selectors().filter(|&selector| asks(selector)).fold(0, |list, selector| list << 16 | selector)
}

/// The selectors that VERR or VERW call accessible, as [`visible`].
fn accessible() -> u64 {
    let asks = |selector: u64| {
        let (can_read, can_write): (u8, u8);
        // SAFETY: neither instruction changes anything but ZF.
        unsafe {
            asm!("verr {0:x}", "setz {1}", "verw {0:x}", "setz {2}", in(reg) selector, out(reg_byte) can_read,
                out(reg_byte) can_write);
        }
        can_read | can_write == 1
    };
    selectors().filter(|&selector| asks(selector)).fold(0, |list, selector| list << 16 | selector)
}

/// All selectors of privilege 3 in both tables.
fn selectors() -> impl Iterator<Item = u64> {
    (0..0x1_0000).filter(|selector| selector & 3 == 3)
}

/// All attacks but software interrupts.
pub fn lists() -> [&'static [Attack]; 8] {
    [PRIVILEGED, PORTS, EXCEPTIONS, SEGMENTS, FAR, FLAGS, STACKS, SELECTORS]
}
