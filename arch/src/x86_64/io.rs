//! Port input and output, and CPUID, as plain functions.

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, CpuidResult};

/// CPUID leaf and sub-leaf; zeroes where the processor has no such leaf.
pub fn cpuid(leaf: u32, sub_leaf: u32) -> CpuidResult {
    let highest = __cpuid_count(leaf & 0xf000_0000, 0).eax;
    if leaf > highest {
        return CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    }
    __cpuid_count(leaf, sub_leaf)
}

/// Writes a byte to a port.
///
/// # Safety
/// The device at `port` does nothing to memory or to this core's state that breaks Rust's rules.
pub unsafe fn outb(port: u16, value: u8) {
    // SAFETY: the caller's promise.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack, preserves_flags)) }
}

/// Reads a byte from a port.
///
/// # Safety
/// As for [`outb`].
pub unsafe fn inb(port: u16) -> u8 {
    let value;
    // SAFETY: the caller's promise.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nostack, preserves_flags)) }
    value
}
