//! AArch64: exception calls, system registers, cache and TLB maintenance, semihosting, odd stack pointers.

use core::arch::asm;

use embodios_abi::{Call, PRIORITIES};

use super::{Attack, Found};
use crate::threads::{self, Job};

/// None: immediates of SVC are among the instructions.
pub const SOFTWARE_INTERRUPTS: usize = 0;

/// The vector of an attack; there is none.
pub fn software_interrupt(_: usize) -> Option<u64> {
    None
}

/// Executes the interrupt of a vector; there is none.
pub fn interrupt(_: u64) -> Found {
    None
}

/// Attacks of instructions alone. X0 and X8 make an SVC a harmless system call.
macro_rules! instructions {
    ($($name:literal: $($line:literal),+;)*) => {
        &[$(($name, || {
            // SAFETY: an instruction that gets through changes nothing that the rest of this incarnation needs.
            unsafe { asm!($($line),+, inout("x0") 0u64 => _, in("x8") Call::Query as u64, clobber_abi("C")) };
            None
        })),*]
    };
}

const CALLS: &[Attack] = instructions! {
    "svc 0": "svc #0"; "svc 1": "svc #1"; "svc 0xab": "svc #0xab"; "svc 0xffff": "svc #0xffff"; "hvc 0": "hvc #0";
    "hvc 0xffff": "hvc #0xffff"; "smc 0": "smc #0"; "brk 0": "brk #0"; "brk 0xf000": "brk #0xf000"; "hlt 0": "hlt #0";
    "hlt 0xf000": "mov x0, #0x99", "hlt #0xf000"; "udf 0": "udf #0"; "udf 0xffff": "udf #0xffff";
    "hvc, PSCI off": "mov x0, #8", "movk x0, #0x8400, lsl #16", "hvc #0";
    "hvc, PSCI reset": "mov x0, #9", "movk x0, #0x8400, lsl #16", "hvc #0";
    "hvc, PSCI core off": "mov x0, #2", "movk x0, #0x8400, lsl #16", "hvc #0";
    "smc, PSCI off": "mov x0, #8", "movk x0, #0x8400, lsl #16", "smc #0";
    "eret": "eret"; "drps": ".inst 0xd6bf03e0"; "eretaa": ".inst 0xd69f0bff"; "dcps1": "dcps1"; "dcps3": "dcps3";
    "wfe": "sevl", "wfe"; "sev": "sev"; "yield": "yield"; "esb": ".inst 0xd503221f"; "csdb": "hint #20";
    "psb": ".inst 0xd503223f";
};

const STATE: &[Attack] = instructions! {
    "daifset": "msr daifset, #15"; "daifclr": "msr daifclr, #15"; "spsel 0": "msr spsel, #0";
    "spsel 1": "msr spsel, #1";
    "pan 0": ".inst 0xd500409f"; "pan 1": ".inst 0xd500419f"; "uao": ".inst 0xd500417f"; "dit": ".inst 0xd503415f";
    "ssbs": ".inst 0xd503413f"; "tco": ".inst 0xd503419f"; "read daif": "mrs x0, daif"; "write daif": "msr daif, x0";
    "read CurrentEL": "mrs x0, CurrentEL"; "read nzcv": "mrs x0, nzcv"; "write nzcv": "msr nzcv, x0";
    "write fpcr": "msr fpcr, x0"; "write fpsr": "msr fpsr, x0"; "write tpidr_el0": "msr tpidr_el0, x0";
    "read tpidrro_el0": "mrs x0, tpidrro_el0"; "write tpidrro_el0": "msr tpidrro_el0, x0";
    "smstart": ".inst 0xd503477f"; "ptrue": ".inst 0x2518e3e0"; "rdvl": ".inst 0x04bf5020"; "irg": ".inst 0x9adf1000";
    "pacia": ".inst 0xdac10000";
};

