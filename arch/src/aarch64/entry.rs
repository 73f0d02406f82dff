//! The way of each core to translation and a stack: down from EL2, onto page tables.
//!
//! Boot protocols are the board's. Its entry branches to [`boot_core`] as its safety section says. Runs without a
//! stack and without memory writes until translation is on. The image is linked at the address where it is loaded.

use super::boot_table::BOOT_ROOT;
use super::{start, vectors};
use crate::contract::StartRecord;
use crate::stacks;
use core::arch::naked_asm;
use core::cell::UnsafeCell;
use core::mem::{MaybeUninit, align_of, offset_of};

/// Bytes of the boot stack with its guard below, each as large as a kernel stack: the same bit tells the two apart.
pub(super) const BOOT_STACK_BYTES: u64 = 2 * stacks::STACK_SIZE;

/// MAIR_EL1: attribute 0 is Device-nGnRE, attribute 1 Normal write-back (Arm ARM).
const MAIR: u64 = 0xff04;

/// TCR_EL1 without IPS (Arm ARM): 48-bit addresses, 4 KiB granule, walks write-back
/// and inner shareable through TTBR0 only (EPD1).
const TCR: u64 = 16 | 1 << 8 | 1 << 10 | 3 << 12 | 16 << 16 | 1 << 23 | 2 << 30;

/// SCTLR_EL1 (Arm ARM), bits that are RES1 in ARMv8.0 and PAN left alone (SPAN).
const SCTLR_OFF: u64 = 0x30d0_0800;

/// The same with translation, both caches, stack alignment checks (SA, SA0), and WFI, WFE and DC ZVA
/// allowed at EL0.
const SCTLR_ON: u64 = SCTLR_OFF | 1 | 1 << 2 | 3 << 3 | 1 << 12 | 1 << 14 | 1 << 16 | 1 << 18;

/// HCR_EL2.RW: EL1 is AArch64, nothing else is trapped or virtual.
const HCR: u64 = 1 << 31;

/// CPTR_EL2 with its RES1 bits: no trap of SIMD and floating point.
const CPTR: u64 = 0x33ff;

/// ICC_SRE_EL2: system registers of the GICv3 for EL2 (SRE) and EL1 (Enable).
const ICC_SRE: u64 = 0b1001;

/// SPSR_EL2: to EL1 with its own stack pointer, all interrupts masked.
const SPSR_EL1H: u64 = 0x3c5;

#[repr(C, align(65536))]
pub(super) struct BootStack(UnsafeCell<MaybeUninit<[u8; BOOT_STACK_BYTES as usize]>>);

const _: () =
    assert!(align_of::<BootStack>() as u64 == BOOT_STACK_BYTES, "the bit of the stack's size is its own");

// SAFETY: only its address is taken; the boot core alone runs on it.
unsafe impl Sync for BootStack {}

/// The boot core's first stack, laid out like the kernel's stacks.
pub(super) static BOOT_STACK: BootStack = BootStack(UnsafeCell::new(MaybeUninit::uninit()));

unsafe extern "C" {
    /// The board's first Rust function.
    fn board_main(argument: u64, entry_counter: u64) -> !;
}

/// The boot core: to EL1 with translation, zeroed data and a stack, then into the board's
/// `board_main(argument, counter)`.
///
/// # Safety
/// For the board's entry code, on the boot core alone, at EL1 or EL2 with translation off and interrupts masked, the
/// argument in X0. The board defines the static `BOARD_BOOT_TABLE`, and its linker script `__bss_start` and
/// `__bss_end`, multiples of 4096.
#[unsafe(naked)]
pub unsafe extern "C" fn boot_core(argument: u64) -> ! {
    naked_asm!(
        "mov x19, x0",
        "bl {to_el1}",
        "mrs x20, cntvct_el0",
        "adrp x0, {root}",
        "bl {enable_translation}",
        "adrp x1, __bss_start",
        "adrp x2, __bss_end",
        "2: cmp x1, x2",
        "b.hs 3f",
        "stp xzr, xzr, [x1], #16",
        "b 2b",
        "3: adrp x1, {stack}",
        "add x1, x1, #{window}",
        "mov sp, x1",
        "mov x0, x19",
        "mov x1, x20",
        "mov x29, xzr",
        "mov x30, xzr",
        "b {main}",
        to_el1 = sym to_el1,
        root = sym BOOT_ROOT,
        enable_translation = sym enable_translation,
        stack = sym BOOT_STACK,
        window = const BOOT_STACK_BYTES,
        main = sym board_main,
    )
}

