//! The interrupt descriptor table, the entry stubs, and the meaning of each vector.

use super::segments::KERNEL_CODE;
use super::{X86_64, apic};
use crate::contract::{Architecture, Fault, FaultKind, Interrupt, handlers};
use crate::{CpuId, VirtAddr, stacks};
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::fmt;
use core::ops::RangeInclusive;
use x86_64::structures::DescriptorTablePointer;

/// Vector of inter-processor interrupts.
pub const IPI_VECTOR: u8 = 0x31;
/// Vector of the local APIC's timer.
pub const TIMER_VECTOR: u8 = 0x30;
/// Vector the local APIC uses for interrupts that vanished (11.9).
pub const SPURIOUS_VECTOR: u8 = 0xff;
/// Vectors for device lines.
pub const DEVICE_VECTORS: RangeInclusive<u8> = 0x40..=0x4f;
/// Vector of system calls.
const SYSTEM_CALL: u8 = 0x80;
const EXCEPTIONS: RangeInclusive<u8> = 0..=31;
const NON_MASKABLE: u64 = 2;
const INVALID_OPCODE: u64 = 6;
const DOUBLE_FAULT: u64 = 8;
const PAGE_FAULT: u64 = 14;
const MACHINE_CHECK: u64 = 18;
/// Vectors that may come in any state of the stack, in the order of the emergency stacks that serve them.
const ON_EMERGENCY_STACKS: [u64; stacks::EMERGENCY_STACKS as usize] =
    [DOUBLE_FAULT, NON_MASKABLE, MACHINE_CHECK];

/// The trap frame: all registers of the interrupted code, in the order the stubs push them.
#[derive(Clone, Default)]
#[repr(C)]
pub struct Frame {
    pub(super) r15: u64,
    pub(super) r14: u64,
    pub(super) r13: u64,
    pub(super) r12: u64,
    pub(super) r11: u64,
    pub(super) r10: u64,
    pub(super) r9: u64,
    pub(super) r8: u64,
    pub(super) rdi: u64,
    pub(super) rsi: u64,
    pub(super) rbp: u64,
    pub(super) rbx: u64,
    pub(super) rdx: u64,
    pub(super) rcx: u64,
    pub(super) rax: u64,
    pub(super) vector: u64,
    pub(super) error: u64,
    pub(super) rip: u64,
    pub(super) cs: u64,
    pub(super) rflags: u64,
    pub(super) rsp: u64,
    pub(super) ss: u64,
}

// One 16-byte stub a vector: pushes a zero where the processor pushes no error code (6.13), then the vector.
// The frame is complete before Rust runs, with 16-byte alignment. GS is left alone on the way in and out: the kernel
// does not use it.
global_asm!(
    ".balign 16",
    "trap_stubs:",
    ".set vector, 0",
    ".rept 256",
    ".balign 16",
    ".if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30",
    ".else",
    "push 0",
    ".endif",
    "push offset vector",
    "jmp trap_common",
    ".set vector, vector + 1",
    ".endr",
    "trap_common:",
    "push rax",
    "push rcx",
    "push rdx",
    "push rbx",
    "push rbp",
    "push rsi",
    "push rdi",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "cld",
    "mov rdi, rsp",
    "call {handle}",
    "trap_return:",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdi",
    "pop rsi",
    "pop rbp",
    "pop rbx",
    "pop rdx",
    "pop rcx",
    "pop rax",
    "add rsp, 16",
    "trap_exit:",
    "iretq",
    handle = sym handle,
);

unsafe extern "C" {
    static trap_stubs: u8;
    static trap_exit: u8;
}

/// The table (6.10); 16 bytes a vector.
#[repr(C, align(16))]
struct Table(UnsafeCell<[[u64; 2]; 256]>);

// SAFETY: written by the boot core in its first `load`, before any other core runs, and never again.
unsafe impl Sync for Table {}

static TABLE: Table = Table(UnsafeCell::new([[0; 2]; 256]));

/// Loads the table on this core; the boot core fills it first.
pub fn load() {
    if !is_filled() {
        fill(EXCEPTIONS, 0, 0);
        fill(DEVICE_VECTORS, 0, 0);
        fill(TIMER_VECTOR..=IPI_VECTOR, 0, 0);
        fill(SPURIOUS_VECTOR..=SPURIOUS_VECTOR, 0, 0);
        for (vector, stack) in ON_EMERGENCY_STACKS.into_iter().zip(1..) {
            fill(vector as u8..=vector as u8, 0, stack);
        }
        fill(SYSTEM_CALL..=SYSTEM_CALL, 3, 0);
    }
    let pointer = DescriptorTablePointer {
        limit: size_of::<Table>() as u16 - 1,
        base: x86_64::VirtAddr::new_truncate(&raw const TABLE as u64),
    };
    // SAFETY: the table lives for ever and its gates lead to the stubs.
    unsafe { x86_64::instructions::tables::lidt(&pointer) }
}

fn is_filled() -> bool {
    // SAFETY: see `Sync`.
    unsafe { (*TABLE.0.get())[0][0] != 0 }
}

/// Fills interrupt gates (6.14.1) that `privilege` may call and that switch to interrupt stack `stack` (0: none).
fn fill(vectors: RangeInclusive<u8>, privilege: u64, stack: u16) {
    let fixed = u64::from(KERNEL_CODE) << 16 | u64::from(stack) << 32 | 0x8e << 40 | privilege << 45;
    let mut stub = &raw const trap_stubs as u64 + 16 * u64::from(*vectors.start());
    // SAFETY: see `Sync`.
    let table = unsafe { &mut *TABLE.0.get() };
    for gate in &mut table[usize::from(*vectors.start())..=usize::from(*vectors.end())] {
        *gate = [stub & 0xffff | fixed | (stub >> 16 & 0xffff) << 48, stub >> 32];
        stub += 16;
    }
}