const REGISTERS: &[Attack] = instructions! {
    "read sctlr_el1": "mrs x0, sctlr_el1"; "write sctlr_el1": "msr sctlr_el1, x0";
    "read ttbr0_el1": "mrs x0, ttbr0_el1";
    "write ttbr0_el1": "msr ttbr0_el1, x0"; "write ttbr1_el1": "msr ttbr1_el1, x0"; "write tcr_el1": "msr tcr_el1, x0";
    "write mair_el1": "msr mair_el1, x0"; "read vbar_el1": "mrs x0, vbar_el1"; "write vbar_el1": "msr vbar_el1, x0";
    "read elr_el1": "mrs x0, elr_el1"; "write elr_el1": "msr elr_el1, x0"; "write spsr_el1": "msr spsr_el1, x0";
    "read esr_el1": "mrs x0, esr_el1"; "read far_el1": "mrs x0, far_el1"; "read sp_el0": "mrs x0, sp_el0";
    "read tpidr_el1": "mrs x0, tpidr_el1"; "write tpidr_el1": "msr tpidr_el1, x0";
    "write cpacr_el1": "msr cpacr_el1, x0";
    "read midr_el1": "mrs x0, midr_el1"; "read mpidr_el1": "mrs x0, mpidr_el1"; "read ctr_el0": "mrs x0, ctr_el0";
    "read id_aa64pfr0_el1": "mrs x0, id_aa64pfr0_el1"; "read id_aa64isar0_el1": "mrs x0, id_aa64isar0_el1";
    "read id_aa64mmfr0_el1 into xzr": "mrs xzr, id_aa64mmfr0_el1"; "read revidr_el1": "mrs x0, revidr_el1";
    "read an unassigned id register": "mrs x0, S3_0_C0_C7_7"; "write midr_el1": "msr S3_0_C0_C0_0, x0";
    "read actlr_el1": "mrs x0, actlr_el1"; "read par_el1": "mrs x0, par_el1"; "read csselr_el1": "mrs x0, csselr_el1";
    "read cntkctl_el1": "mrs x0, cntkctl_el1"; "write cntkctl_el1": "msr cntkctl_el1, x0";
    "read cntvct_el0": "mrs x0, cntvct_el0"; "read cntpct_el0": "mrs x0, cntpct_el0";
    "read cntfrq_el0": "mrs x0, cntfrq_el0";
    "write cntfrq_el0": "msr cntfrq_el0, x0"; "write cntv_ctl_el0": "msr cntv_ctl_el0, x0";
    "write cntv_cval_el0": "msr cntv_cval_el0, x0"; "read cntp_ctl_el0": "mrs x0, cntp_ctl_el0";
    "read pmccntr_el0": "mrs x0, pmccntr_el0"; "write pmcr_el0": "msr pmcr_el0, x0";
    "write pmuserenr_el0": "msr pmuserenr_el0, x0";
    "write mdscr_el1": "msr mdscr_el1, x0"; "write dbgbvr0_el1": "msr dbgbvr0_el1, x0";
    "write oslar_el1": "msr oslar_el1, x0";
    "read mdccsr_el0": "mrs x0, mdccsr_el0"; "read dbgdtr_el0": "mrs x0, dbgdtr_el0";
    "read hcr_el2": "mrs x0, hcr_el2"; "write vbar_el2": "msr vbar_el2, x0"; "read scr_el3": "mrs x0, scr_el3";
    "read icc_iar1_el1": "mrs x0, S3_0_C12_C12_0"; "write icc_eoir1_el1": "msr S3_0_C12_C12_1, x0";
    "write icc_sgi1r_el1": "msr S3_0_C12_C11_5, x0"; "write icc_pmr_el1": "msr S3_0_C4_C6_0, x0";
    "write icc_sre_el1": "msr S3_0_C12_C12_5, x0"; "read rndr": "mrs x0, S3_3_C2_C4_0";
    "write apiakeylo_el1": "msr S3_0_C2_C1_0, x0"; "write gcr_el1": "msr S3_0_C1_C0_6, x0";
    "write zcr_el1": "msr S3_0_C1_C2_0, x0";
};