/// Any other core, started by firmware with the address of its [`StartRecord`] in X0. Translation is
/// off, so it reads only memory cleaned to the point of coherency.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn secondary_boot() -> ! {
    naked_asm!(
        "mov x19, x0",
        "bl {to_el1}",
        "ldr x0, [x19, #{root}]",
        "bl {enable_translation}",
        "ldr x1, [x19, #{stack_top}]",
        "mov sp, x1",
        "mov x0, x19",
        "mov x29, xzr",
        "mov x30, xzr",
        "b {main}",
        to_el1 = sym to_el1,
        root = const offset_of!(StartRecord, root),
        enable_translation = sym enable_translation,
        stack_top = const offset_of!(StartRecord, stack_top),
        main = sym start::secondary_main,
    )
}

/// Returns at EL1 with translation off, whether entered there or at EL2. Changes X1.
#[unsafe(naked)]
unsafe extern "C" fn to_el1() {
    naked_asm!(
        "mrs x1, CurrentEL",
        "cmp x1, #(2 << 2)",
        "b.ne 3f",
        "mov x1, #{hcr}",
        "msr hcr_el2, x1",
        "isb",
        "mrs x1, midr_el1",
        "msr vpidr_el2, x1",
        "mrs x1, mpidr_el1",
        "msr vmpidr_el2, x1",
        "msr cntvoff_el2, xzr",
        "msr hstr_el2, xzr",
        "msr vttbr_el2, xzr",
        "mov x1, #{cptr}",
        "msr cptr_el2, x1",
        // Keep HPMN, the number of event counters that EL1 owns; trap nothing.
        "mrs x1, mdcr_el2",
        "and x1, x1, #0x1f",
        "msr mdcr_el2, x1",
        // ID_AA64PFR0_EL1.GIC: the registers of a GICv3 CPU interface exist.
        "mrs x1, id_aa64pfr0_el1",
        "ubfx x1, x1, #24, #4",
        "cbz x1, 2f",
        "mov x1, #{icc_sre}",
        "msr icc_sre_el2, x1",
        "isb",
        "msr ich_hcr_el2, xzr",
        "2: ldr x1, ={sctlr}",
        "msr sctlr_el1, x1",
        "mov x1, #{spsr}",
        "msr spsr_el2, x1",
        "msr elr_el2, x30",
        "eret",
        "3: ret",
        hcr = const HCR,
        cptr = const CPTR,
        icc_sre = const ICC_SRE,
        sctlr = const SCTLR_OFF,
        spsr = const SPSR_EL1H,
    )
}

/// Installs the exception vectors, opens SIMD and floating point to EL0 and turns translation on with
/// the level-4 table in X0. Changes X1 and X2.
#[unsafe(naked)]
unsafe extern "C" fn enable_translation(_root: u64) {
    naked_asm!(
        "msr tpidr_el1, xzr",
        "adrp x1, {vectors}",
        "add x1, x1, :lo12:{vectors}",
        "msr vbar_el1, x1",
        // CPACR_EL1.FPEN.
        "mov x1, #(3 << 20)",
        "msr cpacr_el1, x1",
        "mov x1, #{mair}",
        "msr mair_el1, x1",
        // TCR_EL1.IPS is what ID_AA64MMFR0_EL1.PARange says, at most 48 bits.
        "ldr x1, ={tcr}",
        "mrs x2, id_aa64mmfr0_el1",
        "and x2, x2, #0xf",
        "cmp x2, #5",
        "b.ls 2f",
        "mov x2, #5",
        "2: bfi x1, x2, #32, #3",
        "msr tcr_el1, x1",
        "msr ttbr0_el1, x0",
        "isb",
        "tlbi vmalle1",
        "ic iallu",
        "dsb nsh",
        "isb",
        "ldr x1, ={sctlr}",
        "msr sctlr_el1, x1",
        "isb",
        "ret",
        vectors = sym vectors::exception_vectors,
        mair = const MAIR,
        tcr = const TCR,
        sctlr = const SCTLR_ON,
    )
}