extern "C" fn handle(frame: &mut Frame) {
    let from_user = frame.cs & 3 != 0;
    let vector = frame.vector as u8;
    if vector == SYSTEM_CALL || is_trapped_system_call(frame) {
        let (number, arguments) = (frame.rax, [frame.rdi, frame.rsi, frame.rdx]);
        handlers().system_call(frame, number, arguments);
    } else if EXCEPTIONS.contains(&vector) {
        report(frame);
    } else if vector == SPURIOUS_VECTOR {
        // No end-of-interrupt for these (11.9).
    } else {
        handlers().interrupt(match vector {
            TIMER_VECTOR => Interrupt::Timer,
            IPI_VECTOR => Interrupt::Ipi,
            device => Interrupt::Device(device.into()),
        });
        apic::end_of_interrupt();
        if from_user {
            handlers().leave_interrupt(frame);
        }
    }
}

/// Recognises `int 0x80` of ring 3 where a hypervisor delivers it as an invalid opcode at the instruction, and steps
/// over it.
fn is_trapped_system_call(frame: &mut Frame) -> bool {
    if frame.vector != INVALID_OPCODE || frame.cs & 3 == 0 {
        return false;
    }
    let code = frame.rip as *const u8;
    // SAFETY: the processor has just fetched the first byte from there, and for opcode 0xcd the second too;
    // supervisor reads of user pages are allowed.
    let is_call = unsafe { code.read_volatile() == 0xcd && code.add(1).read_volatile() == SYSTEM_CALL };
    if is_call {
        frame.rip += 2;
    }
    is_call
}

fn report(frame: &Frame) -> ! {
    if frame.rip == &raw const trap_exit as u64 {
        report_return(frame);
    }
    let cr2: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr2", out(reg) cr2, options(nomem, nostack, preserves_flags)) }
    let (kind, address) = match frame.vector {
        PAGE_FAULT => (page_fault(frame.error), Some(VirtAddr(cr2))),
        DOUBLE_FAULT if hit_guard(cr2) => (FaultKind::KernelStackOverflow, Some(VirtAddr(cr2))),
        NON_MASKABLE | MACHINE_CHECK => (FaultKind::Hardware(name(frame.vector)), None),
        vector => (FaultKind::Other(name(vector)), None),
    };
    handlers().fault(&Fault {
        kind,
        address,
        pc: VirtAddr(frame.rip),
        frame_pointer: VirtAddr(frame.rbp),
        from_user: frame.cs & 3 != 0,
        registers: frame,
    })
}

/// Reports that the processor refused to return to ring 3: the fault of the engine, whose registers these are
/// (SDM volume 2, IRET). The frame of the fault holds them but for those still to be popped.
fn report_return(frame: &Frame) -> ! {
    // SAFETY: the stack pointer at the fault is that of the instruction, which had not popped its operands.
    let [rip, cs, rflags, rsp, ss] = unsafe { (frame.rsp as *const [u64; 5]).read() };
    let registers = Frame { rip, cs, rflags, rsp, ss, ..frame.clone() };
    handlers().fault(&Fault {
        kind: FaultKind::Other("return to a state that the processor refuses"),
        address: None,
        pc: VirtAddr(rip),
        frame_pointer: VirtAddr(frame.rbp),
        from_user: true,
        registers: &registers,
    })
}

/// Error code of a page fault (4.7).
fn page_fault(error: u64) -> FaultKind {
    FaultKind::Page { present: error & 1 != 0, write: error & 2 != 0, execute: error & 16 != 0 }
}

/// Whether `address` lies in the guard below this core's stack.
fn hit_guard(address: u64) -> bool {
    X86_64::core_is_initialised() && stacks::is_guard(X86_64::core_local().stacks, address)
}

/// Names of the exceptions (table 6-1).
fn name(vector: u64) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug exception",
        2 => "non-maskable interrupt",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range exceeded",
        6 => "invalid opcode",
        7 => "device not available",
        8 => "double fault",
        10 => "invalid task state",
        11 => "segment not present",
        12 => "stack-segment fault",
        13 => "general protection",
        16 => "x87 floating-point error",
        17 => "alignment check",
        18 => "machine check",
        19 => "SIMD floating-point exception",
        21 => "control protection",
        _ => "unknown exception",
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = if X86_64::core_is_initialised() { X86_64::core_local().cpu } else { CpuId::BOOT };
        writeln!(
            f,
            "core {core} vector {} error {:#x} cs {:#x} rflags {:#x}",
            self.vector, self.error, self.cs, self.rflags
        )?;
        writeln!(f, "rip {:#018x} rsp {:#018x} rbp {:#018x}", self.rip, self.rsp, self.rbp)?;
        writeln!(f, "rax {:#018x} rbx {:#018x} rcx {:#018x}", self.rax, self.rbx, self.rcx)?;
        writeln!(f, "rdx {:#018x} rsi {:#018x} rdi {:#018x}", self.rdx, self.rsi, self.rdi)?;
        writeln!(f, "r8  {:#018x} r9  {:#018x} r10 {:#018x}", self.r8, self.r9, self.r10)?;
        writeln!(f, "r11 {:#018x} r12 {:#018x} r13 {:#018x}", self.r11, self.r12, self.r13)?;
        write!(f, "r14 {:#018x} r15 {:#018x} ss  {:#x}", self.r14, self.r15, self.ss)
    }
}