const MAINTENANCE: &[Attack] = instructions! {
    "tlbi vmalle1": "tlbi vmalle1"; "tlbi vmalle1is": "tlbi vmalle1is"; "tlbi vae1": "tlbi vae1, x0";
    "ic iallu": "ic iallu";
    "ic ialluis": "ic ialluis"; "ic ivau": "adr x0, .", "ic ivau, x0"; "dc cvau": "mov x0, sp", "dc cvau, x0";
    "dc civac": "mov x0, sp", "dc civac, x0"; "dc cvac": "mov x0, sp", "dc cvac, x0";
    "dc ivac": "mov x0, sp", "dc ivac, x0";
    "dc isw": "dc isw, x0"; "dc cisw": "dc cisw, x0"; "dc csw": "dc csw, x0"; "at s1e1r": "at s1e1r, x0";
    "at s1e0r": "at s1e0r, x0";
    "dc zva of the kernel": "mov x0, #0x40200000", "dc zva, x0";
    "dc civac of the kernel": "mov x0, #0x40200000", "dc civac, x0";
    "ic ivau of the kernel": "mov x0, #0x40200000", "ic ivau, x0";
    "prfm of the kernel": "mov x0, #0x40200000", "prfm pldl1keep, [x0]";
    "dc cvac of address 0": "mov x0, #0", "dc cvac, x0"; "cfp rctx": ".inst 0xd50b7380"; "dsb sy": "dsb sy";
    "isb": "isb";
    "sys of an unassigned number": "sys #0, c7, c15, #7, x0";
    "sysl of an unassigned number": "sysl x0, #0, c7, c15, #7";
    "atomic on the kernel": "mov x0, #0x40200000", "mov x1, #1", ".inst 0xf8210001";
    "exclusive on the kernel": "mov x0, #0x40200000", "ldxr x1, [x0]";
    "ldtr of the kernel": "mov x0, #0x40200000", "ldtr x1, [x0]";
    "misaligned load-acquire": "add x0, sp, #1", "ldar x1, [x0]";
    "a branch to an odd address": "adr x0, .", "add x0, x0, #6", "br x0";
};

/// Semihosting operation by `hlt #0xf000`, as QEMU is told to serve it to the kernel.
macro_rules! semihosting {
    ($operation:literal, $block:expr) => {
        || {
            let block: [u64; 4] = $block;
            let result: u64;
            // SAFETY: at worst the emulator does it; the block is live.
            unsafe {
                asm!("hlt #0xf000", inout("x0") $operation as u64 => result, in("x1") block.as_ptr(), clobber_abi("C"));
            }
            Some(result)
        }
    };
}

const SEMIHOSTING: &[Attack] = &[
    ("semihosting, open", semihosting!(1, [c"/tmp/embodios-hostile".as_ptr() as u64, 4, 21, 0])),
    ("semihosting, write", semihosting!(4, [u64::from_le_bytes(*b"spoken\n\0"), 0, 0, 0])),
    ("semihosting, read clock", semihosting!(0x10, [0; 4])),
    ("semihosting, system", semihosting!(0x12, [c"true".as_ptr() as u64, 4, 0, 0])),
    ("semihosting, exit", semihosting!(0x18, [0x20026, 0, 0, 0])),
    ("semihosting, extended exit", semihosting!(0x20, [0x20026, 0, 0, 0])),
];

const STACKS: &[Attack] = &[
    ("wfi", || {
        // Alone, the thread would wait for an interrupt that nothing sends; one of its priority makes the kernel send
        // ticks.
        let _ = threads::start(Job::Yield, 0, 0, PRIORITIES / 2);
        // SAFETY: the processor goes on behind it.
        unsafe { asm!("wfi", options(nomem, nostack, preserves_flags)) }
        None
    }),
    ("a push with the stack in the kernel", || {
        // SAFETY: faults.
        unsafe { asm!("mov sp, {}", "str x0, [sp, #-16]!", in(reg) 0x4080_0000u64, options(noreturn)) }
    }),
];

/// All attacks.
pub fn lists() -> [&'static [Attack]; 6] {
    [CALLS, STATE, REGISTERS, MAINTENANCE, SEMIHOSTING, STACKS]
}
