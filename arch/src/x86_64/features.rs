//! Features of a core, and switching on those that are needed, the same on every core.

use super::io::cpuid;
use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// CR0: protection, monitor co-processor, numeric error, write protect, paging (2.5). EM and TS stay clear,
/// so that the engine's vector instructions never trap.
pub const CR0: u64 = 1 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 31;
/// CR4: PAE, OSFXSR, OSXMMEXCPT (2.5).
pub const CR4: u64 = 1 << 5 | 1 << 9 | 1 << 10;
/// CR4.MCE (2.5): a machine check is an exception and not a shutdown.
const CR4_MCE: u64 = 1 << 6;
/// CR4.UMIP (2.5): ring 3 does not learn where descriptor tables lie.
const CR4_UMIP: u64 = 1 << 11;
/// CR4.OSXSAVE (2.5).
const CR4_OSXSAVE: u64 = 1 << 18;
/// CR4.SMEP (2.5): ring 0 executes no page of ring 3.
const CR4_SMEP: u64 = 1 << 20;
/// EFER: long mode enable, no-execute enable (SDM volume 4, table 2-2).
pub const EFER: u32 = 1 << 8 | 1 << 11;
/// XCR0: x87, SSE, AVX, and the three AVX-512 parts (13.3).
const VECTOR_STATE: u32 = 0b1110_0111;

/// x87 and SSE, which XSAVE always has (13.2).
const LEGACY_STATE: u32 = 0b11;

/// Bytes that the kernel keeps for them a thread: a page.
const LARGEST_STATE: u32 = 4096;

/// The components that XSAVE saves here, as XCR0 says; 0 where there is no XSAVE. Kept because CPUID traps under a
/// hypervisor.
static COMPONENTS: AtomicU32 = AtomicU32::new(0);

/// The components of XSAVE that the engine may change; 0 without XSAVE.
pub fn vector_components() -> u32 {
    COMPONENTS.load(Ordering::Relaxed)
}

/// CR4 of every core, found out by the first one: CPUID traps under a hypervisor.
static CR4_HERE: AtomicU64 = AtomicU64::new(0);

/// CR4's bits that the processor has, beside those that entry set.
fn cr4() -> u64 {
    let known = CR4_HERE.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let (basic, extended) = (cpuid(1, 0), cpuid(7, 0));
    let optional = [
        (basic.edx & 1 << 7 != 0, CR4_MCE),
        // A processor that hides leaf 0x0d does not say what there is to save.
        (basic.ecx & 1 << 26 != 0 && cpuid(0xd, 0).eax & LEGACY_STATE == LEGACY_STATE, CR4_OSXSAVE),
        (extended.ecx & 1 << 2 != 0, CR4_UMIP),
        (extended.ebx & 1 << 7 != 0, CR4_SMEP),
    ];
    let bits = optional.iter().filter(|(has, _)| *has).fold(CR4, |bits, (_, bit)| bits | bit);
    CR4_HERE.store(bits, Ordering::Relaxed);
    bits
}

/// Switches on the kernel's protection, and the vector units for the engine.
pub fn enable() {
    let cr4 = cr4();
    // SAFETY: the bits that entry set stay, the others are there (CPUID); no page of ring 3 is executed in ring 0.
    unsafe { asm!("mov cr4, {}", in(reg) cr4, options(nostack, preserves_flags)) }
    if cr4 & CR4_OSXSAVE != 0 {
        let components = cpuid(0xd, 0).eax & VECTOR_STATE;
        // SAFETY: all components are supported, x87 is among them, and the AVX-512 parts come together (13.3).
        unsafe {
            asm!("xsetbv", in("ecx") 0, in("eax") components, in("edx") 0, options(nostack, preserves_flags));
        }
        // EBX: bytes for the components that XCR0 enables (SDM volume 2, CPUID, leaf 0x0d).
        assert!(cpuid(0xd, 0).ebx <= LARGEST_STATE, "vector registers fit a page");
        COMPONENTS.store(components, Ordering::Relaxed);
    }
}

/// Largest page-table leaf: 3 (1 GiB) where CPUID.80000001H:EDX[26] says so, else 2 (2 MiB).
#[must_use]
pub fn largest_leaf() -> u8 {
    if cpuid(0x8000_0001, 0).edx & 1 << 26 != 0 { 3 } else { 2 }
}

/// Whether a hypervisor announces itself (CPUID.1:ECX[31]).
pub fn has_hypervisor() -> bool {
    cpuid(1, 0).ecx & 1 << 31 != 0
}
