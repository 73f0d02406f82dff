//! The meaning of an exception: system call, interrupt or fault.
//!
//! Owns the decoding of ESR_EL1 and the register dump; policy is the kernel's, through its handlers.

use super::vectors::Frame;
use super::{AArch64, gic, identification, probe, timer};
use crate::contract::{Architecture, Fault, FaultKind, Interrupt, handlers};
use crate::{VirtAddr, stacks};
use core::fmt;

/// Exception classes, ESR_EL1 bits 31:26 (Arm ARM).
mod class {
    pub const UNKNOWN: u64 = 0x00;
    pub const WFX: u64 = 0x01;
    pub const SIMD: u64 = 0x07;
    pub const ILLEGAL_STATE: u64 = 0x0e;
    pub const SVC: u64 = 0x15;
    pub const SYSTEM_REGISTER: u64 = 0x18;
    pub const SVE: u64 = 0x19;
    pub const FETCH_EL0: u64 = 0x20;
    pub const FETCH_EL1: u64 = 0x21;
    pub const PC_ALIGNMENT: u64 = 0x22;
    pub const DATA_EL0: u64 = 0x24;
    pub const DATA_EL1: u64 = 0x25;
    pub const SP_ALIGNMENT: u64 = 0x26;
    pub const FLOATING_POINT: u64 = 0x2c;
    pub const SERROR: u64 = 0x2f;
    pub const BREAKPOINTS: core::ops::RangeInclusive<u64> = 0x30..=0x35;
    pub const BRK: u64 = 0x3c;
}

impl Frame {
    fn class(&self) -> u64 {
        self.esr >> 26 & 0x3f
    }

    /// SPSR_EL1.M: 0 is EL0 in AArch64, bit 4 AArch32.
    fn is_user(&self) -> bool {
        self.spsr & 0xf == 0 || self.spsr & 0x10 != 0
    }

    /// Reports this as a fault.
    fn fault(&self, kind: FaultKind) -> ! {
        let has_address = matches!(
            self.class(),
            class::FETCH_EL0 | class::FETCH_EL1 | class::DATA_EL0 | class::DATA_EL1 | class::PC_ALIGNMENT
        );
        // ISS.FnV of aborts: FAR_EL1 is not valid.
        let address = (has_address && self.esr & 1 << 10 == 0).then_some(VirtAddr(self.far));
        handlers().fault(&Fault {
            kind,
            address,
            pc: VirtAddr(self.elr),
            frame_pointer: VirtAddr(self.x[29]),
            from_user: self.is_user(),
            registers: self,
        })
    }

    fn kind(&self) -> FaultKind {
        match self.class() {
            class::FETCH_EL0 | class::FETCH_EL1 => self.abort(true),
            class::DATA_EL0 | class::DATA_EL1 => self.abort(false),
            class::UNKNOWN => FaultKind::Other("undefined instruction"),
            class::WFX => FaultKind::Other("trapped WFI or WFE"),
            class::SIMD => FaultKind::Other("trapped SIMD or floating-point access"),
            class::ILLEGAL_STATE => FaultKind::Other("illegal execution state"),
            class::SVC => FaultKind::Other("SVC from the kernel"),
            class::SYSTEM_REGISTER => FaultKind::Other("trapped system register or instruction"),
            class::SVE => FaultKind::Other("trapped SVE access"),
            class::PC_ALIGNMENT => FaultKind::Other("PC alignment fault"),
            class::SP_ALIGNMENT => FaultKind::Other("SP alignment fault"),
            class::FLOATING_POINT => FaultKind::Other("floating-point exception"),
            class::SERROR => FaultKind::Other("SError interrupt"),
            class::BRK => FaultKind::Other("BRK instruction"),
            debug if class::BREAKPOINTS.contains(&debug) => FaultKind::Other("debug exception"),
            _ => FaultKind::Other("exception of an unassigned class"),
        }
    }

    /// Instruction and data aborts: the fault status code, ISS bits 5:0 (Arm ARM, IFSC and DFSC).
    fn abort(&self, execute: bool) -> FaultKind {
        if !self.is_user() && !execute && in_guard(self.far) {
            return FaultKind::KernelStackOverflow;
        }
        // ISS.WnR; set too for cache maintenance, which ISS.CM tells apart.
        let write = !execute && self.esr & 1 << 6 != 0 && self.esr & 1 << 8 == 0;
        match self.esr & 0x3f {
            0x04..=0x07 => FaultKind::Page { write, execute, present: false },
            0x08..=0x0f => FaultKind::Page { write, execute, present: true },
            0x00..=0x03 => FaultKind::Other("address size fault"),
            0x10 => FaultKind::Other("synchronous external abort"),
            0x14..=0x17 => FaultKind::Other("synchronous external abort on a table walk"),
            0x21 => FaultKind::Other("alignment fault"),
            0x30 => FaultKind::Other("TLB conflict abort"),
            _ => FaultKind::Other("abort of another kind"),
        }
    }
}

/// Whether `address` lies in the guard below this core's kernel stack.
fn in_guard(address: u64) -> bool {
    AArch64::core_is_initialised() && stacks::is_guard(AArch64::core_local().stacks, address)
}

/// Synchronous exceptions.
pub(super) extern "C" fn synchronous(frame: &mut Frame) {
    if frame.class() == class::SVC && frame.is_user() {
        let (number, arguments) = (frame.x[8], [frame.x[0], frame.x[1], frame.x[2]]);
        handlers().system_call(frame, number, arguments);
    } else if frame.is_user()
        && matches!(frame.class(), class::UNKNOWN | class::SYSTEM_REGISTER)
        && identification::emulate(frame)
    {
        // The engine goes on behind the read.
    } else if frame.class() == class::UNKNOWN && probe::is_call_instruction(frame.elr) {
        frame.x[0] = probe::NO_ANSWER;
        frame.elr += 4;
    } else if frame.class() == class::DATA_EL1 && frame.elr == probe::read_instruction() {
        frame.x[1] = 0;
        frame.elr += 4;
    } else {
        frame.fault(frame.kind())
    }
}

/// A synchronous exception that found the kernel stack used up; on the emergency stack.
pub(super) extern "C" fn stack_overflow(frame: &mut Frame) -> ! {
    frame.fault(FaultKind::KernelStackOverflow)
}

/// IRQ.
pub(super) extern "C" fn interrupt(frame: &mut Frame) {
    let Some(interrupt) = gic::acknowledge() else { return };
    handlers().interrupt(match interrupt.number() {
        gic::IPI => Interrupt::Ipi,
        timer::INTERRUPT => {
            timer::set(None);
            Interrupt::Timer
        }
        device => Interrupt::Device(device),
    });
    interrupt.end();
    if frame.is_user() {
        handlers().leave_interrupt(frame);
    }
}

/// SError, FIQ, and vectors that the kernel's configuration rules out.
pub(super) extern "C" fn other(frame: &mut Frame) -> ! {
    let kind = match frame.class() {
        class::SERROR => FaultKind::Other("SError interrupt"),
        _ => FaultKind::Other("exception through an unused vector"),
    };
    frame.fault(kind)
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (row, values) in self.x.chunks(4).enumerate() {
            for (column, value) in values.iter().enumerate() {
                let name = row * 4 + column;
                write!(f, "{}x{name:<2} {value:016x}", if column == 0 { "" } else { "  " })?;
            }
            writeln!(f)?;
        }
        writeln!(f, "sp  {:016x}  pc  {:016x}  spsr {:08x}", self.sp, self.elr, self.spsr)?;
        write!(f, "far {:016x}  esr {:08x}", self.far, self.esr)
    }
}
