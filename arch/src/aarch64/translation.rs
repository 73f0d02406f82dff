//! The translation base, and the instructions that make table changes effective.

use crate::PhysAddr;
use aarch64_cpu::asm::barrier;
use core::arch::asm;

/// See [`crate::Architecture::load_root`].
///
/// # Safety
/// As there.
pub(super) unsafe fn load_root(root: PhysAddr) {
    publish_tables();
    // SAFETY: the caller promises that the kernel is mapped as before, so execution goes on. One address
    // space identifier (0) is used, so every cached translation goes. Code may have been written to the
    // new mappings, so cached instructions go too.
    unsafe {
        asm!(
            "msr ttbr0_el1, {root}",
            "isb",
            "tlbi vmalle1",
            "ic iallu",
            "dsb nsh",
            "isb",
            root = in(reg) root.0,
            options(nostack, preserves_flags),
        );
    }
}

/// See [`crate::Architecture::publish_tables`].
pub(super) fn publish_tables() {
    barrier::dsb(barrier::ISHST);
    barrier::isb(barrier::SY);
}
